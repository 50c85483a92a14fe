"""Serverless traces: a trace agent, its processing, statistics and encoding.

`span` is what everything is about. `agent` turns requests into `parts` of traces, `process` and `encode` turn their spans
into what the intake takes, `store` holds them in between, `stats` does the same for statistics, and `pipeline` puts a server
before and an outbox behind. `messagepack` opens what tracers send with care, `scan` reads it token by token where msgspec
cannot. Import from those; this module exports nothing.
"""
