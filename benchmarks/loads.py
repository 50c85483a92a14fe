"""The agent under load: ddx in one long invocation, or the peer by itself."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.extension import Extension
from benchmarks.intake import Intake
from benchmarks.lambda_stand_in import LambdaStandIn
from benchmarks.peer import Peer
from benchmarks.processes import cpu_s, wait_until_idle

_request_id = "00000000-0000-4000-8000-000000000000"


class Subject(NamedTuple):
    """What a load is put on: its ports, the process that does the work, the intake behind it.

    `end_invocation` ends it, with a flush, and returns the CPU seconds of that; `end` then ends the sandbox and returns the
    accounts by signal. Both mean nothing to the peer.
    """

    statsd_port: int
    traces_port: int
    pid: int
    intake: Intake
    end_invocation: Callable[[], float]
    end: Callable[[], dict[str, Any]]
    has_accounts: bool


@contextmanager
def open_ddx(strategy: str, **settings: str) -> Generator[Subject]:
    """`strategy`: how it flushes (DD_SERVERLESS_FLUSH_STRATEGY); `settings` are more variables."""
    with (
        Intake() as intake,
        LambdaStandIn() as lambda_,
        Extension(lambda_, intake_url=intake.url, DD_SERVERLESS_FLUSH_STRATEGY=strategy, **settings) as extension,
    ):
        lambda_.asked_next()
        wait_until_idle([extension.agent_pid])
        lambda_.invoke(_request_id, within_s=300)

        def end_invocation() -> float:
            before_s = cpu_s(extension.agent_pid)
            lambda_.end(_request_id)
            lambda_.asked_next()
            wait_until_idle([extension.agent_pid])
            return cpu_s(extension.agent_pid) - before_s

        yield Subject(
            extension.statsd_port,
            extension.traces_port,
            extension.agent_pid,
            intake,
            end_invocation,
            extension.end,
            has_accounts=True,
        )


@contextmanager
def open_peer(binary: Path) -> Generator[Subject]:
    with Intake() as intake, Peer(binary, intake_url=intake.url) as peer:
        wait_until_idle([peer.pid])
        yield Subject(peer.statsd_port, peer.traces_port, peer.pid, intake, float, dict, has_accounts=False)
