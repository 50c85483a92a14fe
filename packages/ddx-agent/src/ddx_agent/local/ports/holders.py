"""Which process holds a port, read from /proc: what `ss -lnptu` would say, where that is not installed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

_proc = Path("/proc")
_tcp_tables = ("net/tcp", "net/tcp6")
_udp_tables = ("net/udp", "net/udp6")
_listening = 0x0A
"""TCP_LISTEN of the kernel's states."""
_most_shown = 100
"""Characters of a command."""


class SocketRow(msgspec.Struct, frozen=True):
    """One socket of a table under /proc/net."""

    port: int
    state: int
    uid: int
    inode: int
    """0 when no process has the socket any more."""


def held_port(number: int, purpose: str, *, is_datagram: bool = False) -> str:
    """`port 8125/udp (dogstatsd) is held by pid 4711 (/usr/bin/some-agent run)`, for a port that is known to be taken."""
    protocol = "udp" if is_datagram else "tcp"
    return f"port {number}/{protocol} ({purpose}) is held by {holder_of(number, is_datagram=is_datagram)}"


def listen_error(error: OSError, host: str, number: int, purpose: str) -> OSError:
    """What `open_tcp_listener` raised, with the port, its purpose and who holds it in its text."""
    if error.errno == errno.EADDRINUSE:
        return OSError(error.errno, held_port(number, purpose))
    return OSError(error.errno, f"cannot listen on {host}:{number} ({purpose}): {error.strerror or error}")


def holder_of(number: int, *, is_datagram: bool) -> str:
    """Pid and command; where the machine does not tell them, whose process it is, or that it does not tell."""
    rows = [row for row in _rows(_udp_tables if is_datagram else _tcp_tables) if row.port == number and row.inode]
    # Connections have the port of their listener, and may be other processes'.
    rows = [row for row in rows if row.state == _listening] or rows
    inodes = {row.inode for row in rows}
    # A parent, which has the lower number as a rule, says more than the children it shares the socket with.
    for pid in _pids() if inodes else ():
        if not inodes.isdisjoint(_sockets_of(pid)):
            return f"pid {pid} ({_command(pid)})"
    if rows:
        return f"a process of user {rows[0].uid}, which only that user and root may look at"
    return "a process that /proc does not tell of"


def parse_table(text: str) -> list[SocketRow]:
    """The rows of /proc/net/tcp and its like. What is no row, as the heading, is passed over."""
    return [row for line in text.splitlines() if (row := _parse_row(line.split())) is not None]


def _parse_row(fields: Sequence[str]) -> SocketRow | None:
    # 0: 0100007F:1FBE 00000000:0000 0A 00000000:00000000 00:00000000 00000000 1000 0 4711 ...
    if len(fields) < 10:
        return None
    try:
        return SocketRow(
            port=int(fields[1].rpartition(":")[2], 16),
            state=int(fields[3], 16),
            uid=int(fields[7]),
            inode=int(fields[9]),
        )
    except ValueError:
        return None


def _rows(tables: Iterable[str]) -> Iterable[SocketRow]:
    for table in tables:
        try:
            yield from parse_table((_proc / table).read_text(encoding="ascii", errors="replace"))
        except OSError:
            # Not Linux, or no IPv6.
            continue


def _pids() -> list[int]:
    return sorted(int(name) for name in os.listdir(_proc) if name.isdigit())


def _sockets_of(pid: int) -> Iterable[int]:
    folder = f"/proc/{pid}/fd"
    try:
        descriptors = os.listdir(folder)
    except OSError:
        # Another user's, or gone.
        return
    for descriptor in descriptors:
        try:
            target = os.readlink(f"{folder}/{descriptor}")
        except OSError:
            continue
        if target.startswith("socket:["):
            yield int(target[8:-1])


def _command(pid: int) -> str:
    try:
        words = (_proc / str(pid) / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        words = ""
    # A terminal would obey control characters.
    shown = "".join(character if character.isprintable() else "�" for character in words) or "command unknown"
    return shown if len(shown) <= _most_shown else shown[: _most_shown - 1] + "…"
