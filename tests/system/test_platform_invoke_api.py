"""The invoke endpoint, called by the real boto3."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
import trio
from botocore.config import Config
from botocore.exceptions import ClientError

from ddx_agent.local.platform.opening import open_platform
from ddx_agent.local.platform.platform import Platform
from tests.support.local_platform import Recording, extension_command, make_function

pytestmark = pytest.mark.system

Call = Callable[..., Any]


@asynccontextmanager
async def lambda_client(folder: Path, **options: Any) -> AsyncGenerator[tuple[Platform, Call]]:
    """A platform, and boto3's `invoke` in a thread."""
    options.setdefault("extension_command", None)
    async with open_platform(make_function(folder), **options) as platform:
        make_client: Callable[..., Any] = boto3.client  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        client = make_client(
            "lambda",
            endpoint_url=platform.invoke_url,
            region_name="us-east-1",
            aws_access_key_id="any",
            aws_secret_access_key="any",
            config=Config(retries={"total_max_attempts": 1}, proxies={}),
        )

        async def call(**arguments: Any) -> Any:
            return await trio.to_thread.run_sync(partial(client.invoke, **({"FunctionName": "tested"} | arguments)))

        try:
            yield platform, call
        finally:
            client.close()


def error_code(error: ClientError) -> str:
    response: Any = error.response  # pyright: ignore[reportUnknownMemberType]
    return response["Error"]["Code"]


async def test_answer_comes_with_version_and_request_id(tmp_path: Path) -> None:
    async with lambda_client(tmp_path) as (_, call):
        answer = await call(Payload=b'{"order": 7}')
        payload = json.loads(answer["Payload"].read())
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    assert "FunctionError" not in answer
    assert payload["event"] == {"order": 7}
    assert payload["headers"]["Lambda-Runtime-Aws-Request-Id"] == answer["ResponseMetadata"]["RequestId"]


async def test_function_error_is_an_answer_with_its_header(tmp_path: Path) -> None:
    async with lambda_client(tmp_path) as (_, call):
        answer = await call(Payload=b'{"error": "no stock"}')
        payload = json.loads(answer["Payload"].read())
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    assert payload == {"errorMessage": "no stock", "errorType": "Told"}


async def test_log_tail_ends_with_the_report(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    async with lambda_client(
        tmp_path,
        extension_command=extension_command,
        extension_name="tester",
        extension_environment=recording.environment,
    ) as (_, call):
        answer = await call(Payload=b'{"print": "hello"}', LogType="Tail")
    tail = base64.b64decode(answer["LogResult"]).decode().splitlines()
    request_id = answer["ResponseMetadata"]["RequestId"]
    assert f"START RequestId: {request_id} Version: $LATEST" in tail
    assert "hello" in tail
    assert "tester got INVOKE" in tail
    assert f"END RequestId: {request_id}" in tail
    assert tail[-1].startswith(f"REPORT RequestId: {request_id}\tDuration: ")
    assert "Init Duration: " in tail[-1]


async def test_event_is_queued_and_runs(tmp_path: Path) -> None:
    async with lambda_client(tmp_path) as (platform, call):
        answer = await call(Payload=b'{"print": "queued"}', InvocationType="Event")
        assert answer["StatusCode"] == 202
        result = await platform.invoke({})
    assert result.init_ms is None, "the queued event was the cold start"


async def test_dry_run_runs_nothing(tmp_path: Path) -> None:
    async with lambda_client(tmp_path) as (platform, call):
        assert (await call(InvocationType="DryRun"))["StatusCode"] == 204
        assert (await platform.invoke({})).init_ms is not None


async def test_client_context_reaches_the_function(tmp_path: Path) -> None:
    context = base64.b64encode(b'{"custom":{"a":"b"}}').decode()
    async with lambda_client(tmp_path) as (_, call):
        payload = json.loads((await call(ClientContext=context))["Payload"].read())
        with pytest.raises(ClientError, match="InvalidRequestContentException"):
            await call(ClientContext=base64.b64encode(b"no json").decode())
    assert payload["headers"]["Lambda-Runtime-Client-Context"] == '{"custom":{"a":"b"}}'
    assert payload["event"] == {}


@pytest.mark.parametrize(
    "name",
    [
        "tested",
        "123456789012:function:tested",
        "arn:aws:lambda:us-east-1:123456789012:function:tested",
        "arn:aws:lambda:us-east-1:123456789012:function:tested:$LATEST",
        "tested:$LATEST",
    ],
)
async def test_function_is_known_by_name_and_arn(tmp_path: Path, name: str) -> None:
    async with lambda_client(tmp_path) as (_, call):
        assert (await call(FunctionName=name, InvocationType="DryRun"))["StatusCode"] == 204


@pytest.mark.parametrize("name", ["other", "arn:aws:lambda:us-east-1:123456789012:function:other", "tested:prod"])
async def test_unknown_function_is_not_found(tmp_path: Path, name: str) -> None:
    async with lambda_client(tmp_path) as (_, call):
        with pytest.raises(ClientError, match="Function not found: arn:aws:lambda:us-east-1:123456789012:") as raised:
            await call(FunctionName=name)
    assert error_code(raised.value) == "ResourceNotFoundException"


async def test_there_is_no_version_and_no_alias_but_the_latest(tmp_path: Path) -> None:
    async with lambda_client(tmp_path) as (_, call):
        assert (await call(Qualifier="$LATEST", InvocationType="DryRun"))["StatusCode"] == 204
        for qualifier in ("7", "prod"):
            with pytest.raises(ClientError, match=f"function:tested:{qualifier}$") as raised:
                await call(Qualifier=qualifier)
            assert error_code(raised.value) == "ResourceNotFoundException"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"Payload": b"{no json"}, "InvalidRequestContentException"),
        ({"Payload": b'"' + b"x" * 6291556 + b'"'}, "RequestTooLargeException"),
        ({"Payload": b'"' + b"x" * (1 << 20) + b'"', "InvocationType": "Event"}, "RequestTooLargeException"),
    ],
)
async def test_bad_request_is_named(tmp_path: Path, arguments: dict[str, Any], code: str) -> None:
    async with lambda_client(tmp_path) as (_, call):
        with pytest.raises(ClientError) as raised:
            await call(**arguments)
    assert error_code(raised.value) == code


async def test_path_of_awss_emulator_works_as_well(tmp_path: Path) -> None:
    async with lambda_client(tmp_path) as (platform, _), httpx.AsyncClient(trust_env=False) as client:
        url = f"{platform.invoke_url}/2015-03-31/functions/function/invocations"
        assert (await client.post(url, json={"a": 1})).json()["event"] == {"a": 1}
