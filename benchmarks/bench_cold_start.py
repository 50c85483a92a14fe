"""Cold start: from exec of `ddx extension` to its calls of register and next, and what both processes have used by then."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.extension import Extension
from benchmarks.intake import Intake
from benchmarks.lambda_stand_in import LambdaStandIn
from benchmarks.peer import Peer
from benchmarks.processes import memory, minimal_environment, wait_until_idle
from benchmarks.table import Options, Row, Table, percentile

# What the first `next` cannot do without; httpx comes after it.
needed = "import trio, h11, msgspec, zstandard, google.protobuf.message"


class Start(NamedTuple):
    register_ms: float
    next_ms: float
    cpu_to_next_ms: float
    cpu_to_rest_ms: float
    keeper_rss: float
    agent_rss: float
    both_pss: float


class Interpreter(NamedTuple):
    wall_ms: float
    cpu_ms: float


def tables(options: Options) -> list[Table]:
    runs = options.pick(20, 2)
    with Intake() as intake:
        start_extension(intake)  # Files come into the page cache, byte-code is written where it is missing.
        starts: list[Start] = []
        bare: list[Interpreter] = []
        imports: list[Interpreter] = []
        # In turns, so that a noisy moment of the machine meets all of them.
        for _ in range(runs):
            starts.append(start_extension(intake))
            bare.append(start_interpreter("pass"))
            imports.append(start_interpreter(needed))
        peer = measure_peer(options, intake, runs)
    return [Table(f"Cold start (medians of {runs})", _rows(starts, bare, imports, peer))]


def _rows(
    starts: Sequence[Start],
    bare: Sequence[Interpreter],
    imports: Sequence[Interpreter],
    peer: tuple[float, float] | None,
) -> list[Row]:
    columns = list(zip(*starts, strict=True))
    middle = Start(*(percentile(column, 0.5) for column in columns))
    best = Start(*(min(column) for column in columns))
    bare_ms, bare_cpu_ms = (percentile(column, 0.5) for column in zip(*bare, strict=True))
    needed_ms, needed_cpu_ms = (percentile(column, 0.5) for column in zip(*imports, strict=True))
    pass_, imported = "`python -c pass`", "the imports alone"
    peer_ms, peer_rss = peer or (None, None)
    return [
        Row("exec → register received", "ms", middle.register_ms, bare_ms, pass_, target=30),
        Row("exec → register received, best", "ms", best.register_ms, min(run.wall_ms for run in bare), pass_),
        Row("exec → first `next` received", "ms", middle.next_ms, needed_ms, imported, target=150),
        Row("exec → first `next` received, best", "ms", best.next_ms, min(run.wall_ms for run in imports), imported),
        Row("CPU of both processes to the first `next`", "ms", middle.cpu_to_next_ms, needed_cpu_ms, imported),
        Row("CPU of both processes until at rest", "ms", middle.cpu_to_rest_ms, bare_cpu_ms, pass_),
        Row("exec → ports answer (ddx: `next` asked)", "ms", middle.next_ms, peer_ms),
        Row("RSS of the agent at rest", "MiB", middle.agent_rss, peer_rss),
        Row("RSS of the keeper at rest", "MiB", middle.keeper_rss),
        Row("PSS of both (shared pages counted once)", "MiB", middle.both_pss),
    ]


def start_extension(intake: Intake) -> Start:
    with LambdaStandIn() as lambda_, Extension(lambda_, intake_url=intake.url) as extension:
        registered, asked = lambda_.registered(), lambda_.asked_next()
        cpu_to_next_s = extension.cpu_s()
        wait_until_idle([extension.keeper_pid, extension.agent_pid])
        keeper, agent = extension.keeper_memory(), extension.agent_memory()
        cpu_to_rest_s = extension.cpu_s()
        extension.end()
    return Start(
        register_ms=(registered - extension.started) * 1e3,
        next_ms=(asked - extension.started) * 1e3,
        cpu_to_next_ms=cpu_to_next_s * 1e3,
        cpu_to_rest_ms=cpu_to_rest_s * 1e3,
        keeper_rss=keeper.rss,
        agent_rss=agent.rss,
        both_pss=keeper.pss + agent.pss,
    )


def start_interpreter(code: str) -> Interpreter:
    """The same interpreter, from exec to its end."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code], env=minimal_environment())
    _, status, used = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return Interpreter(wall_s * 1e3, (used.ru_utime + used.ru_stime) * 1e3)


def measure_peer(options: Options, intake: Intake, runs: int) -> tuple[float, float] | None:
    """Exec to its trace port answering, in ms, and its RSS then."""
    if options.peer is None:
        return None
    found: list[tuple[float, float]] = []
    for _ in range(runs):
        with Peer(options.peer, intake_url=intake.url) as peer:
            found.append((peer.ready_s * 1e3, memory(peer.pid).rss))
    ready, rss = zip(*found, strict=True)
    return percentile(ready, 0.5), percentile(rss, 0.5)
