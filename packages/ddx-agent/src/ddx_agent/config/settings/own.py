"""Memory, spool and accounts of the agent itself."""

from __future__ import annotations

from ddx_agent.config import parse
from ddx_agent.config.setting import Section, setting

MiB = 1 << 20


class Own(Section):
    title = "The agent itself"

    queue_bytes: int = setting(
        "DDX_QUEUE_BYTES", default=8 * MiB, parser=parse.whole_number(65536, 1 << 31),
        about="Most bytes of compressed payloads that wait for one endpoint of one signal; beyond it the oldest are dropped. "
        "One larger payload is taken while at most half of it is in use.",
    )  # fmt: skip
    spool_dir: str = setting(
        "DDX_SPOOL_DIR", default="/tmp/ddx-spool", parser=parse.text,  # noqa: S108
        about="Where payloads wait that could not be sent before a timed-out sandbox was reset.",
    )  # fmt: skip
    spool_bytes: int = setting(
        "DDX_SPOOL_BYTES", default=16 * MiB, parser=parse.whole_number(0, 1 << 31),
        about="Most bytes in the spool; 0 turns it off.",
    )  # fmt: skip
    health_metrics: bool = setting(
        "DDX_HEALTH_METRICS", default=False, parser=parse.boolean,
        about="Send what became of everything taken in, as metrics `ddx.items.*` ([what they say](health.md)).",
    )  # fmt: skip
    accounts_file: str | None = setting(
        "DDX_ACCOUNTS_FILE", default=None, parser=parse.text,
        about="A file to which the final accounts are appended at shutdown, one JSON line.",
    )  # fmt: skip
