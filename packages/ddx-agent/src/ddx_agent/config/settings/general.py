"""What everything carries, and where it goes."""

from __future__ import annotations

from ddx_agent.config import parse
from ddx_agent.config.setting import Section, setting


class General(Section):
    title = "General"

    site: str = setting(
        "DD_SITE", default="datadoghq.com", parser=parse.site, about="Datadog site that all data goes to.",
    )  # fmt: skip
    env: str | None = setting("DD_ENV", default=None, parser=parse.text, about="Tag `env` on everything.")
    service: str | None = setting(
        "DD_SERVICE", default=None, parser=parse.text,
        about="Tag `service` on everything (lower case), and the service of logs.",
    )  # fmt: skip
    version: str | None = setting(
        "DD_VERSION", default=None, parser=parse.text, about="Tag `version` on everything, exactly as written.",
    )  # fmt: skip
    tags: tuple[tuple[str, str], ...] = setting(
        "DD_TAGS", default=(), parser=parse.tags,
        about="More tags on everything: `key:value` pairs separated by commas or spaces.",
    )  # fmt: skip
    extra_tags: tuple[tuple[str, str], ...] = setting(
        "DD_EXTRA_TAGS", default=(), parser=parse.tags, about="Still more tags, added to `DD_TAGS`.",
    )  # fmt: skip
    log_level: str = setting(
        "DD_LOG_LEVEL", default="info", parser=parse.log_level,
        about="How much the agent says of itself: error, warn, info, debug or trace.",
    )  # fmt: skip

    @property
    def all_tags(self) -> tuple[tuple[str, str], ...]:
        return self.tags + tuple(pair for pair in self.extra_tags if pair[0] not in dict(self.tags))
