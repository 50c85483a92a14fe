"""Function facts and tags from the Lambda environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from ddx_agent.environment import account_in_arn, function_tags, read_function
from ddx_agent.environment.runtime_name import find_runtime_name, runtime_in_environ, runtime_in_os_release
from ddx_core.lifecycle import Registration

environ = {
    "AWS_LAMBDA_FUNCTION_NAME": "My-function",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_REGION": "us-west-2",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
}
registration = Registration(function_name="My-function", account_id="123456789012", identifier="x")


def tags_of(more: dict[str, str] | None = None, **settings: str) -> dict[str, str]:
    function = read_function({**environ, **(more or {})}, registration)
    tags = function_tags(
        function,
        agent_version="0.1.0",
        env=settings.get("env"),
        service=settings.get("service"),
        version=settings.get("version"),
        tags=(("team", "web"),),
    )
    return dict(tags)


def test_tags_of_a_function() -> None:
    tags = tags_of(env="test", service="My-Service", version="1.0.0")
    assert tags.pop("architecture") in ("x86_64", "arm64")
    assert tags == {
        "region": "us-west-2",
        "account_id": "123456789012",
        "aws_account": "123456789012",
        "functionname": "My-function",
        "resource": "My-function",
        "function_arn": "arn:aws:lambda:us-west-2:123456789012:function:my-function",
        "version": "1.0.0",
        "env": "test",
        "service": "my-service",
        "init_type": "on-demand",
        "memorysize": "256",
        "dd_extension_version": "0.1.0",
        "team": "web",
    }


def test_a_published_version_shows_in_the_tags() -> None:
    tags = tags_of({"AWS_LAMBDA_FUNCTION_VERSION": "7"})
    assert tags["executedversion"] == "7"
    assert tags["resource"] == "My-function:7"


@pytest.mark.parametrize(
    ("region", "partition"), [("us-east-1", "aws"), ("us-gov-west-1", "aws-us-gov"), ("cn-north-1", "aws-cn")]
)
def test_the_partition_follows_the_region(region: str, partition: str) -> None:
    arn = read_function({**environ, "AWS_REGION": region}, registration).arn
    assert arn == f"arn:{partition}:lambda:{region}:123456789012:function:My-function"


def test_an_unknown_account_is_none_in_the_arn_and_absent_from_the_tags() -> None:
    function = read_function(environ, Registration(function_name="f"))
    assert function.arn.split(":")[4] == "none"


@pytest.mark.parametrize(
    ("arn", "account"),
    [
        ("arn:aws:lambda:eu-west-1:123456789012:function:orders", "123456789012"),
        ("arn:aws:lambda:eu-west-1:123456789012:function:orders:live", "123456789012"),
        ("arn:aws:lambda:eu-west-1:none:function:orders", None),
        ("nonsense", None),
        ("", None),
    ],
)
def test_account_in_arn(arn: str, account: str | None) -> None:
    assert account_in_arn(arn) == account


@pytest.mark.parametrize(
    ("environ_", "name"),
    [
        (b'A=1\0AWS_EXECUTION_ENV="AWS_Lambda_java123"\0B=2', "java123"),
        (b"AWS_EXECUTION_ENV=AWS_Lambda_python3.12\0", "python3.12"),
        (b"NO_AWS_EXECUTION_ENV_HERE=1\0", None),
        (b"", None),
    ],
)
def test_runtime_in_environ(environ_: bytes, name: str | None) -> None:
    assert runtime_in_environ(environ_) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('PRETTY_NAME="Amazon Linux 2"\n', "provided.al2"),
        ('NAME=x\nPRETTY_NAME="Amazon Linux 2023.4.20240429"', "provided.al2023"),
        ("", "unknown"),
    ],
)
def test_runtime_in_os_release(text: str, name: str) -> None:
    assert runtime_in_os_release(text) == name


def test_the_runtime_is_found_among_processes_but_not_in_the_first_one(tmp_path: Path) -> None:
    for number, text in (
        ("1", "AWS_EXECUTION_ENV=AWS_Lambda_wrong"),
        ("42", "AWS_EXECUTION_ENV=AWS_Lambda_nodejs20.x"),
    ):
        (tmp_path / number).mkdir()
        (tmp_path / number / "environ").write_text(text)
    (tmp_path / "self").mkdir()
    assert find_runtime_name(str(tmp_path)) == "nodejs20.x"
    assert find_runtime_name(str(tmp_path / "none"), str(tmp_path / "none")) == "unknown"


def test_bytes_that_are_no_text_do_not_get_into_the_tags() -> None:
    function = read_function({"AWS_LAMBDA_FUNCTION_NAME": "caf\udce9", "AWS_REGION": "\udcff"}, Registration())
    assert function.arn.encode()
    assert function.name.startswith("caf\ufffd")
