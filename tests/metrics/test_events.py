"""Events and service checks: lines to values, values to payloads, and both through the whole pipeline.

Vectors: DogStatsD documentation ("Events", "Service checks"), the Agent's parser tests.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddx_agent.local.intake import Event as Arrived
from ddx_agent.local.intake.decode import decode_agent_events, decode_body, decode_checks
from ddx_core.intake import Payload
from ddx_core.pipeline import FlushKind
from ddx_metrics.events import Event, ServiceCheck, parse_event, parse_service_check
from ddx_metrics.settings import Cardinality, MetricsSettings
from tests.support.cancel import cancel_at_every_step

from .support import Rig, noon_s

events: list[tuple[str, Event]] = [
    ("_e{10,9}:test title|test text", Event(title="test title", text="test text")),
    (
        r"_e{10,24}:test|title|test\line1\nline2\nline3",
        Event(title="test|title", text="test\\line1\nline2\nline3"),
    ),
    ("_e{10,0}:test title||t:warning", Event(title="test title", text="", alert_type="warning")),
    ("_e{5,4}:title|text|d:21", Event(title="title", text="text", time_s=21)),
    ("_e{5,4}:title|text|d:abc", Event(title="title", text="text")),
    ("_e{5,4}:title|text|d:0", Event(title="title", text="text")),
    ("_e{5,4}:title|text|p:urgent", Event(title="title", text="text")),
    ("_e{5,4}:title|text|p:low", Event(title="title", text="text", priority="low")),
    ("_e{5,4}:title|text|t:test", Event(title="title", text="text")),
    ("_e{5,4}:title|text|x:1234", Event(title="title", text="text")),
    ("_e{5,4}:title|text|t:error|t:success", Event(title="title", text="text", alert_type="success")),
    ("_e{5,4}:title|text|#", Event(title="title", text="text")),
    ("_e{5,4}:title|text|#a,,b:c,a", Event(title="title", text="text", tags=("a", "b:c"))),
    ("_e{5,4}:title|text|c:abc|e:it-false,cn-x|card:high", Event(title="title", text="text")),
    ("_e{8,10}:♬†ø|Motörhead", Event(title="♬†ø", text="Motörhead")),
    (
        "_e{10,9}:test title|test text|t:warning|d:12345|p:low|h:some.host|k:aggKey|s:source test|#tag1,tag2:test",
        Event(
            title="test title",
            text="test text",
            time_s=12345,
            host="some.host",
            aggregation_key="aggKey",
            priority="low",
            source_type="source test",
            alert_type="warning",
            tags=("tag1", "tag2:test"),
        ),
    ),
]


@pytest.mark.parametrize(("line", "expected"), events)
def test_an_event_is_read(line: str, expected: Event) -> None:
    assert parse_event(line.encode()) == expected


@pytest.mark.parametrize(
    "line",
    [
        "_e:title|text", "_e{10,10}:title|text", "_e{0,4}:text", "_e{0,4}:|text", "_e{5,}:title|text", "_e{,}:title|text",
        "_e{a,1}:title|text", "_e{-123,-987}:", "_e{5,-987}:title", "_e{0001,-9876", "_e{", "_e{5,4}", "_e{5,4}:",
        "_e{5,4:title|text", "_e{5}:title|text", "_e{5,4}:title|tex", "_e{99999999999,1}:a|b", "_e{٥,4}:title|text",
    ],
)  # fmt: skip
def test_an_event_that_makes_no_sense_is_none(line: str) -> None:
    assert parse_event(line.encode()) is None


checks: list[tuple[str, ServiceCheck]] = [
    ("_sc|agent.up|0", ServiceCheck(name="agent.up", status=0)),
    ("_sc|agent.up|1|", ServiceCheck(name="agent.up", status=1)),
    (
        "_sc|agent.up|0|d:21|h:localhost|#tag1:test,tag2|m:this is fine",
        ServiceCheck(
            name="agent.up", status=0, time_s=21, host="localhost", message="this is fine", tags=("tag1:test", "tag2")
        ),
    ),
    (
        "_sc|agent.up|0|d:21|h:localhost|h:localhost2|d:22",
        ServiceCheck(name="agent.up", status=0, time_s=22, host="localhost2"),
    ),
    ("_sc|agent.up|3|d:x|z:1|m:", ServiceCheck(name="agent.up", status=3)),
    (r"_sc|db|2|m:first\nsecond m\: third", ServiceCheck(name="db", status=2, message="first\nsecond m: third")),
]


@pytest.mark.parametrize(("line", "expected"), checks)
def test_a_service_check_is_read(line: str, expected: ServiceCheck) -> None:
    assert parse_service_check(line.encode()) == expected


@pytest.mark.parametrize(
    "line",
    ["_sc|agent.up", "_sc|agent.up|", "_sc||", "_sc||0", "_sc|agent.up|OK", "_sc|agent.up|21", "_sc|agent.up|-1", "_sc|", "_sc"],
)  # fmt: skip
def test_a_service_check_that_makes_no_sense_is_none(line: str) -> None:
    assert parse_service_check(line.encode()) is None


def test_of_too_many_tags_the_first_are_taken_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    tags = [f"t{number}" for number in range(101)]
    enough, too_many = ",".join([*tags[:100], "t1"]).encode(), ",".join(tags).encode()
    for line in (b"_e{1,1}:a|b|#", b"_sc|db|0|#"):
        parse = parse_event if line.startswith(b"_e") else parse_service_check
        for given_tags in (enough, too_many):
            taken = parse(line + given_tags)
            assert taken is not None
            assert taken.tags == tuple(tags[:100])
    assert [record.getMessage() for record in caplog.records] == [
        "dogstatsd_tags_left_out about=event tags=101 kept=100",
        'dogstatsd_tags_left_out about="service check" tags=101 kept=100',
    ]


def test_the_container_becomes_tags_when_that_is_asked_for() -> None:
    line = b"_e{1,1}:a|b|#t:1|c:ci-abc,in-7|e:it-false,cn-web,pu-u"
    low, high = parse_event(line, Cardinality.LOW), parse_event(line, Cardinality.HIGH)
    assert low is not None
    assert high is not None
    assert (low.tags, high.tags) == (
        ("t:1", "kube_container_name:web"), ("t:1", "kube_container_name:web", "container_id:abc"),
    )  # fmt: skip


@given(st.binary(max_size=80))
def test_nothing_raises(data: bytes) -> None:
    for line in (data, b"_e{3,3}:abc|def|" + data, b"_e{" + data, b"_e{%d,0}:" % len(data) + data + b"|#a"):
        parse_event(line)
        parse_event(line, Cardinality.HIGH)
    for line in (data, b"_sc|" + data, b"_sc|n|0|" + data):
        parse_service_check(line)
        parse_service_check(line, Cardinality.HIGH)


# What a client writes for any title and text. (Real newlines and backslashes are what its escaping cannot tell apart.)
some_text = st.text(st.characters(exclude_characters="\\\n", exclude_categories=["Cs"]), max_size=40)


@given(some_text.filter(bool), some_text, st.lists(some_text.filter(lambda t: t and not {",", "|"} & {*t}), max_size=4))
def test_whatever_a_client_says_is_read_back(title: str, text: str, tags: list[str]) -> None:
    fields = f"|#{','.join(tags)}" if tags else ""
    line = f"_e{{{len(title.encode())},{len(text.encode())}}}:{title}|{text}|p:low{fields}".encode()
    assert parse_event(line) == Event(title=title, text=text, priority="low", tags=tuple(dict.fromkeys(tags)))


def documents(payloads: list[Payload], path: str) -> list[Any]:
    found = [payload for payload in payloads if payload.path == path]
    assert all(payload.content_type == "application/json" for payload in found)
    return [json.loads(decode_body(payload.body, payload.encoding, limit=1 << 23)) for payload in found]


async def test_events_are_sent_as_the_agent_sends_them() -> None:
    rig = Rig(tags=[("env", "prod")])
    rig.take(
        "_e{1,2}:a|bc|#x:y", "_e{1,0}:d||s:nagios|k:key|h:h1|t:error|d:5\n_sc|up|1|m:so so|#x:y", "_sc|db|0|d:7|h:h2"
    )
    assert rig.held == 4
    await rig.pipeline.flush(FlushKind.BLOCKING)
    (body,) = documents(rig.intake.payloads, "/intake/")
    first = {
        "msg_title": "a", "msg_text": "bc", "timestamp": noon_s, "priority": "normal", "host": "", "alert_type": "info",
        "tags": ["env:prod", "x:y"],
    }  # fmt: skip
    second = {
        "msg_title": "d", "msg_text": "", "timestamp": 5, "priority": "normal", "host": "h1", "alert_type": "error",
        "tags": ["env:prod"], "aggregation_key": "key", "source_type_name": "nagios",
    }  # fmt: skip
    assert body == {"apiKey": "", "events": {"api": [first], "nagios": [second]}, "internalHostname": ""}
    assert documents(rig.intake.payloads, "/api/v1/check_run") == [
        [
            {"check": "up", "host_name": "", "timestamp": noon_s, "status": 1, "message": "so so", "tags": ["env:prod", "x:y"]},
            {"check": "db", "host_name": "h2", "timestamp": 7, "status": 0, "message": "", "tags": ["env:prod"]},
        ]
    ]  # fmt: skip
    rig.check()
    assert rig.account.snapshot().delivered.items == 4
    assert rig.dropped == {}


async def test_a_malformed_event_costs_itself() -> None:
    rig = Rig()
    rig.take("_e{5,10}:event|short\nm:1|c\n_sc|x|9\n_e{5,10}:event|test event")
    assert rig.dropped == {"malformed": 2}
    assert rig.held == 2


async def test_no_more_wait_than_there_is_room_for_and_the_oldest_go_first() -> None:
    rig = Rig(MetricsSettings(events_bytes=5_000))
    for number in range(100):
        rig.take(f"_e{{3,0}}:{number:03}|", f"_sc|c{number}|0")
    lost = rig.dropped
    assert 0 < lost["events_full"] < 100
    assert 0 < lost["service_checks_full"] < 100
    await rig.pipeline.flush(FlushKind.FINAL)
    rig.check()
    arrived: list[Arrived] = []
    for payload in rig.intake.payloads:
        if payload.path == "/intake/":
            arrived += decode_agent_events(decode_body(payload.body, payload.encoding, limit=1 << 23), request=1)
    assert [event.title for event in arrived] == [f"{number:03}" for number in range(lost["events_full"], 100)]


async def test_many_leave_in_several_payloads_and_while_the_intake_is_down_they_wait() -> None:
    rig = Rig()
    rig.intake.is_down = True
    for number in range(450):
        rig.take(f"_sc|c{number}|0")
    await rig.pipeline.flush(FlushKind.BLOCKING)
    rig.check()
    assert rig.held == 450
    rig.intake.is_down = False
    await rig.pipeline.flush(FlushKind.FINAL)
    rig.check()
    bodies = [decode_body(payload.body, payload.encoding, limit=1 << 23) for payload in rig.intake.payloads]
    assert sorted(len(decode_checks(body, request=1)) for body in bodies) == [50, 200, 200]


@pytest.mark.parametrize("kind", list(FlushKind))
async def test_a_flush_cancelled_at_any_step_loses_no_event(kind: FlushKind) -> None:
    rig = Rig()

    async def fill_and_flush() -> None:
        nonlocal rig
        rig = Rig()
        rig.take(*(f"_e{{3,0}}:{number:03}|\n_sc|c{number}|0" for number in range(250)))
        await rig.pipeline.flush(kind)

    async def check(completed: bool) -> None:
        rig.check()
        assert not completed or rig.held == 0
        await rig.pipeline.flush(FlushKind.BLOCKING)
        rig.check()
        assert rig.account.snapshot().delivered.items == rig.account.snapshot().accepted.items == 500
        assert len(rig.intake.payloads) == 4

    assert await cancel_at_every_step(fill_and_flush, check) > 2
