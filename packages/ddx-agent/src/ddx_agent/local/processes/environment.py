"""The environment variables of the sandbox's processes: what Lambda gives to each kind of process, and nothing else. Pure.

Nothing of the host's environment gets in, save the few values (`HostFacts`) that name where programs and libraries lie.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

Environment = dict[str, str]

withheld_from_extensions = frozenset(
    {
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_XRAY_CONTEXT_MISSING",
        "AWS_XRAY_DAEMON_ADDRESS",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
    }
)
"""Lambda gives these to the runtime alone; so does it every name that begins with an underscore."""

default_path = "/usr/local/bin:/usr/bin:/bin:/opt/bin"


class HostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Values of the host that processes need to find programs and libraries at all."""

    path: str = default_path
    library_path: str | None = None

    @staticmethod
    def of(environment: Mapping[str, str]) -> HostFacts:
        return HostFacts(
            path=environment.get("PATH") or default_path, library_path=environment.get("LD_LIBRARY_PATH") or None
        )


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """Made-up ones, so that SDKs find some; a function that calls AWS gets real ones from its own settings."""

    access_key_id: str = "ASIALOCALDDXPLATFORM"
    secret_access_key: str = "local-secret"  # noqa: S105 - opens nothing
    session_token: str = "local-token"  # noqa: S105


class SandboxFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the platform's own variables say."""

    function_name: str
    function_version: str
    handler: str
    memory_mb: int
    region: str
    runtime_api: str
    task_root: str
    log_stream: str
    initialization_type: str
    execution_env: str | None
    json_logs: bool
    host: HostFacts
    credentials: Credentials


def _shared(facts: SandboxFacts) -> Environment:
    variables = {
        "AWS_ACCESS_KEY_ID": facts.credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": facts.credentials.secret_access_key,
        "AWS_SESSION_TOKEN": facts.credentials.session_token,
        "AWS_REGION": facts.region,
        "AWS_DEFAULT_REGION": facts.region,
        "AWS_LAMBDA_FUNCTION_NAME": facts.function_name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(facts.memory_mb),
        "AWS_LAMBDA_FUNCTION_VERSION": facts.function_version,
        "AWS_LAMBDA_INITIALIZATION_TYPE": facts.initialization_type,
        "AWS_LAMBDA_RUNTIME_API": facts.runtime_api,
        "LANG": "en_US.UTF-8",
        "LD_LIBRARY_PATH": facts.host.library_path or f"{facts.task_root}/lib:/opt/lib",
        "PATH": facts.host.path,
        "TZ": ":UTC",
    }
    if facts.json_logs:
        variables["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
    return variables


user_may_replace = frozenset(
    {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "LANG",
        "LD_LIBRARY_PATH",
        "PATH",
        "TZ",
    }
)
"""Of the platform's variables those that a function's own settings replace; credentials among them, for laptops."""


def _with_user(variables: Environment, user: Mapping[str, str]) -> Environment:
    for name, value in user.items():
        if name not in variables or name in user_may_replace:
            variables[name] = value
    return variables


def runtime_environment(facts: SandboxFacts, user: Mapping[str, str]) -> Environment:
    variables = _shared(facts)
    variables |= {
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{facts.function_name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": facts.log_stream,
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:2000",
        "_AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1",
        "_AWS_XRAY_DAEMON_PORT": "2000",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LAMBDA_TASK_ROOT": facts.task_root,
        "_HANDLER": facts.handler,
    }
    if facts.execution_env is not None:
        variables["AWS_EXECUTION_ENV"] = facts.execution_env
    return _with_user(variables, user)


def extension_environment(facts: SandboxFacts, user: Mapping[str, str], own: Mapping[str, str]) -> Environment:
    """`own` holds settings meant for the extension alone; they win over the function's."""
    visible = {
        name: value for name, value in user.items() if not name.startswith("_") and name not in withheld_from_extensions
    }
    return _with_user(_shared(facts), {**visible, **own})
