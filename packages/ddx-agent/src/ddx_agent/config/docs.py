"""docs/configuration.md, written from the schema: `python -m ddx_agent.config.docs > docs/configuration.md`."""

from __future__ import annotations

import sys

from .other_names import not_yet, without_effect
from .schema import ports_read_at_start, section_types
from .shown import shown

_head = """# Configuration

Settings come from environment variables and from `datadog.yaml`; a variable is stronger than the file. Letter case of
variables does not matter, and `DATADOG_` may stand for `DD_`. Each value is read by the type of its setting: `DD_VERSION=1.10`
stays `1.10`, `DD_ENV=true` is an environment called true. Double quotes around all of a variable's value are taken off. A value
that cannot be used is named in one log line together with what is used instead; it affects that setting alone, and no value can
stop the agent or the function. Settings that only ddx has begin with `DDX_`. `ddx config` shows what is in force and where each
value comes from (`--env FILE` explains another environment, `--json` is for programs, `--schema` prints a JSON Schema of
datadog.yaml for editors).

- **The file** is the one that `DD_CONFIG_FILE` names, or `datadog.yaml` in the function's folder (`/var/task`). It is read up
  to 1 MiB and 20,000 keys and values, without aliases and types (`!name`), and not deeper than 16 levels; one that cannot be
  used is named and left aside. Of a key that stands twice in one place the last one counts, and a log line says so.
- **Switches** take `true` and `false`, `1`/`0`, `yes`/`no`, `on`/`off`, `t`/`f` in any letter case. **Lists** are separated by
  commas; the text `[]` is an empty list, which clears what the file says, while blank text is the same as not set.
- **From a secret**: for every setting `DD_X`, the variable `DD_X_SECRET_ARN` names a Secrets Manager secret, and
  `DD_X_KMS_ENCRYPTED` holds a base64 KMS ciphertext, with the value for `DD_X`. It is stronger than a plain `DD_X`. When
  the processing rules of logs were to come from a secret and could not be had, no logs are shipped, so that none leaves
  unmasked; one error says so.
- **The function's role** needs `secretsmanager:GetSecretValue`, `ssm:GetParameter` or `kms:Decrypt` for what it uses, and
  `kms:Decrypt` as well where a customer-managed key encrypts a secret. Endpoints can be set as for the AWS SDKs
  (`AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_SECRETS_MANAGER`, ...). `ddx doctor` asks for each and says what is missing.

<!-- Written by `uv run python -m ddx_agent.config.docs`; a test keeps it current. -->
"""

_without_effect = """
## Variables that do nothing here

Set all the same, each is told once in the log.

| Variable | Why |
|---|---|"""


def render() -> str:
    lines = [_head]
    for section in section_types.values():
        lines.append(
            f"\n## {section.title}\n\n| Variable | In datadog.yaml | Default | What it does |\n|---|---|---|---|"
        )
        for setting in section.settings.values():
            names = (*setting.variables, setting.general) if setting.general else setting.variables
            variables = ", ".join(f"`{name}`" for name in names)
            paths = ", ".join(f"`{path}`" for path in setting.paths) or "-"
            lines.append(f"| {variables} | {paths} | {_default(setting.default)} | {setting.about} |")
    lines.append("\n## Ports\n\n| Variable | Default | What it does |\n|---|---|---|")
    lines.extend(f"| `{variable}` | `{default}` | {about} |" for variable, default, about in ports_read_at_start)
    lines.append(_without_effect)
    lines.extend(f"| `{variable}` | {why} |" for variable, why in sorted((without_effect | not_yet).items()))
    return "\n".join(lines) + "\n"


def _default(value: object) -> str:
    return "unset" if value is None or value == () else f"`{shown(value, is_secret=False)}`"


if __name__ == "__main__":
    sys.stdout.write(render())
