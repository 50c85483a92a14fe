"""Serverless logs: telemetry events and output lines to the Datadog log intake.

    record                        one log entry, known to every part
    from_telemetry                what the platform tells → records, in the words of platform_lines
    entries, network              records from a program's own hands, and from adapters in other processes
    message, levels               what a message says of itself: tags, status, request id
    own_lines, signs              lines of the agent itself; lines that mean something to other parts
    request_ids, durable, hold    whose line it is, and where lines wait until that is known
    rules                         users' rules: what is left out or masked
    encode                        records → arrays, as the intake takes them
    ingest                        events → items: the way of a record through all of the above
    store                         where items wait, bounded, and payloads are made of them
    pipeline, settings            all of it as one signal, and what it can be told

Import from those; this module exports nothing.
"""
