"""The extension as a process: its cold start, what it adds to an invocation, and the memory it takes.

Cold start is played by a Lambda of a few lines on a raw socket, so that nothing of ours is in the clock's way. Everything is
reported beside a bare interpreter and the import of Trio on the same machine: those are what no agent in Python can beat.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import trio

root = Path(__file__).parent.parent
identifier = "11111111-2222-3333-4444-555555555555"


class RawLambda:
    """Answers register and subscribe, and blocks in next until `shut_down`. `seen` holds (time, path)."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.seen: list[tuple[float, str]] = []
        self._over = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def shut_down(self) -> None:
        self._over.set()

    def close(self) -> None:
        self._listener.close()

    def first(self, ending: str) -> float | None:
        return next((at for at, path in list(self.seen) if path.endswith(ending)), None)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            data = b""
            while b"\r\n\r\n" not in data:
                data += connection.recv(65536)
            path = data.split(b" ", 2)[1].decode()
            self.seen.append((time.perf_counter(), path))
            body = b'"OK"'
            if path.endswith("/register"):
                body = b'{"functionName":"f","functionVersion":"$LATEST","handler":"h","accountId":"123456789012"}'
            elif path.endswith("/next"):
                self._over.wait(20)
                deadline_ms = int(time.time() * 1000) + 2000
                body = json.dumps(
                    {"eventType": "SHUTDOWN", "shutdownReason": "spindown", "deadlineMs": deadline_ms}
                ).encode()
            head = (
                f"HTTP/1.1 200 OK\r\nLambda-Extension-Identifier: {identifier}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            connection.sendall(head.encode() + body)


def environment(**more: str) -> dict[str, str]:
    ports = ("DDX_LIFECYCLE_PORT", "DD_DOGSTATSD_PORT", "DD_APM_RECEIVER_PORT", "DDX_TELEMETRY_PORT")
    intake = dict.fromkeys(("DD_DD_URL", "DD_LOGS_CONFIG_LOGS_DD_URL", "DD_APM_DD_URL"), "http://127.0.0.1:1")
    return {
        "PATH": os.environ["PATH"],
        "AWS_LAMBDA_FUNCTION_NAME": "f",
        "DD_API_KEY": "k" * 32,
        "DDX_TELEMETRY_HOST": "127.0.0.1",
        **dict.fromkeys(ports, "0"),
        **intake,
        **more,
    }


def cold_start() -> dict[str, float]:
    """One start: milliseconds from exec to each call, CPU ms and MiB of keeper and agent a second later."""
    platform = RawLambda()
    command = [str(Path(sys.executable).parent / "ddx"), "extension"]
    began = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment(AWS_LAMBDA_RUNTIME_API=platform.address), stdout=subprocess.DEVNULL
    )
    try:
        limit = began + 20
        while platform.first("/next") is None and time.perf_counter() < limit:
            time.sleep(0.001)
        time.sleep(0.7)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        agent = int(children[0])
        registered, asked = platform.first("/register"), platform.first("/next")
        assert registered is not None
        assert asked is not None
        return {
            "exec to register, ms": (registered - began) * 1000,
            "exec to first next, ms": (asked - began) * 1000,
            "CPU until idle, ms": cpu_ms(process.pid) + cpu_ms(agent),
            "agent RSS, MiB": memory_mib(agent, "Rss"),
            "keeper and agent PSS, MiB": memory_mib(agent, "Pss") + memory_mib(process.pid, "Pss"),
        }
    finally:
        platform.shut_down()
        process.wait(10)
        platform.close()


def bare(code: str, *flags: str) -> float:
    """Milliseconds that an interpreter takes for `code`."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *flags, "-c", code], check=True, env=environment())
    return (time.perf_counter() - began) * 1000


async def invocations(count: int) -> dict[str, float]:
    """`count` invocations with logs, metrics and spans and a flush at each end, on the local platform and intake."""
    from tests.support.extension_world import open_world

    with tempfile.TemporaryDirectory() as folder:
        async with open_world(Path(folder), freeze=False) as world:
            added: list[float] = []
            memory: dict[int, float] = {}
            for number in range(count):
                result = await world.tell(f"i{number}", lines=10, metrics=10, spans=10)
                added.append(result.overhead_ms)
                if number in (9, count - 1):
                    memory[number] = sum(memory_mib(pid, "Rss") for pid in agents(world.ports["traces"]))
            round_trips = [await round_trip(world.intake.url) for _ in range(20)]
            await world.end()
        return {
            "added after the response, median ms": median(added[1:]),
            "intake's own round trip, median ms": median(round_trips),
            "telemetry's own delay, ms": 25.0,
            "RSS of both after 10 invocations, MiB": memory[9],
            f"RSS of both after {count} invocations, MiB": memory[count - 1],
        }


async def round_trip(url: str) -> float:
    import httpx

    async with httpx.AsyncClient() as client:
        headers = {"DD-API-KEY": "k" * 32, "Content-Type": "application/json"}
        await client.get(f"{url}/ddx/totals")
        began = time.perf_counter()
        await client.post(f"{url}/api/v2/logs", content=b"[]", headers=headers)
        return (time.perf_counter() - began) * 1000


def agents(port: int) -> list[int]:
    """The processes of the extension whose trace agent has this port."""
    wanted = f"DD_APM_RECEIVER_PORT={port}".encode()
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        try:
            is_extension = entry.name.isdigit() and b"extension" in (entry / "cmdline").read_bytes().split(b"\0")
            if is_extension and wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def cpu_ms(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int, kind: str) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1]) / 1024
    return 0.0


def run(*, starts: int = 10, count: int = 30) -> dict[str, dict[str, float]]:
    found = [cold_start() for _ in range(starts)]
    interpreter = [bare("pass") for _ in range(starts)]
    imports = [bare("import trio") for _ in range(starts)]
    return {
        f"cold start, best of {starts}": {name: min(each[name] for each in found) for name in found[0]},
        f"cold start, median of {starts}": {name: median(each[name] for each in found) for name in found[0]},
        "what no agent in Python can beat": {
            "python -c pass, best ms": min(interpreter),
            "python -c 'import trio', best ms": min(imports),
        },
        "an invocation with `end`": trio.run(invocations, count),
    }


def main(arguments: Sequence[str] = ()) -> None:
    results: dict[str, Any] = run()
    for subject, values in results.items():
        print(subject)
        for name, value in values.items():
            print(f"    {name:<44} {value:>10,.1f}")


if __name__ == "__main__":
    main()
