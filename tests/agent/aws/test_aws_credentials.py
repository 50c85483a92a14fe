"""Where credentials come from, how long they are kept, and to whom their token is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ddx_agent.aws import Aws, AwsError, HttpClient
from ddx_agent.aws.credentials import container_url
from tests.support import aws as stand_in
from tests.support.aws import open_aws, secret_key
from tests.support.plain_http import no_authorities

arn = "arn:aws:secretsmanager:us-west-2:123456789012:secret:datadog"
environ = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": secret_key, "AWS_REGION": "eu-west-1"}


def container_environ(server: stand_in.Aws, **more: str) -> dict[str, str]:
    return {
        "AWS_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": server.url,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{server.url}/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": server.credentials_token,
        **more,
    }


async def test_credentials_of_the_container_endpoint_are_kept_until_shortly_before_they_expire() -> None:
    now = datetime.now(UTC)
    clock = [now]
    async with open_aws() as server:
        server.secrets[arn] = {"SecretString": "text"}
        server.credentials = {
            "AccessKeyId": stand_in.access_key,
            "SecretAccessKey": secret_key,
            "Token": "fresh",
            "Expiration": (now + timedelta(hours=1)).isoformat().replace("+00:00", "Z"),
        }
        http = HttpClient(make_tls=no_authorities)
        aws = Aws(container_environ(server), http, wall_clock=lambda: int(clock[0].timestamp() * 1e9))
        for _ in range(3):
            assert await aws.secret(arn) == "text"
        assert [call for call, _ in server.calls].count("credentials") == 1
        clock[0] = now + timedelta(minutes=56)
        await aws.credentials()
        assert [call for call, _ in server.calls].count("credentials") == 2
        await http.aclose()


async def test_credentials_that_cannot_be_renewed_are_used_to_their_end() -> None:
    now = datetime.now(UTC)
    clock = [now]
    async with open_aws() as server:
        server.credentials = {
            "AccessKeyId": "a",
            "SecretAccessKey": "b",
            "Expiration": (now + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S"),
        }
        http = HttpClient(make_tls=no_authorities)
        aws = Aws(container_environ(server), http, wall_clock=lambda: int(clock[0].timestamp() * 1e9))
        await aws.credentials()
        server.credentials_token = "changed"
        clock[0] = now + timedelta(minutes=58)
        assert (await aws.credentials()).access_key == "a"
        clock[0] = now + timedelta(minutes=61)
        with pytest.raises(AwsError, match="status 401"):
            await aws.credentials()
        await http.aclose()


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"])
@pytest.mark.parametrize("value", ["S3CR3T\udcff", "S3CR3T\n", "S3CR3T\u00e9"])
async def test_credentials_that_no_header_can_carry_are_refused_without_telling_them(name: str, value: str) -> None:
    with pytest.raises(AwsError, match="characters that no credentials have") as caught:
        await Aws(environ | {name: value}, HttpClient(make_tls=no_authorities)).secret("s")
    assert "S3CR3T" not in repr(caught.value)


async def test_a_setting_that_is_no_text_is_told() -> None:
    aws = Aws(environ, HttpClient(make_tls=no_authorities))
    for ask in (aws.secret, aws.parameter):
        with pytest.raises(AwsError, match="cannot be sent"):
            await ask("x\udcff")


async def test_the_token_file_is_read_anew_each_time(tmp_path: Path) -> None:
    async with open_aws() as server:
        server.credentials = {"AccessKeyId": "a", "SecretAccessKey": "b"}
        path = tmp_path / "token"
        http = HttpClient(make_tls=no_authorities)
        environ = container_environ(server, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(path))
        aws = Aws(environ, http)
        with pytest.raises(AwsError, match="TOKEN_FILE cannot be read"):
            await aws.credentials()
        path.write_text("wrong")
        with pytest.raises(AwsError, match="status 401"):
            await aws.credentials()
        path.write_text(f"{server.credentials_token}\n")
        assert (await aws.credentials()).access_key == "a"
        await http.aclose()


async def test_without_credentials_that_is_said() -> None:
    with pytest.raises(AwsError, match="there are no AWS credentials"):
        await Aws({}, HttpClient(make_tls=no_authorities)).credentials()


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, None),
        ({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/x"}, "http://169.254.170.2/v2/x"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/x"}, "http://127.0.0.1:1/x"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://[::1]:1/x"}, "http://[::1]:1/x"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "https://anywhere.example/x"}, "https://anywhere.example/x"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/x"}, "http://169.254.170.23/x"),
    ],
)
def test_where_credentials_are_asked_for(environ: dict[str, str], url: str | None) -> None:
    assert container_url(environ) == url


@pytest.mark.parametrize(
    "url", ["http://evil.example/x", "http://10.0.0.1/", "ftp://localhost/", "http://[", "https://"]
)
def test_a_token_is_not_told_to_anybody(url: str) -> None:
    with pytest.raises(AwsError, match="AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        container_url({"AWS_CONTAINER_CREDENTIALS_FULL_URI": url})


async def test_keys_of_the_environment_come_before_the_endpoint() -> None:
    async with open_aws() as server:
        aws = Aws(container_environ(server, **environ), HttpClient(make_tls=no_authorities))
        assert (await aws.credentials()).access_key == "A"
        assert not server.calls
