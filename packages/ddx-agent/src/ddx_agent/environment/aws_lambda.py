"""What the Lambda environment says of the function, and the tags made of it. Pure."""

from __future__ import annotations

import platform
from collections.abc import Mapping

import msgspec

from ddx_agent.bootstrap import managed_instances
from ddx_agent.variables import readable
from ddx_core.lifecycle import Registration
from ddx_core.tags import TagSet

snapstart = "snap-start"


class LambdaFunction(msgspec.Struct, frozen=True, kw_only=True):
    """`account_id` is None while nobody has said it."""

    name: str
    version: str
    region: str
    account_id: str | None
    memory_mb: str
    init_type: str
    execution_env: str
    architecture: str

    @property
    def is_managed(self) -> bool:
        return self.init_type == managed_instances

    @property
    def is_snapstart(self) -> bool:
        """Sandboxes begin as copies of one that was initialised long before."""
        return self.init_type == snapstart

    @property
    def arn(self) -> str:
        """The unqualified ARN; account `none` while it is not known, as the vendor's extension writes it."""
        partition = "aws"
        if self.region.startswith("us-gov-"):
            partition = "aws-us-gov"
        elif self.region.startswith("cn-"):
            partition = "aws-cn"
        return f"arn:{partition}:lambda:{self.region}:{self.account_id or 'none'}:function:{self.name}"


def read_function(environ: Mapping[str, str], registration: Registration) -> LambdaFunction:
    def text(name: str) -> str:
        return readable(environ.get(name, ""))

    machine = platform.machine()
    return LambdaFunction(
        name=text("AWS_LAMBDA_FUNCTION_NAME") or registration.function_name,
        version=text("AWS_LAMBDA_FUNCTION_VERSION") or registration.function_version,
        region=text("AWS_REGION") or text("AWS_DEFAULT_REGION") or "us-east-1",
        account_id=registration.account_id,
        memory_mb=text("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"),
        init_type=text("AWS_LAMBDA_INITIALIZATION_TYPE"),
        execution_env=text("AWS_EXECUTION_ENV"),
        architecture="arm64" if machine in ("aarch64", "arm64") else machine,
    )


def account_in_arn(arn: str) -> str | None:
    """The account id in a Lambda ARN; None when there is none."""
    parts = arn.split(":")
    return parts[4] if len(parts) >= 7 and parts[4].isdigit() else None


def function_tags(
    function: LambdaFunction,
    *,
    agent_version: str,
    env: str | None,
    service: str | None,
    version: str | None,
    tags: tuple[tuple[str, str], ...],
) -> TagSet:
    """The tags that everything of this function carries. The user's own come last and win over what is derived from the
    platform, but not over `env`, `service` and `version` where these have been set.
    """
    pairs: list[tuple[str, str]] = []
    qualified = function.version not in ("", "$LATEST")
    if function.name:
        pairs += [("region", function.region)]
        if function.account_id:
            pairs += [("account_id", function.account_id), ("aws_account", function.account_id)]
        pairs += [
            ("functionname", function.name),
            ("resource", f"{function.name}:{function.version}" if qualified else function.name),
        ]
        if qualified:
            pairs.append(("executedversion", function.version))
    pairs.append(("function_arn", function.arn.lower()))
    if version:
        pairs.append(("version", version))
    if env:
        pairs.append(("env", env))
    if service:
        pairs.append(("service", service.lower()))
    if function.init_type:
        pairs.append(("init_type", function.init_type))
    if function.memory_mb:
        pairs.append(("memorysize", function.memory_mb))
    if function.execution_env:
        pairs.append(("runtime", function.execution_env))
    pairs.append(("architecture", function.architecture))
    pairs.append(("dd_extension_version", agent_version))
    dedicated = {"env": env, "service": service, "version": version}
    pairs.extend(pair for pair in tags if not dedicated.get(pair[0]))
    return TagSet(pairs)
