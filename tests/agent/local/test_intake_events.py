"""Events and service checks at the embedded intake: decoded, kept, asked for, counted."""

from __future__ import annotations

import pytest

from ddx_agent.local.intake import Event, ServiceCheck
from ddx_agent.local.intake.decode import DecodeError, decode_agent_events, decode_checks, decode_event
from tests.agent.local.test_intake import intake_and_client, json_type

agent_body = b"""{"apiKey":"","internalHostname":"","events":{"api":[{"msg_title":"a","msg_text":"b","timestamp":7,
"priority":"low","host":"h","alert_type":"error","tags":["x:y"],"aggregation_key":"k"}],"nagios":[
{"msg_title":"c","msg_text":"","timestamp":8,"source_type_name":"nagios"}]}}"""
first = Event(
    request=1, source="api", title="a", text="b", timestamp_s=7, priority="low", alert_type="error", aggregation_key="k",
    host="h", tags=("x:y",),
)  # fmt: skip
up = ServiceCheck(request=2, name="up", status=2, timestamp_s=9, message="so so", host=None, tags=("x:y",))
checks_body = b'[{"check":"up","status":2,"timestamp":9,"message":"so so","host_name":"","tags":["x:y"]}]'


async def test_they_can_be_asked_for() -> None:
    async with intake_and_client() as (intake, client):
        for path, body in (("/intake/", agent_body), ("/api/v1/check_run", checks_body)):
            assert (await client.post(path, content=body, headers=json_type)).status_code == 202
        assert intake.store.events(source="api") == [first]
        assert [event.source for event in intake.store.events()] == ["api", "nagios"]
        assert intake.store.events(title="zzz") == []
        assert intake.store.checks(name="up", status=2) == [up]
        assert intake.store.checks(status=0) == []
        totals = intake.store.totals()
        assert (totals.events, totals.service_checks, totals.raw) == (2, 1, {})
        assert [each["title"] for each in (await client.get("/ddx/events?title=a")).json()] == ["a"]
        assert [each["name"] for each in (await client.get("/ddx/checks?status=2")).json()] == ["up"]
        assert (await client.post("/intake/", content=b"{", headers=json_type)).status_code == 400


def test_the_public_apis_single_ones_are_read_too() -> None:
    (event,) = decode_event(b'{"title":"t","text":"x","date_happened":5,"tags":["a"]}', request=3)
    assert (event.title, event.text, event.timestamp_s, event.source, event.tags) == ("t", "x", 5, "api", ("a",))
    (check,) = decode_checks(b' {"check":"c","status":0}', request=3)
    assert (check.name, check.status, check.timestamp_s, check.message) == ("c", 0, None, "")
    assert decode_agent_events(b'{"internalHostname":"h"}', request=3) == []


@pytest.mark.parametrize(
    "body", [b"", b"[1]", b'[{"check":"","status":0}]', b'[{"check":"c","status":4}]', b'{"check":"c"}']
)
def test_checks_that_make_no_sense_are_refused(body: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_checks(body, request=1)
