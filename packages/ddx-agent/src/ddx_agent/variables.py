"""The environment variables of ours: how their names may be spelled, and how switches and quotes are read.

Stage 0 reads its few by the same rules as the configuration reads all. Rule: imports nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` costs a millisecond
if TYPE_CHECKING:
    from collections.abc import Mapping

# Not ours, but what everybody's tools read.
shared_names = frozenset(("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"))

# In lower case.
yes = frozenset(("1", "1.0", "t", "true", "y", "yes", "on"))
no = frozenset(("0", "0.0", "f", "false", "n", "no", "off"))


def read_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of ours by their names in upper case, which begin with DD_ or DDX_; blank ones are the same as none.

    They may be written in any letter case, and DATADOG_ is another spelling of DD_. Values are text as it was written.
    """
    found: dict[str, str] = {}
    # DD_ is stronger than DATADOG_, and the exact spelling than another letter case: the strongest is written last.
    for name in sorted(environ, key=lambda name: (name.upper().startswith("DD"), name == name.upper())):
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


def unquoted(value: str) -> str:
    """Without the double quotes around all of it: tools that write environments leave them there, and the vendor's extension
    takes them off."""
    text = value.strip()
    inner = text[1:-1]
    return inner if len(text) > 1 and text[0] == text[-1] == '"' and '"' not in inner else value


def plain(variables: Mapping[str, str], name: str) -> str:
    """The value of one of ours without quotes and blanks around it; "" when it is not set."""
    return unquoted(variables.get(name, "")).strip()


def says(variables: Mapping[str, str], name: str, words: frozenset[str]) -> bool:
    """Whether a switch is one of these words."""
    return plain(variables, name).lower() in words
