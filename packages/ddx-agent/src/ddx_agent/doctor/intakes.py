"""What was met on the way to the intakes, and what their clocks say, as findings. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from ddx_agent.config import Loaded
from ddx_agent.destinations import destinations, proxied_destinations
from ddx_core.intake import StaticKey

from .findings import Finding, Findings
from .reach import Failure, Kind, Reach

skew_warning_s = 60.0
skew_error_s = 300.0
"""AWS refuses signatures that are further off than five minutes (Signature Version 4)."""
expiry_warning_s = 14 * 86_400.0


class Target(msgspec.Struct, frozen=True):
    """One base URL. `variables` may have moved it there; `is_primary`: the data has no other way."""

    url: str
    signals: tuple[str, ...]
    variables: tuple[str, ...]
    is_primary: bool


class Way(msgspec.Struct, frozen=True):
    """`proxy_variable` is where the proxy that applies is from, if one does."""

    target: Target
    reach: Reach
    proxy_variable: str = "DD_PROXY_HTTPS"


def targets(loaded: Loaded) -> list[Target]:
    """Every distinct base URL of the configuration, in the order of the signals."""
    found: dict[str, Target] = {}
    config = loaded.config
    listed = destinations(config, StaticKey(None))
    if config.intakes.profiles_url or config.intakes.more_profiles:
        # Whoever moves them has profiles; all others need not care whether that intake can be reached.
        listed["profiles"] = proxied_destinations(config, StaticKey(None), "profiles") or []
    for signal, endpoints in listed.items():
        for number, endpoint in enumerate(endpoints):
            variable = _moves(loaded, signal) if number == 0 else _additional[signal]
            # A worker's query may hold a token, and is not needed to get there.
            url = endpoint.base_url.partition("?")[0].partition("#")[0]
            known = found.get(url, Target(url, (), (), False))
            found[url] = Target(
                known.url,
                tuple(dict.fromkeys((*known.signals, signal))),
                tuple(dict.fromkeys((*known.variables, variable))),
                known.is_primary or number == 0,
            )
    return list(found.values())


_additional = {
    "logs": "DD_LOGS_CONFIG_ADDITIONAL_ENDPOINTS",
    "metrics": "DD_ADDITIONAL_ENDPOINTS",
    "traces": "DD_APM_ADDITIONAL_ENDPOINTS",
    "stats": "DD_APM_ADDITIONAL_ENDPOINTS",
    "profiles": "DD_APM_PROFILING_ADDITIONAL_ENDPOINTS",
}
_overrides = {
    "logs": "logs_url",
    "metrics": "metrics_url",
    "traces": "traces_url",
    "stats": "traces_url",
    "profiles": "profiles_url",
}


def proxy_variable(loaded: Loaded, url: str) -> str:
    """The setting that the proxy before this URL is from, by the name under which the user wrote it."""
    scheme = url.partition(":")[0]
    source = loaded.sources.get(f"network.proxy_{scheme}")
    return f"DD_PROXY_{scheme.upper()}" if source is None else source.name


def _moves(loaded: Loaded, signal: str) -> str:
    """The setting that a primary's address is from, by the name under which the user wrote it."""
    field = f"intakes.{_overrides[signal]}"
    if signal == "logs" and loaded.config.intakes.uses_worker:
        field = "intakes.worker_url"
    source = loaded.sources.get(field) or loaded.sources.get("general.site")
    return "DD_SITE" if source is None else source.name


def judge_intakes(ways: Sequence[Way], *, now_s: float) -> list[Finding]:
    found = Findings("intakes")
    for way in ways:
        reach = way.reach
        through = f" through the proxy {reach.proxy}" if reach.proxy else ""
        about = f"{', '.join(way.target.signals)} to {reach.url}{through}"
        if reach.failure is None:
            found.ok(f"{about}: {_told(reach)}")
            _judge_certificate(found, reach, now_s)
            continue
        step = "no usable URL" if reach.failure.kind is Kind.ADDRESS else f"{reach.failure.step} failed"
        text = f"{about}: {step} ({reach.failure.text}){_so_far(reach)}"
        tell = found.error if way.target.is_primary else found.warning
        tell(text, _help(way, reach.failure))
    if any(not way.reach.is_verified for way in ways):
        found.warning(
            "certificates are not verified: whoever is on the way can read the API key",
            "take DD_SKIP_SSL_VALIDATION out; name the authority of a proxy that opens TLS in DD_TLS_CERT_FILE",
        )
    return list(found)


def judge_clock(ways: Sequence[Way]) -> list[Finding]:
    """The smallest difference counts: an answer that came late, or an intake whose own clock is off, says nothing of ours."""
    found = Findings("clock")
    told = [way.reach.ahead_s for way in ways if way.reach.ahead_s is not None]
    if not told:
        found.note("no answer of an intake told the time")
        return list(found)
    ahead_s = min(told, key=abs)
    size = f"{abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} the intakes' clocks"
    set_it = "set the clock of this machine (in a VM or Docker: that of its host), for instance with `chronyc makestep`"
    if abs(ahead_s) > skew_error_s:
        found.error(f"{size}: AWS refuses signatures, and intakes data, that are so far off", set_it)
    elif abs(ahead_s) > skew_warning_s:
        found.warning(f"{size}: data appears at the wrong time", set_it)
    else:
        # An answer's date counts whole seconds.
        found.ok("within a second or two of the intakes' clocks" if abs(ahead_s) < 2.5 else size)
    return list(found)


def _told(reach: Reach) -> str:
    parts = [f"{step.name} {step.ms:.0f} ms" for step in reach.steps]
    if reach.certificate is not None:
        expires = datetime.fromtimestamp(reach.certificate.expires_s, UTC).date()
        parts.append(f"certificate by {reach.certificate.issuer} until {expires}")
    return f"reachable (status {reach.status}; {', '.join(parts)})"


def _so_far(reach: Reach) -> str:
    return f", after {', '.join(f'{step.name} {step.ms:.0f} ms' for step in reach.steps)}" if reach.steps else ""


def _judge_certificate(found: Findings, reach: Reach, now_s: float) -> None:
    if reach.certificate is not None and reach.certificate.expires_s - now_s < expiry_warning_s:
        days = max(0, int((reach.certificate.expires_s - now_s) // 86_400))
        found.note(f"{reach.url}: its certificate expires in {days} day{'' if days == 1 else 's'}")


def _help(way: Way, failure: Failure) -> str:
    names = " and ".join(way.target.variables)
    match failure.kind:
        case Kind.ADDRESS:
            return f"correct {names}"
        case Kind.NAME if way.reach.proxy:
            return f"correct the proxy's host in {way.proxy_variable}"
        case Kind.NAME:
            return f"check {names}; in a VPC its DNS resolution must be on, and PrivateLink needs private DNS names"
        case Kind.CONNECT | Kind.TIMEOUT if failure.step == "tcp" and way.reach.proxy:
            return (
                f"check the proxy's host and port in {way.proxy_variable}, and that the function's security group may "
                "connect to it"
            )
        case Kind.CONNECT | Kind.TIMEOUT:
            return (
                "in a VPC the function needs a NAT gateway, a PrivateLink endpoint or a proxy (DD_PROXY_HTTPS), and a "
                f"security group that lets it out to this port; elsewhere check the firewall and {names}"
            )
        case Kind.PROXY_CREDENTIALS:
            return (
                f"the proxy wants other credentials: {way.proxy_variable}=http://USER:PASSWORD@HOST:PORT, special characters "
                "percent-encoded (@ is %40)"
            )
        case Kind.PROXY:
            return f"allow {way.reach.url} in the proxy's rules, or except its host with DD_PROXY_NO_PROXY"
        case Kind.UNTRUSTED:
            return (
                "name a PEM file with the authority that signed the certificate (of a company's proxy, as a rule) in "
                f"DD_TLS_CERT_FILE; if the certificate is for another host, check {names}"
            )
        case Kind.TLS:
            return (
                f"check that {names} names a server that speaks TLS at this port (http:// if it does not), and that "
                "DD_MIN_TLS_VERSION is not above what it or a proxy in between speaks"
            )
        case Kind.ANSWER:
            return f"what listens there is no HTTP/1.1 server, or ended without an answer: check {names}"
