"""Functions and extensions for tests of the local platform, and what the test extension wrote down."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import trio

from ddx_agent.local.function import Function
from ddx_agent.local.invocation import InvokeResult

here = Path(__file__).parent
extension_command = (sys.executable, "-S", str(here / "local_extension.py"))


def make_function(folder: Path, plan: dict[str, Any] | None = None, **settings: Any) -> Function:
    """A function whose runtime is `local_runtime.py`."""
    bootstrap = folder / "bootstrap"
    bootstrap.write_text(f"#!/bin/sh\nexec {sys.executable} -I -S {here / 'local_runtime.py'}\n")
    bootstrap.chmod(0o755)
    environment = {"RUNTIME_PLAN": json.dumps(plan or {}), **settings.pop("environment", {})}
    defaults: dict[str, Any] = {"name": "tested", "handler": "bootstrap", "timeout_s": 10.0}
    return Function(folder=folder, runtime="bootstrap", environment=environment, **(defaults | settings))


class Recording:
    """What `local_extension.py` saw."""

    def __init__(self, folder: Path, plan: dict[str, Any] | None = None) -> None:
        self._file = folder / "extension.jsonl"
        self.environment = {
            "EXTENSION_PLAN": json.dumps({"subscribe": {}} | (plan or {})),
            "EXTENSION_RECORD": str(self._file),
        }

    def entries(self, kind: str) -> list[dict[str, Any]]:
        if not self._file.exists():
            return []
        lines = self._file.read_text(encoding="utf-8").splitlines(keepends=True)
        found = [json.loads(line) for line in lines if line.endswith("\n")]
        return [entry for entry in found if entry["kind"] == kind]

    def batches(self) -> list[list[dict[str, Any]]]:
        return [entry["events"] for entry in self.entries("telemetry") if entry["status"] == 200]

    def telemetry(self) -> list[dict[str, Any]]:
        return [event for batch in self.batches() for event in batch]

    def types(self) -> list[str]:
        return [event["type"] for event in self.telemetry()]

    def records(self, type: str) -> list[Any]:
        return [event["record"] for event in self.telemetry() if event["type"] == type]

    def lifecycle(self) -> list[dict[str, Any]]:
        return [entry["event"] for entry in self.entries("event")]

    async def wait_for(self, type: str, count: int = 1) -> None:
        """Until that many telemetry events of a type have been delivered."""
        with trio.fail_after(10):
            while len(self.records(type)) < count:  # noqa: ASYNC110 - a file of another process tells nobody
                await trio.sleep(0.01)


def answer(result: InvokeResult) -> Any:
    return msgspec.json.decode(result.payload)


def process_state(pid: int) -> str:
    """The letter of /proc/PID/stat: R, S, T (stopped), Z; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def make_result(**changes: Any) -> InvokeResult:
    """A success, save for what is changed."""
    facts: dict[str, Any] = {
        "request_id": "r1",
        "payload": b'{"ok":true}',
        "function_error": None,
        "error_type": None,
        "status": "success",
        "log_tail": b"",
        "response_ms": 12.34,
        "total_ms": 20.0,
        "overhead_ms": 7.5,
        "init_ms": 345.6,
        "billed_ms": 20,
        "memory_mb": 256,
        "max_memory_mb": 77,
        "log_lines": (("function", "hello"), ("datadog-agent", "noise")),
    }
    return InvokeResult(**(facts | changes))
