"""The API key: where it comes from, its form, and whether Datadog takes it; and what to allow where AWS says no. Pure.

Rule: a key is looked at here and never told, not even its last characters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from ddx_agent.config import Config
from ddx_core.intake import ApiKey

from .findings import Finding, Findings
from .settings import known_sites


class Refusal(msgspec.Struct, frozen=True):
    """Why a source gave nothing; `kind` is AWS's own name of the error, and `may_pass` that nobody answered in time."""

    text: str
    kind: str = ""
    may_pass: bool = False


class Asked(msgspec.Struct, frozen=True):
    """What one source of the key gave. Neither key nor refusal: it was not asked."""

    variable: str
    key: ApiKey | None = None
    refusal: Refusal | None = None
    ms: float | None = None


class Verdict(StrEnum):
    VALID = "valid"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Validation(msgspec.Struct, frozen=True):
    """What a site said to a key. `detail` tells of a verdict that is unknown; `used_for` whose key it was."""

    site: str
    verdict: Verdict
    detail: str = ""
    used_for: str = ""


def judge_sources(asked: Sequence[Asked]) -> list[Finding]:
    """`asked` in the order of strength: the first that gives a key is used."""
    found = Findings("api key")
    if not asked:
        found.error(
            "there is no source of the API key: nothing can be sent",
            "set DD_API_KEY_SECRET_ARN to a Secrets Manager secret that holds it (or DD_API_KEY, DD_KMS_API_KEY, "
            "DD_API_KEY_SSM_ARN, DD_ORG_UUID)",
        )
    used = next((each for each in asked if each.key is not None), None)
    for each in asked:
        if each.refusal is not None:
            text = f"{each.variable}: {each.refusal.text}"
            help_ = what_to_allow(each.variable, each.refusal)
            if used is None:
                found.error(text, help_)
            else:
                found.warning(f"{text}; {used.variable} is used", help_)
        elif each.key is None:
            found.note(f"{each.variable}: not asked (--offline)")
        elif each is used:
            found.ok(f"{each.variable} gives it" + ("" if each.ms is None else f" ({each.ms:.0f} ms)"))
        else:
            found.note(f"{each.variable} gives one too, which is kept for when the stronger ones fail")
    if used is not None and used.key is not None and re.fullmatch(r"[0-9a-fA-F]{32}", used.key.value) is None:
        found.note(
            f"{used.variable}: not the form of an API key, which is 32 hexadecimal digits",
            "copy the key itself, not its name or id, from Organization Settings > API Keys",
        )
    return list(found)


def judge_validations(validations: Sequence[Validation]) -> list[Finding]:
    found = Findings("api key")
    for each in validations:
        if each.used_for:
            if each.verdict is Verdict.REFUSED:
                help_ = "correct the key of this endpoint, or its host: a key belongs to one site"
                found.note(f"{each.used_for}: {each.site} does not accept this endpoint's key", help_)
            elif each.verdict is Verdict.UNKNOWN:
                found.note(f"{each.used_for}: this endpoint's key could not be validated ({each.detail})")
            else:
                found.ok(f"{each.used_for}: {each.site} accepts this endpoint's key")
        elif each.verdict is Verdict.REFUSED:
            found.error(
                f"{each.site} does not accept the key",
                f"wrong site or wrong key: set DD_SITE to the site of your organization (it is {each.site} here; see the "
                "address of its pages), or make a new key there under Organization Settings > API Keys",
            )
        elif each.verdict is Verdict.UNKNOWN:
            help_ = "see the intakes below: what lies between here and them is the likely reason"
            found.warning(f"{each.site} could not be asked about the key ({each.detail})", help_)
        else:
            found.ok(f"{each.site} accepts it")
    return list(found)


def judge_answer(status: int, body: bytes) -> tuple[Verdict, str]:
    """Of GET /api/v1/validate: 200 with `{"valid": true}`, or 403 (API reference, "Validate API key")."""
    if status == 200:
        try:
            is_valid = msgspec.json.decode(body, type=_Validity).valid
        except (msgspec.MsgspecError, RecursionError, UnicodeError):
            return Verdict.UNKNOWN, "its answer is not understood"
        return (Verdict.VALID if is_valid else Verdict.REFUSED), ""
    return (Verdict.REFUSED, "") if status in (401, 403) else (Verdict.UNKNOWN, f"status {status}")


class _Validity(msgspec.Struct):
    valid: bool


def site_of(host: str) -> str | None:
    """The Datadog site that a host belongs to; None for others."""
    host = host.lower().rstrip(".")
    return max((site for site in known_sites if host == site or host.endswith(f".{site}")), key=len, default=None)


def meets_site(config: Config) -> bool:
    """Whether any data goes to the site with the function's own key: only then must the site accept it."""
    intakes = config.intakes
    return intakes.metrics_url is None or intakes.traces_url is None or not (intakes.logs_url or intakes.uses_worker)


def other_keys(config: Config) -> list[tuple[str, str, ApiKey]]:
    """(name, site, key) of the additional endpoints at Datadog, each site and key once."""
    found: dict[tuple[str, str], tuple[str, str, ApiKey]] = {}
    intakes = config.intakes
    for variable, endpoints in (
        ("DD_ADDITIONAL_ENDPOINTS", intakes.more_metrics),
        ("DD_APM_ADDITIONAL_ENDPOINTS", intakes.more_traces),
        ("DD_LOGS_CONFIG_ADDITIONAL_ENDPOINTS", intakes.more_logs),
    ):
        for number, endpoint in enumerate(endpoints, 1):
            host = endpoint.base_url.partition("://")[2].partition("/")[0].partition(":")[0]
            site = site_of(host)
            if site is not None:
                name = f"{variable}, entry {number}"
                found.setdefault((site, endpoint.api_key), (name, site, ApiKey(endpoint.api_key)))
    return list(found.values())


_actions = {
    "DD_API_KEY_SECRET_ARN": "secretsmanager:GetSecretValue on the secret (and kms:Decrypt on its key, if it has one of yours)",
    "DD_API_KEY_SSM_ARN": "ssm:GetParameter on the parameter (and kms:Decrypt on the key of a SecureString)",
    "DD_KMS_API_KEY": "kms:Decrypt on the key that it was encrypted with",
}
_services = {"DD_API_KEY_SECRET_ARN": "secretsmanager", "DD_API_KEY_SSM_ARN": "ssm", "DD_KMS_API_KEY": "kms"}


def what_to_allow(variable: str, refusal: Refusal) -> str:
    """What to do about a source that gives nothing, by its variable and AWS's name of the error."""
    like = _like(variable)
    service = _services.get(like, "sts")
    match refusal.kind:
        case "AccessDeniedException" | "AccessDenied" | "UnauthorizedOperation":
            return f"allow the function's role {_actions.get(like, 'this')}"
        case "ResourceNotFoundException" | "ParameterNotFound" | "NotFoundException":
            return f"correct {variable}: nothing of this name is in that region and account (an ARN names both)"
        case "InvalidCiphertextException" | "IncorrectKeyException" | "InvalidKeyUsageException":
            return (
                f"encrypt it anew in the function's region: aws kms encrypt --key-id KEY --plaintext fileb://FILE "
                f"--query CiphertextBlob --output text; and set {variable} to what it prints"
            )
        case "ExpiredTokenException" | "UnrecognizedClientException" | "InvalidSignatureException":
            return "AWS does not take the credentials of this environment: get new ones, and look at the clock below"
        case _ if "credentials" in refusal.text:
            return 'run this inside the function, or with its role: eval "$(aws configure export-credentials --format env)"'
        case _ if refusal.may_pass:
            if like == "DD_ORG_UUID":
                return "the function must reach https://api.SITE: see the intakes below"
            return (
                f"the function must reach {service}: in a VPC by a NAT gateway or an interface endpoint "
                f"(com.amazonaws.REGION.{service})"
            )
        case _ if like == "DD_ORG_UUID":
            return "in Datadog map the function's IAM role to this organization, and check DD_ORG_UUID and DD_SITE"
        case _:
            return f"check what {variable} names; the key is there as text, or as JSON with dd_api_key or apiKey"


def _like(variable: str) -> str:
    """Any `..._SECRET_ARN` needs what the key's does."""
    if variable.endswith("_SECRET_ARN"):
        return "DD_API_KEY_SECRET_ARN"
    return "DD_KMS_API_KEY" if variable.endswith("_KMS_ENCRYPTED") else variable
