"""Lifecycle, buffers, HTTP and intake delivery for serverless telemetry, on Trio. The floor that knows no signal.

    errors, clock, log, tags      small things that everything uses
    stats, buffer, spool          accounts that close; a store bounded in bytes, emptied by lease; payloads kept on disk
    pipeline, flush               what a signal is; when to flush, and the flush of all signals under one deadline
    http, unix_socket             a server with a limit on everything; paths taken over from the dead
    loopback, lifecycle           one exchange with the Lambda APIs; the Extensions and Telemetry APIs
    events, invocation            what those APIs tell, parsed; what is known of each request id
    regex, rule_list              users' patterns in time linear in the text; lists of users' rules
    intake, proto                 delivery: retried, dual-shipped, accounted; the intake's messages

It exports nothing itself, so that importing it costs nothing.
"""
