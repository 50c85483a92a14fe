"""Which environment variables reach the runtime and the extension (Lambda developer guide, "Environment variables")."""

from __future__ import annotations

from ddx_agent.local.processes.environment import (
    Credentials,
    HostFacts,
    SandboxFacts,
    extension_environment,
    runtime_environment,
)

facts = SandboxFacts(
    function_name="orders",
    function_version="$LATEST",
    handler="handler.handler",
    memory_mb=256,
    region="eu-west-1",
    runtime_api="127.0.0.1:9001",
    task_root="/var/task",
    log_stream="2026/01/01/[$LATEST]abc",
    initialization_type="on-demand",
    execution_env="AWS_Lambda_python3.11",
    json_logs=False,
    host=HostFacts(path="/usr/bin"),
    credentials=Credentials(),
)

shared = {
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_RUNTIME_API",
    "LANG",
    "LD_LIBRARY_PATH",
    "PATH",
    "TZ",
}


def test_extension_gets_the_shared_variables_and_nothing_of_the_runtime() -> None:
    assert set(extension_environment(facts, {}, {})) == shared


def test_runtime_gets_its_own_as_well() -> None:
    assert set(runtime_environment(facts, {})) - shared == {
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_XRAY_CONTEXT_MISSING",
        "AWS_XRAY_DAEMON_ADDRESS",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
        "_AWS_XRAY_DAEMON_ADDRESS",
        "_AWS_XRAY_DAEMON_PORT",
        "_HANDLER",
    }


def test_variables_of_the_user_reach_both_unless_withheld_or_reserved() -> None:
    user = {"DD_ENV": "dev", "_HIDDEN": "x", "LAMBDA_TASK_ROOT": "/elsewhere", "AWS_REGION": "mars-1", "TZ": "UTC"}
    extension = extension_environment(facts, user, {})
    runtime = runtime_environment(facts, user)
    assert (extension["DD_ENV"], runtime["DD_ENV"]) == ("dev", "dev")
    assert "_HIDDEN" not in extension
    assert runtime["_HIDDEN"] == "x"
    assert "LAMBDA_TASK_ROOT" not in extension
    assert runtime["LAMBDA_TASK_ROOT"] == "/var/task"
    assert extension["AWS_REGION"] == runtime["AWS_REGION"] == "eu-west-1"
    assert extension["TZ"] == "UTC"


def test_own_settings_of_the_extension_win_and_stay_with_it() -> None:
    user = {"DD_SITE": "datadoghq.com"}
    assert extension_environment(facts, user, {"DD_SITE": "datadoghq.eu"})["DD_SITE"] == "datadoghq.eu"
    assert runtime_environment(facts, user)["DD_SITE"] == "datadoghq.com"


def test_host_gives_its_path_and_nothing_more() -> None:
    host = HostFacts.of({"PATH": "/opt/node/bin:/usr/bin", "DD_API_KEY": "secret", "HOME": "/home/me"})
    assert host == HostFacts(path="/opt/node/bin:/usr/bin")
    assert HostFacts.of({}).path
