"""Delegated authentication: Datadog gives a key to whoever proves to be an IAM role that the organization has named.

The proof is a request to STS that is signed and not sent; Datadog sends it and learns from AWS whose it is.
"""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from ddx_core.clock import WallClock, now_ns, ns_per_s

from .errors import AwsError
from .places import endpoint
from .services import Aws
from .signing import Credentials, sign
from .transport import HttpClient

_body = b"Action=GetCallerIdentity&Version=2011-06-15"
_exact_names = ("Authorization", "Content-Type", "Host", "X-Amz-Date", "X-Amz-Security-Token", "X-Ddog-Org-Id")


def proof(credentials: Credentials, *, org_uuid: str, sts_url: str, region: str, now_s: float) -> str:
    """`base64(body)|base64(headers as JSON)|POST|base64(URL)`. `sts_url` has no slash at its end."""
    headers = {
        "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
        "Host": sts_url.partition("://")[2],
        "X-Ddog-Org-Id": org_uuid,
    }
    signed = sign(credentials, service="sts", region=region, headers=headers, body=_body, now_s=now_s)
    listed = {name: [signed[name]] for name in _exact_names if name in signed}
    parts = (_body, msgspec.json.encode(listed), sts_url.encode())
    body, packed, url = (base64.b64encode(part).decode() for part in parts)
    return f"{body}|{packed}|POST|{url}"


async def delegated_key(
    aws: Aws,
    http: HttpClient,
    *,
    org_uuid: str,
    api_url: str,
    wall_clock: WallClock = now_ns,
) -> str:
    """The key from `api_url`, Datadog's `https://api.SITE`. Raises AwsError."""
    if not (org_uuid.isascii() and org_uuid.isprintable() and org_uuid.strip()):
        raise AwsError("delegated authentication: DD_ORG_UUID is no UUID")
    credentials = await aws.credentials()
    token = proof(
        credentials,
        org_uuid=org_uuid,
        sts_url=endpoint("sts", aws.region, fips=aws.fips, environ={}),
        region=aws.region,
        now_s=wall_clock() / ns_per_s,
    )
    headers = {"Authorization": f"Delegated {token}", "Content-Type": "application/json"}
    answer = await http.call("delegated authentication", "POST", f"{api_url}/api/v2/intake-key", headers=headers)
    if not 200 <= answer.status < 300:
        raise AwsError(
            f"delegated authentication: status {answer.status}; is the function's role mapped to DD_ORG_UUID in Datadog?",
            status=answer.status,
        )
    try:
        document: Any = msgspec.json.decode(answer.body)
        key = document["data"]["attributes"]["api_key"]
    except (ValueError, RecursionError, KeyError, TypeError):
        key = None
    if not isinstance(key, str) or not key.strip():
        raise AwsError("delegated authentication: the answer has no key")
    return key
