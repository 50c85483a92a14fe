"""Any setting from a secret: `DD_X_SECRET_ARN` and `DD_X_KMS_ENCRYPTED` give `DD_X` its value.

Settings are needed when the agent is put together, so these are asked for before, all at once and for a bounded time; only
functions that use them pay for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
import trio

from ddx_agent.config import Complaint, Loaded, secret_suffixes
from ddx_agent.variables import read_environment
from ddx_core.errors import DdxError

from .aws_of import AwsOf

resolve_limit_s = 3.0
# Datadog's guide spells this one so; by the rule it would set a variable that nothing reads.
_other_spellings = {"DD_APM_ADDITIONAL_KMS_ENCRYPTED": "DD_APM_ADDITIONAL_ENDPOINTS"}


class SecretVariable(msgspec.Struct, frozen=True):
    """`name` holds an ARN or a ciphertext (`is_ciphertext`) that stands for the value of `stands_for`."""

    name: str
    written: str
    stands_for: str
    is_ciphertext: bool


class Resolved(msgspec.Struct):
    """Values by the variable they stand for, and what could not be had."""

    values: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    complaints: list[Complaint] = msgspec.field(default_factory=list[Complaint])


def find_secret_variables(environ: Mapping[str, str], known: Iterable[str]) -> list[SecretVariable]:
    """Those for settings of ours. The API key's own variables are settings themselves, and not among them."""
    ours = frozenset(known)
    found: list[SecretVariable] = []
    for name, written in sorted(read_environment(environ).items()):
        if name in ours:
            continue
        for suffix in secret_suffixes:
            stands_for = _other_spellings.get(name, name.removesuffix(suffix))
            if name.endswith(suffix) and stands_for in ours:
                found.append(SecretVariable(name, written.strip(), stands_for, suffix == "_KMS_ENCRYPTED"))
    return found


async def resolve_variables(variables: Iterable[SecretVariable], aws_of: AwsOf) -> Resolved:
    """Ask for all at once. One that fails, or takes too long, leaves its setting as it was and makes a complaint."""
    resolved = Resolved()
    left = {variable.name: variable for variable in variables}

    async def resolve(variable: SecretVariable) -> None:
        try:
            aws = aws_of.aws
            text = (
                await (aws.decrypt(variable.written) if variable.is_ciphertext else aws.secret(variable.written))
            ).strip()
        except DdxError as error:
            problem = str(error)
        except Exception as error:
            problem = type(error).__name__
        else:
            if text:
                resolved.values[variable.stands_for] = text
                del left[variable.name]
                return
            problem = "it is empty"
        del left[variable.name]
        resolved.complaints.append(Complaint(variable.name, problem, f"{variable.stands_for} stays as it was"))

    with trio.move_on_after(resolve_limit_s):
        async with trio.open_nursery() as nursery:
            for variable in list(left.values()):
                nursery.start_soon(resolve, variable)
    for variable in left.values():
        problem = f"AWS did not answer within {resolve_limit_s:g} s"
        resolved.complaints.append(Complaint(variable.name, problem, f"{variable.stands_for} stays as it was"))
    with trio.move_on_after(0.1, shield=True):
        await aws_of.aclose()
    return resolved


log_rules = "DD_LOGS_CONFIG_PROCESSING_RULES"
replace_tags = "DD_APM_REPLACE_TAGS"
_what_to_do = "look at the secret and at the permissions of the function's role"


def guard(loaded: Loaded, wanted: Iterable[SecretVariable]) -> Loaded:
    """Rules that were to come from a secret and are not in force protect nothing: logs are then not shipped at all."""
    complaints = list(loaded.complaints)
    for stands_for in dict.fromkeys(variable.stands_for for variable in wanted):
        if stands_for == log_rules and not _is_from_secret(loaded, "logs.rules"):
            told = f"no logs are shipped, so that none leaves unmasked; {_what_to_do}"
            loaded.config.logs = loaded.config.logs.switched_off()
        elif stands_for == replace_tags and not _is_from_secret(loaded, "traces.replace_rules"):
            told = f"spans leave without these rules, obfuscation is in force; {_what_to_do}"
        else:
            continue
        complaints.append(Complaint(stands_for, "the rules of its secret could not be had", told, is_severe=True))
    return msgspec.structs.replace(loaded, complaints=tuple(complaints))


def _is_from_secret(loaded: Loaded, setting: str) -> bool:
    source = loaded.sources.get(setting)
    return source is not None and source.kind == "secret"
