"""Redis and Valkey commands: their names alone as the resource, and raw commands without the values. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

max_commands: Final = 3
"""A pipeline's resource names the first of its commands."""

truncation_marker: Final = "..."
# The second word says what they do.
_compound: Final = frozenset(("CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DEBUG", "SCRIPT"))


def quantize_redis(text: str) -> str:
    """`SET k v`, `EXPIRE k 15`, one a line → `SET EXPIRE`. Words that the tracer has cut off (`GE...`) are left out."""
    commands: list[str] = []
    is_cut = False
    for line in text.split("\n"):
        line = line.strip(" ")
        if not line:
            continue
        first, _, rest = line.partition(" ")
        if first.endswith(truncation_marker):
            is_cut = True
            continue
        command = first.upper()
        if command in _compound and rest:
            second = rest.lstrip(" ").partition(" ")[0]
            if second.endswith(truncation_marker):
                is_cut = True
                continue
            command = f"{command} {second.upper()}"
        is_cut = False
        commands.append(command)
        if len(commands) == max_commands:
            break
    if is_cut or len(commands) == max_commands:
        commands.append(truncation_marker)
    return " ".join(commands)


# An argument: words, and quoted parts that may hold spaces and line ends; a backslash keeps what follows it as it is.
_token: Final = re.compile(
    r"""(\n)|((?:[^\s"\\]|\\.|\\\Z|"(?:[^"\\]|\\.)*+(?:"|\Z|\\\Z)|[^\S \n])++)|\ +""", re.DOTALL | re.VERBOSE
)


def obfuscate_redis(text: str) -> str:
    """`SET key value` → `SET key ?`, one command a line."""
    lines: list[str] = []
    command: list[str] = []
    for found in _token.finditer(text.strip()):
        match found.lastindex:
            case 1:
                if command:
                    lines.append(_obfuscate_command(command))
                command = []
            case 2:
                command.append(found[2])
            case _:
                pass
    if command:
        lines.append(_obfuscate_command(command))
    return "\n".join(lines)


def remove_redis_arguments(text: str) -> str:
    """`SET key value` → `SET ?`."""
    words = text.split()
    if len(words) < 2:
        return " ".join(words)
    command, *arguments = words
    match command.upper():
        case "CONFIG" if arguments[0].upper() in ("GET", "SET", "RESETSTAT", "REWRITE"):
            return f"{command} {arguments[0]} ?"
        case "BITFIELD":
            parts = [each for each in arguments if each.upper() in ("SET", "GET", "INCRBY")]
            return " ".join([command, "?", *(f"{each} ?" for each in parts)])
        case _:
            return f"{command} ?"


_hide_all: Final = frozenset(("AUTH", "MIGRATE", "HELLO"))
_hide_after_first: Final = frozenset(("ACL", "GEOHASH", "GEOPOS", "GEODIST", "LPUSH", "RPUSH", "SREM", "ZREM", "SADD"))
# Which argument holds the value, counted from 0.
_hide_one: Final = {
    **dict.fromkeys(
        ("APPEND", "GETSET", "LPUSHX", "GEORADIUSBYMEMBER", "RPUSHX", "SET", "SETNX", "SISMEMBER", "ZRANK", "ZREVRANK", "ZSCORE"),
        1,
    ),
    **dict.fromkeys(
        ("HSETNX", "LREM", "LSET", "SETBIT", "SETEX", "PSETEX", "SETRANGE", "ZINCRBY", "SMOVE", "RESTORE"), 2
    ),
    "LINSERT": 3,
}  # fmt: skip
# The first one that does, and how many arguments later the next one does.
_hide_every: Final = {"GEOADD": (3, 3), "HSET": (2, 2), "HMSET": (2, 2), "MSET": (1, 2), "MSETNX": (1, 2)}
_score_options: Final = frozenset(("NX", "XX", "CH", "INCR"))


def _obfuscate_command(words: list[str]) -> str:
    command = words[0].upper()
    arguments = words[1:]
    if not arguments:
        pass
    elif command in _hide_all:
        arguments = ["?"]
    elif command in _hide_after_first:
        arguments[1:] = ["?"] if len(arguments) > 1 else []
    elif command in _hide_one:
        _hide(arguments, [_hide_one[command]])
    elif command in _hide_every:
        first, step = _hide_every[command]
        _hide(arguments, range(first, len(arguments), step))
    elif command == "CONFIG" and arguments[0].upper() == "SET":
        _hide(arguments, [2])
    elif command == "BITFIELD":
        upper = [each.upper() for each in arguments]
        if "SET" in upper:
            _hide(arguments, [upper.index("SET") + 3])
    elif command == "ZADD":
        first = next((at for at, each in enumerate(arguments) if at and each.upper() not in _score_options), 0)
        if first:
            _hide(arguments, range(first + 1, len(arguments), 2))
    return " ".join([words[0], *arguments])


def _hide(arguments: list[str], places: Sequence[int]) -> None:
    for place in places:
        if place < len(arguments):
            arguments[place] = "?"
