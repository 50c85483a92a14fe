"""The environment as a source: names in any letter case, DATADOG_ as another spelling of DD_, values as text."""

from __future__ import annotations

from collections.abc import Mapping

# Not ours, but what everybody's tools read.
shared_names = frozenset({"HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"})


def read_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of ours by their names in upper case; blank ones are the same as none."""
    found: dict[str, str] = {}
    # DD_ is stronger than DATADOG_, and the exact spelling than another letter case: the strongest is written last.
    for name in sorted(environ, key=lambda name: (name.startswith("DD"), name == name.upper())):
        upper = name.upper()
        if upper.startswith("DATADOG_"):
            upper = "DD_" + upper.removeprefix("DATADOG_")
        if upper.startswith(("DD_", "DDX_")) or upper in shared_names:
            value = readable(environ[name])
            if value.strip():
                found[upper] = value
    return found


def readable(value: str) -> str:
    """What is no UTF-8 in the environment comes as lone surrogates, which no encoder takes: those become U+FFFD."""
    return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
