"""Configuration → the endpoints of each signal: the site's intake or what stands in its place, then the additional ones. Pure."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from ddx_agent.config import Config
from ddx_agent.config.endpoints import AdditionalEndpoint
from ddx_core.intake import ApiKeySource, Endpoint, StaticKey

evp_prefix = "evp-"
signals = ("logs", "metrics", "traces", "stats")


def destinations(config: Config, key: ApiKeySource) -> dict[str, list[Endpoint]]:
    """By signal; the first of each is its primary, with the function's own key. Stats go where traces go."""
    site, intakes = config.general.site, config.intakes
    traces_url = intakes.traces_url or f"https://trace.agent.{site}"
    return {
        "logs": [_logs_primary(config, key), *_additional("logs", intakes.more_logs)],
        "metrics": [
            Endpoint(name="metrics", base_url=intakes.metrics_url or f"https://api.{site}", key=key),
            *_additional("metrics", intakes.more_metrics),
        ],
        "traces": [
            Endpoint(name="traces", base_url=traces_url, key=key),
            *_additional("traces", intakes.more_traces),
        ],
        "stats": [
            Endpoint(name="stats", base_url=traces_url, key=key),
            *_additional("stats", intakes.more_traces),
        ],
    }


_proxied_hosts = {
    "profiles": "intake.profile",
    "telemetry": "instrumentation-telemetry-intake",
    "debugger": "debugger-intake",
    "debugger-logs": "http-intake.logs",
}


def proxied_destinations(config: Config, key: ApiKeySource, intake: str) -> list[Endpoint] | None:
    """The endpoints of an intake that libraries reach through the trace agent; None for a name that is none's."""
    site, intakes = config.general.site, config.intakes
    additional: Iterable[AdditionalEndpoint] = ()
    if intake == "data-streams":
        base_url = intakes.traces_url or f"https://trace.agent.{site}"
        additional = intakes.more_traces
    elif intake in _proxied_hosts:
        base_url = intakes.proxied_url or f"https://{_proxied_hosts[intake]}.{site}"
        if intake == "profiles":
            base_url = intakes.profiles_url or base_url
            additional = intakes.more_profiles
    elif intake.startswith(evp_prefix):
        base_url = intakes.proxied_url or f"https://{intake.removeprefix(evp_prefix)}.{site}"
    else:
        return None
    return [Endpoint(name=intake, base_url=base_url, key=key), *_additional(intake, additional)]


def _logs_primary(config: Config, key: ApiKeySource) -> Endpoint:
    intakes = config.intakes
    if intakes.worker_enabled and intakes.worker_url:
        return _worker(intakes.worker_url, key)
    base_url = intakes.logs_url or f"https://http-intake.logs.{config.general.site}"
    return Endpoint(name="logs", base_url=base_url, key=key)


def _worker(url: str, key: ApiKeySource) -> Endpoint:
    """Its URL is complete: nothing is appended to it. Credentials in it are sent as every HTTP client sends them."""
    scheme, _, rest = url.partition("://")
    credentials, at, _ = urlsplit(url).netloc.rpartition("@")
    adds: tuple[tuple[str, str], ...] = ()
    if credentials:
        user, _, password = credentials.partition(":")
        encoded = b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
        adds = (("Authorization", f"Basic {encoded}"),)
    base_url = f"{scheme}://{rest.removeprefix(f'{credentials}{at}')}"
    return Endpoint(name="logs", base_url=base_url, key=key, path="", omits=("dd-protocol",), adds=adds)


def _additional(signal: str, endpoints: Iterable[AdditionalEndpoint]) -> list[Endpoint]:
    """Named by their place, which is the same in every life of the sandbox: the spool knows them by it."""
    return [
        Endpoint(
            name=f"{signal}-{number}",
            base_url=each.base_url,
            key=StaticKey(each.api_key),
            is_reliable=each.is_reliable,
        )
        for number, each in enumerate(endpoints, 2)
    ]
