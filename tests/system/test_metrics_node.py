"""The real hot-shots, in a process of its own, sends to a pipeline over UDP: what the program counted is what arrives."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import trio

from ddx_core.pipeline import FlushKind, start_contained
from ddx_metrics.dogstatsd.server import bind_dogstatsd
from tests.metrics.support import Rig

pytestmark = pytest.mark.system

version = "10"

program = """
const StatsD = require("hot-shots");
const client = new StatsD({
  host: "127.0.0.1", port: Number(process.env.PORT), globalTags: { team: "a" }, prefix: "node.",
  maxBufferSize: Number(process.env.BUFFER), includeDatadogTelemetry: false,
});
for (let number = 0; number < 100; number++) {
  client.increment("hits", ["route:x"]);
  client.distribution("latency", number + 0.5);
  client.gauge("load", number);
  client.set("users", "user-" + (number % 7));
}
client.increment("sampled", 3, 1.0);
client.histogram("sizes", 4);
client.timing("took", 12.5);
client.decrement("down", 5);
client.event("title", "text|with a bar\\nand a line", { alert_type: "warning" }, { x: "y" });
client.check("up", client.CHECKS.CRITICAL, { message: "so so" }, ["x:y"]);
client.close(error => { if (error) { console.error(error); process.exit(1); } });
"""


@pytest.fixture(scope="module")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with hot-shots in it; npm keeps what it has downloaded."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("no Node.js here")
    folder = tmp_path_factory.mktemp("node")
    (folder / "app.js").write_text(program)
    try:
        subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", f"hot-shots@{version}"],
            cwd=folder,
            check=True,
            capture_output=True,
            timeout=120,
        )
    except (subprocess.SubprocessError, OSError) as failure:
        pytest.skip(f"npm cannot install hot-shots: {failure}")
    return folder


@pytest.mark.parametrize("buffer", [0, 1432])
async def test_what_hot_shots_sends_arrives(buffer: int, node_folder: Path) -> None:
    with bind_dogstatsd("127.0.0.1", 0) as receiving:
        rig = Rig(sockets=[receiving])
        environment = {
            "PATH": str(Path(shutil.which("node") or "").parent),
            "PORT": str(receiving.getsockname()[1]),
            "BUFFER": str(buffer),
        }
        async with trio.open_nursery() as nursery:
            await start_contained(nursery, rig.pipeline)
            with trio.fail_after(30):
                await trio.run_process(["node", "app.js"], cwd=node_folder, env=environment, capture_stderr=True)
            await rig.pipeline.flush(FlushKind.FINAL)
            nursery.cancel_scope.cancel()
    rig.check()
    assert rig.dropped == {}
    got = {metric.name: metric for metric in rig.delivered}
    assert (got["node.hits"].value, got["node.hits"].tags) == (100, ("route:x", "team:a"))
    assert (got["node.latency"].cnt, got["node.latency"].sum) == (100, 5000)
    assert (got["node.load"].value, got["node.users"].value) == (99, 7)
    assert (got["node.sampled"].value, got["node.down"].value) == (3, -5)
    assert (got["node.sizes.max"].value, got["node.took.max"].value) == (4, 12.5)
    assert {payload.path for payload in rig.intake.payloads} >= {"/intake/", "/api/v1/check_run"}
    assert rig.account.snapshot().delivered.items == 406
