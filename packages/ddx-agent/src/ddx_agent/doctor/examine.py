"""The whole examination: facts are gathered side by side, judged, and told in a fixed order.

Rule: a check that fails itself costs itself and one finding.
"""

from __future__ import annotations

import functools
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from ddx_agent.config import Loaded, known_variables, load_config
from ddx_agent.config.file import ConfigFile
from ddx_agent.network import proxy_rules, tls_policy
from ddx_agent.secrets import AwsOf, find_secret_variables, key_sources
from ddx_core.clock import now_ns, ns_per_s
from ddx_core.intake import ApiKey, Proxy

from .ask import Given, ask_secrets, ask_sources, close, side_by_side, validate
from .findings import Finding, Findings, Level
from .handler import judge_handler, look_at_wrapper
from .intakes import Way, judge_clock, judge_intakes, proxy_variable, targets
from .keys import Asked, Validation, judge_sources, judge_validations, meets_site, other_keys, what_to_allow
from .libraries import judge_libraries, look_at_libraries
from .ports import judge_ports, look_at_ports
from .reach import reach
from .report import Redactor
from .settings import judge_settings

Check = Callable[[], Awaitable[Sequence[Finding]]]

_secret_names = ("API_KEY", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "AUTHORIZATION_TOKEN", "PASSWORD", "_KMS_ENCRYPTED")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What is examined. `api_url` has the site's API in place of `https://api.SITE`."""

    environ: Mapping[str, str]
    file: ConfigFile
    is_offline: bool = False
    timeout_s: float = 5.0
    root: Path = Path("/")
    python_path: tuple[str, ...] = ()
    api_url: str | None = None


async def examine(place: Place) -> list[Finding]:
    """All findings, without any secret in them."""
    loaded = load_config(place.environ, file=place.file)
    aws_of = AwsOf(loaded.config, place.environ)
    try:
        examination = _Examination(place, loaded, aws_of)
        return await examination.run()
    finally:
        await close(aws_of)


class _Examination:
    def __init__(self, place: Place, loaded: Loaded, aws_of: AwsOf) -> None:
        self._place = place
        self._loaded = loaded
        self._aws_of = aws_of
        self._secrets: set[str] = {
            value for name, value in place.environ.items() if name.upper().endswith(_secret_names)
        }

    async def run(self) -> list[Finding]:
        # The settings that come from secrets decide about all that follows.
        secrets = await _contained("secrets", self._check_secrets)
        self._remember_secrets()
        checks: list[tuple[str, Check]] = [
            ("settings", self._check_settings),
            ("api key", self._check_key),
            ("intakes", self._check_intakes),
            ("layer and libraries", self._check_installed),
            ("ports", self._check_ports),
        ]
        settings, key, *others = await side_by_side(
            [functools.partial(_contained, check, act) for check, act in checks]
        )
        redactor = Redactor(self._secrets)
        found = [settings, secrets, key, *others]
        return [redactor.clean(finding) for findings in found for finding in findings]

    def _remember_secrets(self) -> None:
        config = self._loaded.config
        rules = proxy_rules(config)
        intakes = config.intakes
        additional = (*intakes.more_metrics, *intakes.more_traces, *intakes.more_logs, *intakes.more_profiles)
        self._secrets.update(
            each
            for each in (
                config.api_key.plain,
                config.api_key.kms,
                config.api_key.kms_encrypted,
                *(endpoint.api_key for endpoint in additional),
                *(part for proxy in (rules.https, rules.http) if proxy is not None for part in proxy.auth or ()),
            )
            if each
        )

    async def _check_settings(self) -> Sequence[Finding]:
        return judge_settings(self._loaded, self._place.environ)

    async def _check_secrets(self) -> Sequence[Finding]:
        found = Findings("secrets")
        variables = find_secret_variables(self._place.environ, known_variables())
        if self._place.is_offline:
            for variable in variables:
                found.note(f"{variable.name}: not asked (--offline)")
            return found
        given = await ask_secrets(variables, self._aws_of, timeout_s=self._place.timeout_s)
        for each in given:
            _judge_secret(found, each)
        values = {each.variable.stands_for: each.text for each in given if each.text is not None}
        if values:
            self._secrets.update(values.values())
            self._loaded = load_config(self._place.environ, file=self._place.file, secrets=values)
        return found

    async def _check_key(self) -> Sequence[Finding]:
        config, place = self._loaded.config, self._place
        sources = key_sources(config, self._aws_of, place.environ)
        if place.is_offline:
            asked = [Asked(source.variable) for source in sources]
        else:
            asked = await ask_sources(sources, timeout_s=place.timeout_s)
        if config.api_key.plain is not None:
            asked.append(Asked("DD_API_KEY", ApiKey(config.api_key.plain)))
        self._secrets.update(each.key.value for each in asked if each.key is not None)
        found = judge_sources(asked)
        if place.is_offline:
            return found
        key = next((each.key for each in asked if each.key is not None), None)
        if key is not None and not meets_site(config):
            apart = Findings("api key")
            apart.note(
                f"nothing goes to {config.general.site} with it, so that site was not asked whether it accepts it"
            )
            found.extend(apart)
        return found + judge_validations(await self._validate(key))

    async def _validate(self, own: ApiKey | None) -> list[Validation]:
        config, timeout_s = self._loaded.config, self._place.timeout_s
        wanted = [("", config.general.site, own)] if own is not None and meets_site(config) else []
        wanted += other_keys(config)

        async def ask(used_for: str, site: str, key: ApiKey) -> Validation:
            api_url = self._place.api_url or f"https://api.{site}"
            http = self._aws_of.datadog
            return await validate(http, key, site=site, api_url=api_url, timeout_s=timeout_s, used_for=used_for)

        return await side_by_side([functools.partial(ask, *each) for each in wanted])

    async def _check_intakes(self) -> Sequence[Finding]:
        found = Findings("intakes")
        tls = self._tls(found)
        if self._place.is_offline:
            found.note("left out, and the clock with them (--offline)")
            return found
        rules, wanted = proxy_rules(self._loaded.config), targets(self._loaded)

        async def go(url: str, proxy: Proxy | None) -> Way:
            reached = await reach(url, proxy=proxy, tls=tls, timeout_s=self._place.timeout_s)
            return Way(by_url[url], reached, proxy_variable(self._loaded, url))

        by_url = {target.url: target for target in wanted}
        ways = await side_by_side([functools.partial(go, url, rules.proxy_for(url)) for url in by_url])
        return [*found, *judge_intakes(ways, now_s=now_ns() / ns_per_s), *judge_clock(ways)]

    def _tls(self, found: Findings) -> ssl.SSLContext:
        """As the agent makes it: a certificate file that cannot be used is told, and left aside."""
        policy = tls_policy(self._loaded.config)
        try:
            return policy.make_context()
        except (OSError, ValueError) as error:
            # A ValueError's text has the file's name already.
            problem = f"{policy.cert_file}: {error.strerror}" if isinstance(error, OSError) else str(error)
            found.error(
                f"DD_TLS_CERT_FILE cannot be used ({problem}); only the system's certificates are trusted",
                "name a PEM file that is in the function's image or package, for instance /var/task/authority.pem",
            )
            return policy.without_cert_file().make_context()

    async def _check_installed(self) -> Sequence[Finding]:
        root, environ = self._place.root, self._place.environ
        installed = look_at_libraries(root, environ, self._place.python_path)
        return [*judge_libraries(installed), *judge_handler(environ, installed, look_at_wrapper(root, environ))]

    async def _check_ports(self) -> Sequence[Finding]:
        return judge_ports(await look_at_ports(self._place.environ))


def _judge_secret(found: Findings, given: Given) -> None:
    variable = given.variable
    if given.refusal is None:
        found.ok(f"{variable.name} gives {variable.stands_for} ({given.ms:.0f} ms)")
    else:
        found.warning(
            f"{variable.name}: {given.refusal.text}; {variable.stands_for} stays as it was",
            what_to_allow(variable.name, given.refusal),
        )


async def _contained(check: str, act: Check) -> Sequence[Finding]:
    try:
        return await act()
    except Exception as error:
        # The last handler of one check. The text may hold what the check was given, so only the type is told.
        text = f"the check itself failed ({type(error).__name__}): this is a mistake of ddx, not of yours"
        return [Finding(check, Level.ERROR, text, "report it with `ddx config` and the version; the other checks hold")]
