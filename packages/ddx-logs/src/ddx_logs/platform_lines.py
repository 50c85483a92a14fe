"""The text of platform log lines, in the words of Lambda's own log as the vendor's extension writes them. Pure.

Rules: single spaces only; durations with exactly two decimals; integers as integers. Users' log queries and pipelines
match these texts, so a change of wording is a change of behaviour (bottlecap `logs/lambda/processor.rs`).
"""

from __future__ import annotations

from ddx_core.events import InitStart, Report, RuntimeDone, Start

from .record import Status

unknown_error = " Task failed with an unknown error"


def init_start_text(event: InitStart) -> str:
    return (
        f"INIT_START Runtime Version: {event.runtime_version or '?'}"
        f" Runtime Version ARN: {event.runtime_version_arn or '?'}"
    )


def start_text(event: Start) -> str:
    return f"START RequestId: {event.request_id} Version: {event.version or '$LATEST'}"


def end_text(event: RuntimeDone) -> str:
    """Says why the invocation failed, when the event has the metrics to tell."""
    text = f"END RequestId: {event.request_id}"
    if event.metrics is None:
        return text
    match event.status:
        case "timeout":
            return text + timed_out(event.metrics.duration_ms)
        case "error":
            return text + (f" Task failed: {quoted(event.error_type)}" if event.error_type else unknown_error)
        case _:
            return text


def report_text(event: Report, *, runtime_ms: float) -> str:
    """The on-demand form when the event has all that it shows, else the short form of Managed Instances.

    `runtime_ms` is the duration that the invocation's runtimeDone told; 0 when it told none.
    """
    metrics = event.metrics
    if metrics.is_on_demand:
        post_ms = metrics.duration_ms - runtime_ms if runtime_ms > 0 else 0.0
        text = (
            f"REPORT RequestId: {event.request_id} Duration: {metrics.duration_ms:.2f} ms"
            f" Runtime Duration: {runtime_ms:.2f} ms Post Runtime Duration: {post_ms:.2f} ms"
            f" Billed Duration: {metrics.billed_duration_ms or 0:.0f} ms"
            f" Memory Size: {metrics.memory_size_mb} MB Max Memory Used: {metrics.max_memory_used_mb} MB"
        )
        if metrics.init_duration_ms is not None:
            text += f" Init Duration: {metrics.init_duration_ms:.2f} ms"
        return text
    text = f"REPORT RequestId: {event.request_id} Runtime Duration: {metrics.duration_ms:.2f} ms"
    match event.status:
        case "timeout":
            return text + timed_out(metrics.duration_ms)
        case "error":
            return text + (f" Task failed: {event.error_type}" if event.error_type else unknown_error)
        case _:
            return text


def status_of(event: RuntimeDone | Report) -> Status:
    """`failure` stays at info, as users of the vendor's extension know it."""
    return Status.ERROR if event.status in ("timeout", "error") else Status.INFO


def timed_out(duration_ms: float) -> str:
    return f" Task timed out after {duration_ms / 1000:.2f} seconds"


def quoted(text: str) -> str:
    """In double quotes, with the escapes that the vendor's END line uses."""
    return '"' + "".join(_escape(character) for character in text) + '"'


_escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"}


def _escape(character: str) -> str:
    if character in _escapes:
        return _escapes[character]
    return character if character.isprintable() else f"\\u{{{ord(character):x}}}"
