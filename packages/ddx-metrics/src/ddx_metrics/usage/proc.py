"""Files of /proc, as bytes → numbers. Pure.

Rule: whatever the bytes are, a parser gives numbers that were there, or raises MalformedInput. Formats: proc(5).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from ddx_core.errors import MalformedInput

# The function's own network interface, by the name it has in each kind of sandbox.
_interfaces: Final = (b"vinternal_1", b"vint_runtime", b"Ceth1")
_most_digits: Final = 19


class Network(msgspec.Struct, frozen=True):
    """Bytes received and sent since the sandbox was made."""

    rx_bytes: int
    tx_bytes: int


class Cpu(msgspec.Struct, frozen=True):
    """Milliseconds since boot, of all cores together; `idle_by_core_ms` of each by its name (`cpu0`)."""

    user_ms: float
    system_ms: float
    idle_ms: float
    idle_by_core_ms: Mapping[str, float]


def parse_network(text: bytes) -> Network:
    """`/proc/net/dev`: the counters of the function's own interface."""
    for line in text.splitlines():
        words = line.split()
        if words and words[0].startswith(_interfaces):
            return Network(_number(words, 1), _number(words, 9))
    raise MalformedInput("the function has no network interface of a known name")


def parse_cpu(text: bytes, ticks_per_s: int) -> Cpu:
    """`/proc/stat`. Raises when it tells of no single core."""
    total: tuple[float, float, float] | None = None
    cores: dict[str, float] = {}
    ms = 1000 / ticks_per_s
    for line in text.splitlines():
        if not line.startswith(b"cpu"):
            continue
        words = line.split()
        if words[0] == b"cpu":
            total = (_number(words, 1) * ms, _number(words, 3) * ms, _number(words, 4) * ms)
        elif _is_whole(words[0][3:]):
            cores[words[0].decode()] = _number(words, 4) * ms
    if total is None or not cores:
        raise MalformedInput("no lines of cores and of all of them together")
    return Cpu(*total, cores)


def parse_uptime_ms(text: bytes) -> float:
    """`/proc/uptime`: milliseconds since boot."""
    words = text.partition(b"\n")[0].split()
    if len(words) < 2 or not all(map(_is_decimal, words[:2])):
        raise MalformedInput("no two numbers")
    return float(words[0]) * 1000


def parse_soft_limit(text: bytes, name: bytes) -> int | None:
    """`/proc/PID/limits`: the soft limit of that name (`Max open files`); None when there is none."""
    for line in text.splitlines():
        if line.startswith(name):
            words = line[len(name) :].split(None, 1)
            return int(words[0]) if words and _is_whole(words[0]) else None
    return None


def _number(words: list[bytes], index: int) -> int:
    if len(words) <= index or not _is_whole(words[index]):
        raise MalformedInput("a number is missing")
    return int(words[index])


def _is_whole(word: bytes) -> bool:
    return word.isdigit() and len(word) <= _most_digits


def _is_decimal(word: bytes) -> bool:
    whole, point, fraction = word.partition(b".")
    return _is_whole(whole) and (not point or _is_whole(fraction))
