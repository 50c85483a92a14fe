"""Regions, partitions and hosts: which address a service has. Pure.

Source: AWS General Reference, "AWS service endpoints" and "FIPS endpoints".
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_domains = (
    ("cn-", "amazonaws.com.cn"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("us-isof-", "csp.hci.ic.gov"),
    ("us-iso-", "c2s.ic.gov"),
    ("eu-isoe-", "cloud.adc-e.uk"),
    ("eusc-", "amazonaws.eu"),
)
# In GovCloud these have no address with -fips: their usual one is FIPS.
_always_fips = frozenset({("us-gov-", "ssm"), ("us-gov-", "sts")})


def own_region(environ: Mapping[str, str]) -> str:
    return environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"


def region_of(arn: str, default: str) -> str:
    """The region in an ARN; `default` for a name that is no ARN."""
    parts = arn.split(":")
    return parts[3] if len(parts) >= 6 and parts[0] == "arn" and is_region(parts[3]) else default


def is_region(text: str) -> bool:
    return re.fullmatch(r"[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}", text) is not None


def endpoint(service: str, region: str, *, fips: bool, environ: Mapping[str, str]) -> str:
    """The base URL, without a slash at its end. `AWS_ENDPOINT_URL_SERVICE` and `AWS_ENDPOINT_URL` stand in its place."""
    if environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() != "true":
        name = f"AWS_ENDPOINT_URL_{_variable_names.get(service, service.upper())}"
        own = environ.get(name) or environ.get("AWS_ENDPOINT_URL")
        if own:
            return own.rstrip("/")
    domain = next((domain for prefix, domain in _domains if region.startswith(prefix)), "amazonaws.com")
    suffix = "-fips" if fips and (region[:7], service) not in _always_fips else ""
    return f"https://{service}{suffix}.{region}.{domain}"


_variable_names = {"secretsmanager": "SECRETS_MANAGER"}
