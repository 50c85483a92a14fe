"""Addresses taken out of peer tags: each would make a group of its own, and tells nothing that lasts. Pure.

The rule of the vendor's agents (DataDog/datadog-agent, pkg/trace/stats, peer tags): a list is taken apart at its commas, an
address is replaced together with nothing round it, and entries that have become equal are told once.
"""

from __future__ import annotations

import socket
from typing import Final

blocked: Final = "blocked-ip-address"

# The loopback, and where cloud platforms keep their metadata and credentials: they are the same everywhere.
_allowed = frozenset({"127.0.0.1", "::1", "169.254.169.254", "fd00:ec2::254", "169.254.170.2"})
_schemes = frozenset({"dnspoll", "ftp", "file", "http", "https"})


def without_addresses(text: str) -> str:
    if "," not in text:
        return _replace(text)
    return ",".join(dict.fromkeys(map(_replace, text.split(","))))


def _replace(entry: str) -> str:
    start = _prefix_length(entry)
    rest = entry[start:]
    if rest.startswith("["):
        address, bracket, after = rest[1:].partition("]")
        if bracket and _is_ipv6(address):
            return entry if address in _allowed else entry[:start] + blocked + after
        return entry
    if rest.count(":") > 1 and _is_ipv6(rest):
        return entry if rest in _allowed else entry[:start] + blocked
    length = _ipv4_length(rest)
    if not length or rest[:length] in _allowed:
        return entry
    return entry[:start] + blocked + rest[length:]


def _prefix_length(entry: str) -> int:
    """How much of `entry` says how to reach the address: `ip-`, or a scheme and two or three slashes."""
    if entry.startswith("ip-"):
        return 3
    scheme, _, rest = entry.partition(":")
    if scheme not in _schemes or not rest.startswith("//"):
        return 0
    return len(scheme) + (4 if rest.startswith("///") else 3)


def _ipv4_length(text: str) -> int:
    """The length of the IPv4 address that `text` begins with, its parts set apart by one of `.`, `-` and `_`; or 0."""
    position = 0
    separator = ""
    for part in range(4):
        if part:
            mark = text[position : position + 1]
            if part == 1 and mark and mark in ".-_":
                separator = mark
            if not separator or mark != separator:
                return 0
            position += 1
        end = position
        while text[end : end + 1] in _digits and end - position < 4:
            end += 1
        digits = text[position:end]
        if not digits or len(digits) > 3 or (digits[0] == "0" and len(digits) > 1) or int(digits) > 255:
            return 0
        position = end
    return position


_digits = frozenset("0123456789")


def _is_ipv6(text: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6, text.partition("%")[0])
    except (OSError, ValueError):  # a null character or a surrogate is a ValueError
        return False
    return True
