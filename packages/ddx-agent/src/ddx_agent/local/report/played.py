"""One sample event as it was played: what was expected, and what came of it. Pure."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from ..function import Outcome, Sample
from ..invocation import InvokeResult


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """One sample event and what came of it."""

    name: str
    expected: Outcome
    outcome: str
    as_expected: bool
    request_id: str
    error_type: str | None
    """The name in the error document, which the function chose; else the platform's type."""
    response: Any
    init_ms: float | None
    response_ms: float
    total_ms: float
    overhead_ms: float
    billed_ms: int
    memory_mb: int
    max_memory_mb: int
    log_lines: tuple[tuple[str, str], ...]


def played(sample: Sample, result: InvokeResult) -> Played:
    outcome = _outcome_of(result)
    response = _readable(result.payload)
    return Played(
        name=sample.name,
        expected=sample.expect,
        outcome=outcome,
        as_expected=outcome == sample.expect,
        request_id=result.request_id,
        error_type=_error_name(response) or result.error_type if result.function_error else result.error_type,
        response=response,
        init_ms=result.init_ms,
        response_ms=result.response_ms,
        total_ms=result.total_ms,
        overhead_ms=result.overhead_ms,
        billed_ms=result.billed_ms,
        memory_mb=result.memory_mb,
        max_memory_mb=result.max_memory_mb,
        log_lines=result.log_lines,
    )


def _outcome_of(result: InvokeResult) -> str:
    """`success`, `error` or `timeout` of the function; `failure` is the platform's or an extension's, and never expected."""
    if result.status == "error" and (result.error_type or "").startswith(("Extension.", "Sandbox.")):
        return "failure"
    return result.status


def _error_name(response: Any) -> str | None:
    match response:
        case {"errorType": str() as name} if name:
            return name
        case _:
            return None


def _readable(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode("utf-8", "replace")
