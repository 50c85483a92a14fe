"""The configuration's complaints as findings. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ddx_agent.config import Complaint, Loaded, judge_keys, judge_names, known_paths, known_variables
from ddx_agent.config.explain import judge_ports
from ddx_agent.config.other_names import is_known_elsewhere
from ddx_agent.variables import read_environment

from .findings import Finding, Findings

# https://docs.datadoghq.com/getting_started/site/
known_sites = (
    "datadoghq.com", "us3.datadoghq.com", "us5.datadoghq.com", "datadoghq.eu", "ap1.datadoghq.com", "ap2.datadoghq.com",
    "uk1.datadoghq.com", "ddog-gov.com", "us2.ddog-gov.com",
)  # fmt: skip
# What people copy from a browser or from the API reference.
_hosts_of_a_site = frozenset({"api", "app", "http-intake", "trace", "www"})


def judge_settings(loaded: Loaded, environ: Mapping[str, str]) -> list[Finding]:
    found = Findings("settings")
    for complaint in (*loaded.complaints, *judge_ports(environ)):
        tell = found.error if complaint.is_severe else found.warning
        tell(str(complaint), _correct(complaint))
    names = judge_names(read_environment(environ), known_variables())
    for complaint in (*names, *judge_keys(loaded.file.tree, known_paths())):
        if is_known_elsewhere(complaint):
            found.note(str(complaint), f"take {complaint.variable} out, or leave it: it does no harm")
        else:
            found.warning(str(complaint), f"correct {complaint.variable}, or take it out")
    _judge_site(found, loaded)
    if not found:
        found.ok(f"{_number_set(loaded.sources)}; nothing to complain of")
    return list(found)


def _correct(complaint: Complaint) -> str:
    return f"correct {complaint.variable} or take it out; `ddx config` shows every setting and where its value is from"


def _judge_site(found: Findings, loaded: Loaded) -> None:
    site = loaded.config.general.site.lower()
    if site in known_sites:
        return
    host, _, rest = site.partition(".")
    if host in _hosts_of_a_site and rest.endswith(known_sites):
        meant = next(known for known in sorted(known_sites, key=len, reverse=True) if rest.endswith(known))
        found.warning(f"DD_SITE: {site} is a host of a site, not the site", f"set DD_SITE={meant}")
    else:
        found.note(f"DD_SITE: {site} is none of Datadog's public sites", f"those are {', '.join(known_sites)}")


def _number_set(sources: Iterable[str]) -> str:
    number = len(list(sources))
    return f"{number} setting{'' if number == 1 else 's'} set" if number else "nothing is set"
