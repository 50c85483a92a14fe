"""The real dd-trace-py, in a process of its own, sends to a pipeline: every span arrives as the program made it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from ddx_core.http import open_unix_listener
from ddx_core.pipeline import FlushKind
from tests.traces.protobuf_reader import read_agent_payload
from tests.traces.support import body_of
from tests.traces.test_routes import serving

pytestmark = pytest.mark.system

program = """
import json
from ddtrace import tracer

made = []
statement = "SELECT * FROM orders WHERE id = 7"

def note(span):
    made.append({
        "traceID": span.trace_id & (2**64 - 1), "upper": span.trace_id >> 64, "spanID": span.span_id,
        "parentID": span.parent_id or 0, "name": span.name, "service": span.service, "resource": span.resource,
        "type": span.span_type or "", "error": span.error, "start": span.start_ns, "duration": span.duration_ns,
    })

for number in range(30):
    with tracer.trace("web.request", service="shop", resource="GET /orders/{id}", span_type="web") as root:
        root.set_tag("customer", "Zoë 🐶")
        root.set_tag("env", "staging")
        root.set_metric("items", number + 0.5)
        root.set_metric("whole", number)
        with tracer.trace("postgres.query", service="db", resource=statement, span_type="sql") as query:
            query.set_tag("component", "psycopg")
            query.link_span(root.context, {"why": "because"})
            query._add_event("retried", {"times": 2, "from": ["a", "b"], "final": True, "ratio": 0.5}, 1700000000000000000)
            query._set_struct_tag("plan", {"steps": [1, {"cost": 2.5}]})
        try:
            with tracer.trace("work") as work:
                raise ValueError("a handled error")
        except ValueError:
            pass
    for span in (root, query, work):
        note(span)
with tracer.trace("http.request", resource="GET /2018-06-01/runtime/invocation/next") as own:
    own.set_tag("http.url", "http://127.0.0.1:9001/2018-06-01/runtime/invocation/next")
tracer.flush()
tracer.shutdown()
print(json.dumps(made))
"""


async def run_program(url: str, api_version: str, **more: str) -> list[dict[str, Any]]:
    environment = {
        "DD_TRACE_AGENT_URL": url,
        "DD_TRACE_API_VERSION": api_version,
        "DD_SERVICE": "orders",
        "DD_VERSION": "1.2.3",
        "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
        "DD_REMOTE_CONFIGURATION_ENABLED": "false",
        "DD_CRASHTRACKING_ENABLED": "false",
        "DD_TRACE_STARTUP_LOGS": "false",
        **more,
    }
    done = await trio.run_process(
        [sys.executable, "-c", program], env=environment, capture_stdout=True, capture_stderr=True
    )
    assert b"429" not in done.stderr
    return msgspec.json.decode(done.stdout)


@pytest.mark.parametrize("way", ["tcp", "unix"])
@pytest.mark.parametrize(
    ("api_version", "more"),
    [("v0.4", {}), ("v0.5", {}), ("v0.4", {"DD_TRACE_NATIVE_SPAN_EVENTS": "true"})],
    ids=["v0.4", "v0.5", "events"],
)
async def test_spans_of_the_real_tracer_arrive_whole(
    api_version: str, more: dict[str, str], way: str, tmp_path: Path
) -> None:
    path = tmp_path / "apm.socket"
    async with serving(also=[open_unix_listener(str(path))]) as rig:
        url = f"http://127.0.0.1:{rig.port}" if way == "tcp" else f"unix://{path}"
        with trio.fail_after(60):
            made = await run_program(url, api_version, **more)
        await rig.pipeline.flush(FlushKind.FINAL)
        rig.check()
        assert rig.dropped("filtered") == 1
        assert set(rig.account.snapshot().dropped) == {"filtered"}
        tracer_payloads = [
            each for payload in rig.intake.traces for each in read_agent_payload(body_of(payload))["tracerPayloads"]
        ]
        for each in tracer_payloads:
            assert (each["languageName"], each["env"], each["appVersion"]) == ("python", "staging", "1.2.3")
            assert each["runtimeID"]
            assert each["tracerVersion"]
        chunks = [chunk for each in tracer_payloads for chunk in each["chunks"]]
        assert {chunk["priority"] for chunk in chunks} == {1}
        spans = {span["spanID"]: span for chunk in chunks for span in chunk["spans"]}
        assert len(spans) == len(made) == rig.delivered
        for expected in made:
            span = spans[expected["spanID"]]
            upper = expected.pop("upper")
            expected["resource"] = expected["resource"].replace("id = 7", "id = ?")
            assert {name: span[name] for name in expected} == expected
            assert span["meta"]["functionname"] == "orders"
            match expected["name"]:
                case "web.request":
                    assert span["meta"]["customer"] == "Zoë 🐶"
                    assert span["meta"]["_dd.p.tid"] == f"{upper:016x}"
                    assert span["metrics"]["items"] == span["metrics"]["whole"] + 0.5
                    assert span["metrics"]["_top_level"] == 1
                case "postgres.query":
                    assert span["meta"]["component"] == "psycopg"
                    check_link(span, api_version)
                    check_event(span, is_native=bool(more))
                    if api_version == "v0.4":
                        assert msgspec.msgpack.decode(span["meta_struct"]["plan"]) == {"steps": [1, {"cost": 2.5}]}
                case _:
                    assert span["error"] == 1
                    assert span["meta"]["error.message"] == "a handled error"
                    assert "ValueError" in span["meta"]["error.stack"]


def check_link(span: dict[str, Any], api_version: str) -> None:
    if api_version == "v0.4":
        (link,) = span["spanLinks"]
        assert (link["spanID"], link["attributes"]) == (span["parentID"], {"why": "because"})
        assert link["traceID"] == span["traceID"]
        return
    (written,) = msgspec.json.decode(span["meta"]["_dd.span_links"])
    assert int(written["span_id"], 16) == span["parentID"]
    assert written["attributes"] == {"why": "because"}


def check_event(span: dict[str, Any], *, is_native: bool) -> None:
    if not is_native:
        (written,) = msgspec.json.decode(span["meta"]["events"])
        assert (written["name"], written["time_unix_nano"]) == ("retried", 1_700_000_000_000_000_000)
        assert written["attributes"] == {"times": 2, "from": ["a", "b"], "final": True, "ratio": 0.5}
        return
    (event,) = span["spanEvents"]
    assert (event["name"], event["time_unix_nano"]) == ("retried", 1_700_000_000_000_000_000)
    values = event["attributes"]
    assert values["times"]["int_value"] == 2
    assert values["final"]["bool_value"] is True
    assert values["ratio"]["double_value"] == 0.5
    assert [each["string_value"] for each in values["from"]["array_value"]["values"]] == ["a", "b"]
