"""Any setting from a secret: `DD_X_SECRET_ARN` and `DD_X_KMS_ENCRYPTED` give `DD_X` its value.

Settings are needed when the agent is put together, so these are asked for before, all at once and for a bounded time; only
functions that use them pay for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
import trio

from ddx_agent.config import Complaint, secret_suffixes
from ddx_agent.config.environment import read_environment
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
            text = await (aws.decrypt(variable.written) if variable.is_ciphertext else aws.secret(variable.written))
        except DdxError as error:
            problem = str(error)
        except Exception as error:
            problem = type(error).__name__
        else:
            resolved.values[variable.stands_for] = text.strip()
            del left[variable.name]
            return
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
