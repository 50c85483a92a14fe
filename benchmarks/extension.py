"""`ddx extension` as Lambda starts it: the console script, in an environment with nothing in it that is not needed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.lambda_stand_in import LambdaStandIn, arn
from benchmarks.processes import Memory, children, cpu_s, free_port, memory, minimal_environment, wait_until

ddx = Path(sys.executable).with_name("ddx")


class Extension:
    """The two processes of one sandbox, as a context manager. `started` is when exec was asked for."""

    def __init__(self, lambda_: LambdaStandIn, *, intake_url: str, **settings: str) -> None:
        self._lambda = lambda_
        self._folder = tempfile.TemporaryDirectory(prefix="ddx-bench-")
        folder = Path(self._folder.name)
        self._accounts = folder / "accounts.jsonl"
        self._log = folder / "log"
        self.lifecycle_port, self.traces_port, telemetry_port = free_port(), free_port(), free_port()
        self.statsd_port = free_port(socket.SOCK_DGRAM)
        self._environment = minimal_environment(
            AWS_LAMBDA_RUNTIME_API=lambda_.address,
            AWS_LAMBDA_FUNCTION_NAME=arn.rpartition(":")[2],
            AWS_LAMBDA_FUNCTION_MEMORY_SIZE="512",
            AWS_REGION="eu-west-1",
            DD_API_KEY="0" * 32,
            DD_DD_URL=intake_url,
            DD_LOGS_CONFIG_LOGS_DD_URL=intake_url,
            DD_APM_DD_URL=intake_url,
            DD_SERVICE="orders",
            DD_ENV="bench",
            DDX_ACCOUNTS_FILE=str(self._accounts),
            DDX_SPOOL_DIR=str(folder / "spool"),
            DDX_LIFECYCLE_PORT=str(self.lifecycle_port),
            DD_DOGSTATSD_PORT=str(self.statsd_port),
            DD_APM_RECEIVER_PORT=str(self.traces_port),
            DDX_TELEMETRY_PORT=str(telemetry_port),
            DDX_TELEMETRY_HOST="127.0.0.1",
            **settings,
        )
        self._agent_pid = 0
        with self._log.open("wb") as log:
            self.started = time.perf_counter()
            self._process = subprocess.Popen([ddx, "extension"], env=self._environment, stdout=log, stderr=log)

    def __enter__(self) -> Extension:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process.poll() is None:
            # The agent first: without its keeper it would go on until the invocation's deadline.
            for pid in (*children(self.keeper_pid), self.keeper_pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait()
        if error is not None:
            sys.stderr.write(f"the extension said:\n{self._log.read_text()[-4000:]}\n")
        self._folder.cleanup()

    @property
    def keeper_pid(self) -> int:
        return self._process.pid

    @property
    def agent_pid(self) -> int:
        if not self._agent_pid:
            (self._agent_pid,) = children(self.keeper_pid)
        return self._agent_pid

    def cpu_s(self) -> float:
        return cpu_s(self.keeper_pid) + cpu_s(self.agent_pid)

    def keeper_memory(self) -> Memory:
        return memory(self.keeper_pid)

    def agent_memory(self) -> Memory:
        return memory(self.agent_pid)

    def end(self) -> dict[str, Any]:
        """Shut the environment down while the extension waits for its next event; the accounts by signal, which must close."""
        self._lambda.shutdown()
        wait_until(lambda: self._process.poll() is not None, "the extension's end")
        accounts: dict[str, Any] = json.loads(self._accounts.read_text().splitlines()[-1])["signals"]
        for name, account in accounts.items():
            assert account["closes"], (name, account)
        return accounts
