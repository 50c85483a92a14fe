"""Memcached commands without the data that follows them. Pure."""

from __future__ import annotations


def obfuscate_memcached(text: str) -> str:
    """`set mykey 0 60 5`, a line end, `value` → `set mykey 0 60 5`."""
    return text.partition("\r\n")[0].strip()
