"""Config: all sections together. Rule: code outside this package never reads a setting from the environment."""

from __future__ import annotations

from .setting import Section
from .settings.api_key import ApiKeySettings
from .settings.flushing import Flushing
from .settings.general import General
from .settings.intakes import Intakes
from .settings.logs import Logs
from .settings.metrics import Metrics
from .settings.network import Network
from .settings.own import Own
from .settings.traces import Traces

section_types: dict[str, type[Section]] = {
    "general": General,
    "api_key": ApiKeySettings,
    "network": Network,
    "intakes": Intakes,
    "flushing": Flushing,
    "logs": Logs,
    "metrics": Metrics,
    "traces": Traces,
    "own": Own,
}


class Config:
    """The effective configuration, made by `load_config`: one attribute a section. A section not given has its defaults."""

    general: General
    api_key: ApiKeySettings
    network: Network
    intakes: Intakes
    flushing: Flushing
    logs: Logs
    metrics: Metrics
    traces: Traces
    own: Own

    def __init__(self, **sections: Section) -> None:
        for name, kind in section_types.items():
            setattr(self, name, sections.get(name) or kind())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Config) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


def known_variables() -> frozenset[str]:
    """Every variable that a setting is read from, or that stage 0 reads."""
    names = {name for name, _, _ in ports_read_at_start} | {"DD_CONFIG_FILE"}
    for section in section_types.values():
        for setting in section.settings.values():
            names.update(setting.variables)
            if setting.general is not None:
                names.add(setting.general)
    return frozenset(names)


def known_paths() -> frozenset[str]:
    """Every path of datadog.yaml that a setting is read from."""
    paths: set[str] = set()
    for section in section_types.values():
        for setting in section.settings.values():
            paths.update(setting.paths)
    return frozenset(paths)


# Bound in the first milliseconds, before any configuration is read; see ddx_agent.bootstrap.
ports_read_at_start: tuple[tuple[str, int | str, str], ...] = (
    ("DDX_LIFECYCLE_PORT", 8124, "TCP port of the endpoints for tracers and of the status page."),
    ("DD_DOGSTATSD_PORT", 8125, "UDP port of DogStatsD; 0 for none."),
    ("DDX_DOGSTATSD_HOST", "127.0.0.1", "Address that this port is bound to; IPv6 too (`::1`)."),
    ("DD_DOGSTATSD_NON_LOCAL_TRAFFIC", "false", "`true`: the same on all addresses, not on loopback alone."),
    ("DD_APM_RECEIVER_PORT", 8126, "TCP port of the trace agent; 0 for none."),
    (
        "DD_APM_NON_LOCAL_TRAFFIC",
        "false",
        "`true`: the trace agent's port is bound on all addresses, not on loopback alone.",
    ),
    ("DDX_TELEMETRY_PORT", 8999, "TCP port that Lambda posts telemetry to."),
    ("DDX_TELEMETRY_HOST", "0.0.0.0", "Address that the telemetry port is bound to."),  # noqa: S104
)
