"""The namespace: what may be one, and which names go without."""

from __future__ import annotations

import pytest

from ddx_metrics.dogstatsd import Namespace, valid_namespace


@pytest.mark.parametrize("text", ["myapp", "my_app", "my.app", "myApp123", "a1.b2_c3"])
def test_a_beginning_of_a_name_is_taken(text: str) -> None:
    assert valid_namespace(text) == text
    assert valid_namespace(f" \t{text}\n") == text


@pytest.mark.parametrize(
    "text",
    ["", "  ", "1myapp", "_myapp", ".myapp", "-myapp", "my-app", "my app", "my@app", "my#app", "my$app", "my!app", "é"],
)
def test_anything_else_is_no_namespace(text: str) -> None:
    assert valid_namespace(text) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("my.metric", "ns.my.metric"),
        ("datadog.tracer.flush_triggered", "datadog.tracer.flush_triggered"),
        ("datadog.dogstatsd.client.metrics", "datadog.dogstatsd.client.metrics"),
        ("runtime.go.mem", "runtime.go.mem"),
        ("jvm.heap", "jvm.heap"),
        ("aws.lambda.enhanced.errors", "aws.lambda.enhanced.errors"),
        ("kafkaesque.feeling", "ns.kafkaesque.feeling"),
    ],
)
def test_names_with_dashboards_of_their_own_are_left_alone(name: str, expected: str) -> None:
    assert Namespace("ns").apply(name) == expected
    assert Namespace(None).apply(name) == name
