"""The real dd-trace-js under Node.js sends to a pipeline: every span arrives as the program made it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from ddx_core.pipeline import FlushKind
from tests.traces.protobuf_reader import read_agent_payload
from tests.traces.support import body_of
from tests.traces.test_routes import serving

pytestmark = pytest.mark.system

version = "5.132.0"

program = """
const tracer = require('dd-trace').init({ flushInterval: 0, startupLogs: false })
const made = []
function note (span, fields) {
  const context = span.context()
  made.push({
    spanID: context.toSpanId(), traceID: context.toTraceId(), upper: context._trace.tags['_dd.p.tid'],
    parentID: context._parentId ? context._parentId.toString(10) : '0', ...fields
  })
}
for (let number = 0; number < 10; number++) {
  const root = tracer.startSpan('web.request', { tags: {
    'service.name': 'shop', 'resource.name': 'GET /orders/{id}', 'span.type': 'web', customer: 'Zoë 🐶', items: number + 0.5
  } })
  const query = tracer.startSpan('postgres.query', { childOf: root, tags: {
    'service.name': 'db', 'resource.name': 'SELECT * FROM orders WHERE id = 7', 'span.type': 'sql', component: 'pg'
  } })
  query.addLink({ context: root.context(), attributes: { why: 'because' } })
  query.setTag('error', new Error('a handled error'))
  query.finish()
  root.finish()
  note(root, { name: 'web.request', service: 'shop', resource: 'GET /orders/{id}', type: 'web', error: 0 })
  note(query, { name: 'postgres.query', service: 'db', resource: 'SELECT * FROM orders WHERE id = ?', type: 'sql', error: 1 })
}
// It tells nobody when it has sent everything.
setTimeout(() => { console.log(JSON.stringify(made)); process.exit(0) }, 1500)
"""


@pytest.fixture(scope="session")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with dd-trace in it; npm keeps what it has downloaded."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("there is no Node.js")
    folder = tmp_path_factory.mktemp("node")
    (folder / "package.json").write_text('{"name": "shop", "version": "1.0.0"}', encoding="utf-8")
    try:
        subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", f"dd-trace@{version}"],
            cwd=folder,
            check=True,
            capture_output=True,
            timeout=240,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as failure:
        pytest.skip(f"npm cannot install dd-trace: {failure}")
    (folder / "app.js").write_text(program, encoding="utf-8")
    return folder


@pytest.mark.parametrize("protocol", ["0.4", "0.5"])
async def test_spans_of_the_real_tracer_arrive_whole(protocol: str, node_folder: Path) -> None:
    async with serving() as rig:
        environment = {
            "PATH": str(Path(shutil.which("node") or "").parent),
            "DD_TRACE_AGENT_URL": f"http://127.0.0.1:{rig.port}",
            "DD_TRACE_AGENT_PROTOCOL_VERSION": protocol,
            "DD_SERVICE": "orders",
            "DD_ENV": "staging",
            "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
            "DD_REMOTE_CONFIGURATION_ENABLED": "false",
            "DD_CRASHTRACKING_ENABLED": "false",
        }
        with trio.fail_after(60):
            done = await trio.run_process(
                ["node", "app.js"], cwd=node_folder, env=environment, capture_stdout=True, capture_stderr=True
            )
        made: list[dict[str, Any]] = msgspec.json.decode(done.stdout)
        assert len(made) == 20, done.stderr
        await rig.pipeline.flush(FlushKind.FINAL)
        rig.check()
        assert not rig.account.snapshot().dropped
        payloads = [
            each for payload in rig.intake.traces for each in read_agent_payload(body_of(payload))["tracerPayloads"]
        ]
        assert {(each["languageName"], each["tracerVersion"], each["env"]) for each in payloads} == {
            ("nodejs", version, "staging")
        }
        spans = {str(span["spanID"]): span for each in payloads for chunk in each["chunks"] for span in chunk["spans"]}
        assert len(spans) == len(made)
        for expected in made:
            span = spans[expected["spanID"]]
            assert (str(span["traceID"]), str(span["parentID"])) == (expected["traceID"], expected["parentID"])
            for name in ("name", "service", "resource", "type", "error"):
                assert span[name] == expected[name]
            if expected["name"] == "web.request":
                assert span["meta"]["_dd.p.tid"] == expected["upper"]
                assert span["meta"]["customer"] == "Zoë 🐶"
                assert span["metrics"]["items"] % 1 == 0.5
            else:
                assert span["meta"]["error.message"] == "a handled error"
                (link,) = msgspec.json.decode(span["meta"]["_dd.span_links"])
                assert link["attributes"] == {"why": "because"}
                assert int(link["span_id"], 16) == span["parentID"]
