"""How a runtime is started so that libraries find the extension's file: the command line of `launcher.py`. Pure."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

_launcher = Path(__file__).with_name("launcher.py")


class Presence(Enum):
    """How `/opt/extensions/NAME` is made to exist for the runtime."""

    AUTO = "auto"
    NAMESPACE = "namespace"
    INTERPOSE = "interpose"
    NONE = "none"
    """Not at all: the runtime sees the host's own /opt."""


def with_presence(command: Sequence[str], names: Sequence[str], how: Presence) -> list[str]:
    if how is Presence.NONE or not names:
        return list(command)
    shown = [word for name in names for word in ("--present", name)]
    return [sys.executable, "-I", "-S", str(_launcher), "--how", how.value, *shown, "--", *command]
