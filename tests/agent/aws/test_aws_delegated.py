"""A key from Datadog for whoever proves a role: the proof is checked as STS checks it."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from ddx_agent.aws import Aws, AwsError, HttpClient, delegated_key
from ddx_core.http import Response
from tests.support import aws as stand_in
from tests.support.aws import error, open_aws
from tests.support.plain_http import no_authorities


@asynccontextmanager
async def clients(**environ: str) -> AsyncGenerator[tuple[Aws, stand_in.Aws, HttpClient]]:
    async with open_aws() as server:
        http = HttpClient(make_tls=no_authorities)
        try:
            yield Aws(server.environ | environ, http), server, http
        finally:
            await http.aclose()


async def test_a_delegated_key_is_had_by_proving_the_role() -> None:
    async with clients() as (aws, server, http):
        key = await delegated_key(aws, http, org_uuid="org", api_url=server.url)
        assert key == "d" * 32
        assert server.key_calls == [("https://sts.eu-west-1.amazonaws.com", "org")]
        calls = len(server.key_calls)
        for org_uuid in ("", " ", "a\nb", "\udcff"):
            with pytest.raises(AwsError, match="DD_ORG_UUID is no UUID"):
                await delegated_key(aws, http, org_uuid=org_uuid, api_url=server.url)
        assert len(server.key_calls) == calls
        server.script = [error("x", 403)]
        with pytest.raises(AwsError, match="is the function's role mapped to DD_ORG_UUID"):
            await delegated_key(aws, http, org_uuid="org", api_url=server.url)
        server.script = [Response(body=b'{"data":{}}')]
        with pytest.raises(AwsError, match="the answer has no key"):
            await delegated_key(aws, http, org_uuid="org", api_url=server.url)


@pytest.mark.parametrize(
    ("more", "org_uuid", "shift_s"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "S3CR3T"}, "org", 0),
        ({}, "another", 0),
        ({}, "org", stand_in.largest_skew_s + 60),
        ({}, "org", -stand_in.largest_skew_s - 60),
    ],
    ids=["wrong key", "wrong organization", "clock ahead", "clock behind"],
)
async def test_a_proof_that_is_not_good_gives_no_key(more: dict[str, str], org_uuid: str, shift_s: int) -> None:
    async with clients(**more) as (aws, server, http):
        with pytest.raises(AwsError, match="status 403") as caught:
            await delegated_key(
                aws,
                http,
                org_uuid=org_uuid,
                api_url=server.url,
                wall_clock=lambda: time.time_ns() + shift_s * 10**9,
            )
        assert caught.value.status == 403
        assert "S3CR3T" not in str(caught.value)
        assert not server.key_calls


async def test_temporary_and_lasting_credentials_both_make_a_proof() -> None:
    for token in ("", stand_in.token):
        async with clients(AWS_SESSION_TOKEN=token) as (aws, server, http):
            assert await delegated_key(aws, http, org_uuid="org", api_url=server.url)
