"""The request headers in which tracers describe themselves. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from ..parts import PayloadFields
from ..span import Tracer, TracerPayload

max_value_length: Final = 256
"""No version or language is longer; a value is cut here because it is passed on with every payload."""

_falsehoods = frozenset({"", "0", "f", "F", "false", "False", "FALSE"})


def read_tracer_payload(headers: Mapping[str, str]) -> TracerPayload:
    """`headers` by lower-case name."""

    def value(name: str) -> str:
        return headers.get(name, "")[:max_value_length]

    return TracerPayload(
        tracer=Tracer(
            language=value("datadog-meta-lang"),
            language_version=value("datadog-meta-lang-version"),
            interpreter=value("datadog-meta-lang-interpreter"),
            interpreter_vendor=value("datadog-meta-lang-interpreter-vendor"),
            version=value("datadog-meta-tracer-version"),
            container_id=value("datadog-container-id"),
            computed_top_level=is_true(headers.get("datadog-client-computed-top-level")),
            computed_stats=is_true(headers.get("datadog-client-computed-stats")),
        ),
        dropped_p0_traces=_count(headers.get("datadog-client-dropped-p0-traces")),
        dropped_p0_spans=_count(headers.get("datadog-client-dropped-p0-spans")),
    )


def complete(payload: TracerPayload, told: PayloadFields) -> TracerPayload:
    """The same, with what the body tells in place of what the headers did. The environment is as it came."""
    tracer = payload.tracer
    payload.tracer = msgspec.structs.replace(
        tracer,
        language=told.language[:max_value_length] or tracer.language,
        language_version=told.language_version[:max_value_length] or tracer.language_version,
        version=told.tracer_version[:max_value_length] or tracer.version,
        container_id=told.container_id[:max_value_length] or tracer.container_id,
    )
    payload.runtime_id = told.runtime_id[:max_value_length]
    payload.tags = told.tags
    payload.env = told.env
    payload.hostname = told.hostname[:max_value_length]
    payload.app_version = told.app_version[:max_value_length]
    return payload


def is_true(value: str | None) -> bool:
    """Every text but the known ways to say no: some tracers send `yes`, others `t`."""
    return value is not None and value not in _falsehoods


def _count(value: str | None) -> int:
    """An unsigned number of at most 64 bits; anything else counts as 0."""
    if value is None or len(value) > 20 or not (value.isascii() and value.isdigit()):
        return 0
    return int(value)
