"""The namespace: which names go without."""

from __future__ import annotations

import pytest

from ddx_metrics.dogstatsd.namespace import NameFilter, Namespace


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


def test_other_names_can_be_left_without_the_namespace() -> None:
    namespace = Namespace("app", ["mine."])
    assert [namespace.apply(name) for name in ("mine.x", "jvm.y", "aws.lambda.enhanced.errors")] == [
        "mine.x", "app.jvm.y", "aws.lambda.enhanced.errors",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("names", "matches_prefix", "blocked", "free"),
    [
        ((), False, [], ["a", ""]),
        (("a.b",), False, ["a.b"], ["a", "a.b.c", "a.bc"]),
        (("a.b",), True, ["a.b", "a.b.c", "a.bc"], ["a", "xa.b"]),
        (("",), True, [], ["a"]),
    ],
)
def test_names_are_blocked_whole_or_by_what_they_begin_with(
    names: tuple[str, ...], matches_prefix: bool, blocked: list[str], free: list[str]
) -> None:
    not_wanted = NameFilter(names, matches_prefix=matches_prefix)
    assert all(map(not_wanted.blocks, blocked))
    assert not any(map(not_wanted.blocks, free))
