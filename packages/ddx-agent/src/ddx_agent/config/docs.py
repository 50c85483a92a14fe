"""docs/configuration.md, written from the schema: `python -m ddx_agent.config.docs > docs/configuration.md`."""

from __future__ import annotations

import sys

from .schema import Config, ports_read_at_start, settings_of

_head = """# Configuration

Everything is set by environment variables. Letter case does not matter, `DATADOG_` may stand for `DD_`. A value that cannot
be used is named in one log line and the default is used; no value can stop the agent or the function. Settings that only
ddx has begin with `DDX_`.

<!-- Written by `uv run python -m ddx_agent.config.docs`; a test keeps it current. -->
"""


def render() -> str:
    lines = [_head]
    section = ""
    for name, setting in settings_of(Config).items():
        if setting.section != section:
            section = setting.section
            lines.append(f"\n## {section}\n\n| Variable | Default | What it does |\n|---|---|---|")
        field = Config.model_fields[name]
        variables = ", ".join(f"`{variable}`" for variable in setting.variables)
        lines.append(f"| {variables} | {_default(field.default)} | {field.description} |")
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
