"""docs/configuration.md, written from the schema: `python -m ddx_agent.config.docs > docs/configuration.md`."""

from __future__ import annotations

import sys

from .schema import ports_read_at_start, section_types

_head = """# Configuration

Everything is set by environment variables. Letter case does not matter, `DATADOG_` may stand for `DD_`. A value that cannot
be used is named in one log line and the default is used; no value can stop the agent or the function. Settings that only
ddx has begin with `DDX_`.

<!-- Written by `uv run python -m ddx_agent.config.docs`; a test keeps it current. -->
"""


def render() -> str:
    lines = [_head]
    for section in section_types.values():
        lines.append(f"\n## {section.title}\n\n| Variable | Default | What it does |\n|---|---|---|")
        for setting in section.settings.values():
            names = (*setting.variables, setting.general) if setting.general else setting.variables
            variables = ", ".join(f"`{name}`" for name in names)
            lines.append(f"| {variables} | {_default(setting.default)} | {setting.about} |")
    lines.append("\n## Ports\n\n| Variable | Default | What it does |\n|---|---|---|")
    lines.extend(f"| `{variable}` | `{default}` | {about} |" for variable, default, about in ports_read_at_start)
    return "\n".join(lines) + "\n"


def _default(value: object) -> str:
    if value is None or value == ():
        return "unset"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    kind = getattr(value, "kind", None)
    return f"`{kind.value}`" if kind is not None else f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


if __name__ == "__main__":
    sys.stdout.write(render())
