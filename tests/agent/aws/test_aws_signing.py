"""Signature Version 4: published vectors, and botocore as an oracle."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddx_agent.aws.delegated import proof
from ddx_agent.aws.signing import Credentials, sign
from tests.support.aws import access_key, secret_key, signature_of

moment = datetime(2024, 5, 30, 9, 10, 11, tzinfo=UTC)
remainder = "AQoDYXdzEJr...<remainder of session token>"


@pytest.mark.parametrize(
    ("service", "target", "region", "body", "signature"),
    [
        (
            "secretsmanager", "secretsmanager.GetSecretValue", "us-east-1",
            '{"SecretId":"arn:aws:secretsmanager:region:account-id:secret:secret-name"}',
            "63d50106f9c0ab1f02c1f81d6c720b01bce369d45f63a8f6280ffe7945405b81",
        ),
        (
            "secretsmanager", "secretsmanager.GetSecretValue", "us-west-2",
            '{"SecretId":"arn:aws:secretsmanager:us-west-2:account-id:secret:secret-name"}',
            "bd77112dd24d7a35566b29a39861f7421660c49b065964212f966db509e90813",
        ),
        (
            "ssm", "AmazonSSM.GetParameter", "us-east-1",
            '{"Name":"arn:aws:ssm:us-east-1:account-id:parameter/my-parameter","WithDecryption":true}',
            "f45eebacb9f2f575cf1a235c65c97adc1c0d6ca21174044baa0c6457d4518d64",
        ),
        (
            "ssm", "AmazonSSM.GetParameter", "eu-west-1",
            '{"Name":"arn:aws:ssm:eu-west-1:account-id:parameter/my-parameter","WithDecryption":true}',
            "4bdd2a27b632981c73a70b52ea84e92d3e26fe2c768e9cf18b96630188748b7a",
        ),
        (
            "kms", "TrentService.Decrypt", "us-east-1", '{"CiphertextBlob":"QUJD"}',
            "589bcb3805e69a4eb2b8ec7e10dc383d2301f64729f2a078717b3049ff0b1fc2",
        ),
        (
            "kms", "TrentService.Decrypt", "us-east-1",
            '{"CiphertextBlob":"QUJD","EncryptionContext":{"LambdaFunctionName":"my-function"}}',
            "26a4ea1e0f1684374427ff5ee78ecfd08b3e84d9e35014fe48ea6121f5d2097f",
        ),
    ],
)  # fmt: skip
def test_published_signatures(service: str, target: str, region: str, body: str, signature: str) -> None:
    headers = {
        "Host": f"{service}.{region}.amazonaws.com",
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": target,
    }
    signed = sign(
        Credentials(access_key, secret_key, remainder),
        service=service,
        region=region,
        headers=headers,
        body=body.encode(),
        now_s=moment.timestamp(),
    )
    assert signed["X-Amz-Date"] == "20240530T091011Z"
    assert signed["Authorization"] == (
        f"AWS4-HMAC-SHA256 Credential={access_key}/20240530/{region}/{service}/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, "
        f"Signature={signature}"
    )


@pytest.mark.parametrize(
    ("headers", "body", "signature"),
    [
        ({}, b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        ({"My-Header1": "value1"}, b"", "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"),
        ({"My-Header1": "VALUE1"}, b"", "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"),
        (
            {"Content-Type": "application/x-www-form-urlencoded"}, b"Param1=value1",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
        (
            {"Content-Type": "application/x-www-form-urlencoded; charset=utf8"}, b"Param1=value1",
            "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe",
        ),
    ],
    ids=["post-vanilla", "post-header-key-sort", "post-header-value-case", "form-urlencoded", "form-with-charset"],
)  # fmt: skip
def test_signatures_of_the_aws_test_suite(headers: dict[str, str], body: bytes, signature: str) -> None:
    """The POST cases of the suite that AWS publishes with the description of Signature Version 4."""
    signed = sign(
        Credentials(access_key, secret_key),
        service="service",
        region="us-east-1",
        headers={"Host": "example.amazonaws.com", **headers},
        body=body,
        now_s=datetime(2015, 8, 30, 12, 36, tzinfo=UTC).timestamp(),
    )
    assert signed["Authorization"].endswith(f"Signature={signature}")


@pytest.mark.parametrize(
    ("token", "signature"),
    [
        ("", "a0d2350ca9fe0523a01c9e0cc253afde590c1962ff4eaa26dbb915992db1fb2b"),
        ("TOKEN", "41f694eb85ef1cdf4410fd6c2294303a8cad10afcf5cb77428036e001e22a268"),
    ],
)
def test_published_proofs_of_delegated_authentication(token: str, signature: str) -> None:
    import base64
    import json

    body, packed, method, url = proof(
        Credentials(access_key, secret_key, token),
        org_uuid="11111111-2222-3333-4444-555555555555",
        sts_url="https://sts.us-east-1.amazonaws.com",
        region="us-east-1",
        now_s=moment.timestamp(),
    ).split("|")
    assert base64.b64decode(body) == b"Action=GetCallerIdentity&Version=2011-06-15"
    assert (method, base64.b64decode(url)) == ("POST", b"https://sts.us-east-1.amazonaws.com")
    headers = json.loads(base64.b64decode(packed))
    assert list(headers) == sorted(headers)
    assert headers["Authorization"][0].endswith(f"Signature={signature}")
    assert ("X-Amz-Security-Token" in headers) is bool(token)


texts = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30)
names = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,15}", fullmatch=True).map(lambda name: f"X-{name}")


@given(
    more=st.dictionaries(names, st.lists(texts, min_size=1, max_size=3).map("  ".join), max_size=4),
    body=st.binary(max_size=200),
    token=st.just("") | texts,
    service=st.sampled_from(["kms", "ssm", "sts", "secretsmanager"]),
    region=st.sampled_from(["us-east-1", "cn-north-1", "us-gov-west-1"]),
    at=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
)
def test_botocore_signs_the_same(
    more: dict[str, str], body: bytes, token: str, service: str, region: str, at: datetime
) -> None:
    headers = {"Host": "host.example", **{name.lower(): value for name, value in more.items()}}
    signed = sign(
        Credentials(access_key, secret_key, token),
        service=service,
        region=region,
        headers=headers,
        body=body,
        now_s=at.timestamp(),
    )
    given_headers = {name: value for name, value in signed.items() if name != "Authorization"}
    assert signed["Authorization"] == signature_of(
        given_headers, body, url="https://host.example/", service=service, region=region, at=at
    )


def test_credentials_are_not_shown() -> None:
    shown = repr(Credentials(access_key, secret_key, "TOKEN"))
    assert secret_key not in shown
    assert "TOKEN" not in shown
