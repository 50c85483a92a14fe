"""Lambda's quotas: how much, how many and how long, as AWS publishes them ("Lambda quotas")."""

from __future__ import annotations

max_extensions = 10

min_memory_mb = 128
max_memory_mb = 10_240
max_timeout_s = 900

max_payload_bytes = 6 * 1024 * 1024 + 100
"""6291556: of an event and of a buffered response."""

max_streamed_bytes = 20 * 1024 * 1024
"""What a streamed response may hold: AWS's first published limit for response streaming."""

max_async_payload_bytes = 1024 * 1024
"""Of an asynchronous event (invocation type `Event`)."""
