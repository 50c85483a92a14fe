"""What tracers say of themselves. Vectors of booleans: the extension's trace_agent.rs."""

from __future__ import annotations

import pytest

from ddx_traces.agent import read_tracer_payload
from ddx_traces.agent.headers import is_true
from ddx_traces.span import Tracer, TracerPayload


@pytest.mark.parametrize("value", ["true", "yes", "t", "1", "no", "FaLsE", " "])
def test_every_text_but_the_known_falsehoods_is_true(value: str) -> None:
    assert is_true(value)


@pytest.mark.parametrize("value", [None, "", "false", "0", "f", "F", "FALSE", "False"])
def test_known_falsehoods_and_nothing_are_false(value: str | None) -> None:
    assert not is_true(value)


def test_all_headers_are_read() -> None:
    payload = read_tracer_payload(
        {
            "datadog-meta-lang": "python",
            "datadog-meta-lang-version": "3.12.1",
            "datadog-meta-lang-interpreter": "CPython",
            "datadog-meta-lang-interpreter-vendor": "PSF",
            "datadog-meta-tracer-version": "4.1.0",
            "datadog-container-id": "abc",
            "datadog-client-computed-top-level": "yes",
            "datadog-client-computed-stats": "t",
            "datadog-client-dropped-p0-traces": "3",
            "datadog-client-dropped-p0-spans": "12",
            "x-datadog-trace-count": "1",
        }
    )
    tracer = Tracer(
        language="python",
        language_version="3.12.1",
        interpreter="CPython",
        interpreter_vendor="PSF",
        version="4.1.0",
        container_id="abc",
        computed_top_level=True,
        computed_stats=True,
    )
    assert payload == TracerPayload(tracer=tracer, dropped_p0_traces=3, dropped_p0_spans=12)


def test_no_headers_are_no_facts() -> None:
    assert read_tracer_payload({}) == TracerPayload()


@pytest.mark.parametrize("value", ["-1", "x", "", "1.5", "9" * 30, "٣"])
def test_count_that_is_no_number_is_zero(value: str) -> None:
    assert read_tracer_payload({"datadog-client-dropped-p0-traces": value}).dropped_p0_traces == 0


def test_endless_values_are_cut() -> None:
    assert len(read_tracer_payload({"datadog-meta-lang": "x" * 60_000}).tracer.language) == 256
