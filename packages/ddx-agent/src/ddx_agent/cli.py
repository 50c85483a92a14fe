"""The command `ddx`. `ddx extension` takes the shortest way to its first 15 ms: nothing else is imported before it runs."""

from __future__ import annotations

import sys


def main() -> int:
    if sys.argv[1:2] == ["extension"]:
        from ddx_agent.bootstrap import run_extension

        return run_extension()
    try:
        from ddx_agent.commands import run_command

        return run_command(sys.argv[1:])
    except KeyboardInterrupt:
        return 130
