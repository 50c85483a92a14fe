"""Lifecycle, buffers, HTTP and intake delivery for serverless telemetry, on Trio. The floor that knows no signal.

    errors, clock, log, tags      small things that everything uses
    stats, buffer, spool          accounts that close; a store bounded in bytes, emptied by lease; payloads kept on disk
    pipeline, flush               what a signal is; when to flush, and the flush of all signals under one deadline
    http, loopback                a server with a limit on everything; one exchange with the Lambda APIs
    lifecycle, invocation         the Extensions and Telemetry APIs; what is known of each request id
    regex, rule_list              users' patterns in time linear in the text; lists of users' rules
    intake, proto                 delivery: retried, dual-shipped, accounted; the intake's messages

It exports nothing itself, so that importing it costs nothing.
"""
