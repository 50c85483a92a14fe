"""Secrets, parameters and ciphertexts from a server that checks signatures; and every way in which AWS says no."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from ddx_agent.aws import Aws, AwsError, HttpClient, delegated_key, transport
from ddx_agent.aws.transport import Answer
from ddx_core.http import Response
from tests.support import aws as stand_in
from tests.support.aws import denied, error, open_aws, secret_key
from tests.support.plain_http import no_authorities

arn = "arn:aws:secretsmanager:us-west-2:123456789012:secret:datadog"


@asynccontextmanager
async def clients(**environ: str) -> AsyncGenerator[tuple[Aws, stand_in.Aws, HttpClient]]:
    async with open_aws() as server:
        http = HttpClient(make_tls=no_authorities)
        try:
            yield Aws(server.environ | environ, http), server, http
        finally:
            await http.aclose()


async def test_a_secret_is_read_in_the_region_of_its_arn() -> None:
    async with clients() as (aws, server, _):
        server.secrets[arn] = {"SecretString": "text"}
        server.secrets["by-name"] = {"SecretBinary": base64.b64encode(b"binary").decode()}
        assert await aws.secret(arn) == "text"
        assert await aws.secret("by-name") == "binary"
        assert server.calls == [
            ("secretsmanager:GetSecretValue", "us-west-2"),
            ("secretsmanager:GetSecretValue", "eu-west-1"),
        ]


async def test_a_parameter_is_read_decrypted() -> None:
    async with clients() as (aws, server, _):
        server.parameters["/datadog/key"] = "value"
        assert await aws.parameter("/datadog/key") == "value"
        assert server.calls == [("ssm:GetParameter", "eu-west-1")]


async def test_a_ciphertext_is_decrypted_with_and_without_the_functions_context() -> None:
    async with clients() as (aws, server, _):
        assert await aws.decrypt(server.encrypt("cli")) == "cli"
        assert await aws.decrypt(server.encrypt("console", function_name="orders")) == "console"
        assert len(server.calls) == 3
        with pytest.raises(AwsError, match="InvalidCiphertextException"):
            await aws.decrypt(server.encrypt("x", function_name="another"))


async def test_a_policy_may_allow_decryption_in_the_functions_context_alone() -> None:
    async with clients() as (aws, server, _):
        ciphertext = server.encrypt("console", function_name="orders")
        server.script = [denied("kms:Decrypt")]
        assert await aws.decrypt(ciphertext) == "console"
        server.script = [denied("kms:Decrypt"), error("InvalidCiphertextException")]
        with pytest.raises(AwsError, match="allow kms:Decrypt"):
            await aws.decrypt(ciphertext)
        server.script = [error("InvalidCiphertextException"), denied("kms:Decrypt")]
        with pytest.raises(AwsError, match="allow kms:Decrypt"):
            await aws.decrypt(ciphertext)


async def test_a_function_without_a_name_has_no_context_to_try() -> None:
    async with clients(AWS_LAMBDA_FUNCTION_NAME="") as (aws, server, _):
        with pytest.raises(AwsError, match="InvalidCiphertextException"):
            await aws.decrypt(server.encrypt("x", function_name="orders"))
        assert len(server.calls) == 1


async def test_what_is_no_ciphertext_is_told_without_asking_aws() -> None:
    async with clients() as (aws, server, _):
        with pytest.raises(AwsError, match="the ciphertext is no base64") as caught:
            await aws.decrypt("plain-text-key")
        assert "plain" not in str(caught.value)
        assert not server.calls


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (denied("kms:Decrypt"), "allow kms:Decrypt to"),
        (error("AccessDeniedException", message="Access to KMS is not allowed"), "allow kms:Decrypt to"),
        (
            error("AccessDeniedException", message="S3CR3T is not authorized to perform: iam:S3CR3T"),
            "allow ssm:GetParam",
        ),
        (error("DecryptionFailure"), "allow kms:Decrypt to"),
        (error("ParameterNotFound"), "check the name"),
        (error("InvalidSignatureException", 403), "the clock"),
        (error("UnrecognizedClientException"), "check AWS_ACCESS_KEY_ID"),
        (error("ParameterNotFound:http://S3CR3T/"), "ParameterNotFound (status 400)"),
        (error("S3CR3T"), "an error"),
        (Response(status=400, body=b'{"__type":"ParameterNotFound","message":[5]}'), "ParameterNotFound"),
        (Response(status=302, headers=(("Location", "http://localhost:1/S3CR3T"),)), "status 302"),
    ],
    ids=str,
)
async def test_an_error_says_what_to_do(answer: Response, advice: str) -> None:
    async with clients() as (aws, server, _):
        server.script = [answer]
        with pytest.raises(AwsError) as caught:
            await aws.parameter("/datadog/key")
        assert advice in str(caught.value)
        assert "S3CR3T" not in str(caught.value)
        assert len(server.calls) == 1


async def test_what_is_missing_is_named_with_what_to_allow() -> None:
    async with clients() as (aws, server, _):
        server.allowed = set()
        with pytest.raises(AwsError, match="allow secretsmanager:GetSecretValue to the function's role") as caught:
            await aws.secret(arn)
        assert caught.value.kind == "AccessDeniedException"
        with pytest.raises(AwsError, match="allow kms:Decrypt"):
            await aws.decrypt(server.encrypt("x"))
    async with clients() as (aws, _, _):
        with pytest.raises(AwsError, match="ResourceNotFoundException"):
            await aws.secret("gone")
        with pytest.raises(AwsError, match="ParameterNotFound"):
            await aws.parameter("gone")
    async with clients(AWS_SECRET_ACCESS_KEY="wrong") as (aws, _, _):
        with pytest.raises(AwsError, match="InvalidSignatureException"):
            await aws.secret(arn)
    async with clients(AWS_SESSION_TOKEN="old") as (aws, _, _):
        with pytest.raises(AwsError, match="ExpiredTokenException"):
            await aws.secret(arn)


async def test_a_clock_that_is_wrong_is_told() -> None:
    async with open_aws() as server:
        http = HttpClient(make_tls=no_authorities)
        aws = Aws(server.environ, http, wall_clock=lambda: 1_700_000_000 * 10**9)
        with pytest.raises(AwsError, match="InvalidSignatureException"):
            await aws.secret(arn)
        await http.aclose()


@pytest.mark.parametrize(
    "step",
    [
        Response(status=500),
        Response(status=503),
        Response(status=429),
        error("ThrottlingException"),
        error("TooManyRequestsException"),
        error("InternalServiceError", 500),
        "reset",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\ncut off",
    ],
    ids=str,
)
async def test_trouble_that_passes_is_passed(step: Response | bytes | str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "pause_s", 0.01)
    async with clients() as (aws, server, _):
        server.secrets[arn] = {"SecretString": "text"}
        server.script = [step]
        assert await aws.secret(arn) == "text"
        server.script = [step] * transport.tries
        with pytest.raises(AwsError) as caught:
            await aws.secret(arn)
        assert caught.value.may_pass
        if isinstance(step, Response):
            assert caught.value.status == step.status


async def test_a_service_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "call_limit_s", 0.2)
    async with clients() as (aws, server, _):
        server.script = ["hang"] * transport.tries
        with trio.fail_after(5), pytest.raises(AwsError, match=r"no answer|a timeout"):
            await aws.secret(arn)


async def test_an_answer_without_end_is_refused() -> None:
    async with clients() as (aws, server, _):
        server.script = [Response(body=b"x" * (transport.most_answer_bytes + 1))] * transport.tries
        with pytest.raises(AwsError):
            await aws.secret(arn)


class Answers(HttpClient):
    """Gives one answer to whatever is asked."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self._answer = answer

    async def call(self, what: str, method: str, url: str, *, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        return self._answer


environ = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": secret_key, "AWS_REGION": "eu-west-1"}
marker = "S3CR3T"
bodies = st.binary(max_size=100) | st.sampled_from(
    [
        b"{}", b"[]", b"null", b'{"SecretString":5}', b'{"Parameter":[]}', b'{"Plaintext":"?"}', b'{"Plaintext":"/w=="}',
        b'{"__type":"S3CR3T<script>"}', b'{"SecretBinary":{"S3CR3T":1}}', b'{"data":{"attributes":{"api_key":" "}}}',
        b'{"SecretString":"\xff"}', b'{"Parameter":{"Value":"\xff"}}', b'{"__type":"\xff"}', b'{"__type":"a","message":{}}',
        b'{"AccessKeyId":"a","SecretAccessKey":"S3CR3T\\n"}', b'{"AccessKeyId":"a","SecretAccessKey":"S3CR3T\xc3\xa9"}',
        b"[" * 5000, b'{"AccessKeyId":"S3CR3T"}', b'{"AccessKeyId":"a","SecretAccessKey":"b","Expiration":"S3CR3T"}',
    ]
)  # fmt: skip


@given(bodies, st.sampled_from([200, 400, 403, 404, 302]))
def test_any_answer_is_a_value_or_an_aws_error_that_tells_no_secret(body: bytes, status: int) -> None:
    http = Answers(Answer(status, body))
    aws = Aws(environ, http)
    endpoint_only = Aws({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://localhost/x"}, http)

    async def delegated() -> str:
        return await delegated_key(aws, http, org_uuid="u", api_url="https://api.example")

    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: aws.secret("s"),
        lambda: aws.parameter("p"),
        lambda: aws.decrypt("QUJD"),
        endpoint_only.credentials,
        delegated,
    ]

    async def main() -> None:
        for call in calls:
            try:
                await call()
            except AwsError as caught:
                told.append(str(caught))

    told: list[str] = []
    trio.run(main)
    assert not [text for text in told if marker in text or secret_key in text]


def test_boto3_takes_the_stand_in_for_aws() -> None:
    """What stands in for AWS here is accepted by AWS's own client, signatures, errors and all."""
    import boto3  # pyright: ignore[reportMissingTypeStubs]
    import botocore.exceptions

    def ask(url: str) -> tuple[str, str]:
        options = {
            "region_name": "eu-west-1",
            "endpoint_url": url,
            "aws_access_key_id": stand_in.access_key,
            "aws_secret_access_key": secret_key,
            "aws_session_token": stand_in.token,
        }
        client = boto3.client("secretsmanager", **options)  # pyright: ignore
        found = client.get_secret_value(SecretId=arn)["SecretString"]  # pyright: ignore
        try:
            client.get_secret_value(SecretId="gone")  # pyright: ignore
        except botocore.exceptions.ClientError as caught:
            return str(found), str(caught.response["Error"]["Code"])  # pyright: ignore
        return str(found), ""  # pyright: ignore

    async def main() -> None:
        async with open_aws() as server:
            server.secrets[arn] = {"SecretString": "text"}
            assert await trio.to_thread.run_sync(ask, server.url) == ("text", "ResourceNotFoundException")

    trio.run(main)
