"""The vendor's own agent for serverless, from the wheel of datadog-serverless-compat: what our numbers are put beside."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from types import TracebackType

from benchmarks.processes import accepts, free_port, kernel_drops, minimal_environment, wait_until

distribution = "datadog-serverless-compat"
# It looks for this file to learn which kind of platform it is on.
_marker = Path("/home/site/wwwroot/host.json")


def find_peer() -> tuple[Path | None, str]:
    """Its binary, or None and why not."""
    found = importlib.util.find_spec("datadog_serverless_compat")
    if found is None or found.origin is None:
        return (
            None,
            f"{distribution} is not installed (`uv run --group bench python -m benchmarks`): ddx alone is measured",
        )
    binary = next(Path(found.origin).parent.glob("bin/linux-*/datadog-serverless-compat"), None)
    if binary is None:
        return None, f"{distribution} brings no binary for this machine: ddx alone is measured"
    try:
        if not os.access(binary, os.X_OK):
            binary.chmod(0o755)
        if not _marker.exists():
            _marker.parent.mkdir(parents=True, exist_ok=True)
            _marker.touch()
    except OSError as error:
        return None, f"{distribution} cannot be run ({error}): ddx alone is measured"
    return binary, f"{distribution} {version(distribution)}"


class Peer:
    """Its process, as a context manager; `started` is when exec was asked for, `ready_s` how long its ports took from there."""

    def __init__(self, binary: Path, *, intake_url: str) -> None:
        self.statsd_port, self.traces_port = free_port(socket.SOCK_DGRAM), free_port()
        environment = minimal_environment(
            FUNCTIONS_EXTENSION_VERSION="~4",
            FUNCTIONS_WORKER_RUNTIME="python",
            WEBSITE_SITE_NAME="x",
            DD_API_KEY="0" * 32,
            # Its metrics go nowhere: only their way in is measured.
            DD_SITE="127.0.0.1:9",
            DD_APM_DD_URL=intake_url,
            DD_APM_RECEIVER_PORT=str(self.traces_port),
            DD_DOGSTATSD_PORT=str(self.statsd_port),
            DD_AGENT_STATS_COMPUTATION_ENABLED="true",
            DD_LOG_LEVEL="error",
        )
        self.started = time.perf_counter()
        self._process = subprocess.Popen(
            [binary], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(lambda: accepts(self.traces_port), "the peer's trace port", pause_s=0.0002)
        self.ready_s = time.perf_counter() - self.started
        wait_until(lambda: kernel_drops(self.statsd_port) is not None, "the peer's DogStatsD port")

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid
