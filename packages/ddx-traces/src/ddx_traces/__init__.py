"""Serverless traces: a trace agent, its processing, statistics and encoding.

`span` is what everything is about. `agent` turns requests into spans, `process` and `encode` turn spans into what the intake
takes, `store` holds them in between, `stats` does the same for statistics, and `pipeline` puts a server before and an outbox
behind. Import from those; this module exports nothing.
"""
