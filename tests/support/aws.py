"""AWS as far as secrets need it: Secrets Manager, Systems Manager, KMS and the credentials endpoint, which check what AWS checks.

Signatures are checked by botocore: the request is signed again with the known secret, and must come out the same.
"""

from __future__ import annotations

import base64
import gzip
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
import trio
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials

from ddx_core.http import Hangup, Request, Response, Route, Routes, json, open_tcp_listener, serve_http
from tests.support.intake import at_once

access_key, secret_key, token = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "session-token"
largest_skew_s = 300
context_name = "LambdaFunctionName"


def signature_of(
    headers: dict[str, str], body: bytes, *, url: str, service: str, region: str, at: datetime, method: str = "POST"
) -> str:
    """The Authorization header that botocore makes for these signed headers."""
    request: Any = AWSRequest(method=method, url=url, data=body, headers=headers)
    request.context["timestamp"] = at.strftime("%Y%m%dT%H%M%SZ")
    auth: Any = SigV4Auth(BotocoreCredentials(access_key, secret_key), service, region)
    names = auth.headers_to_sign(request)
    canonical = auth.canonical_request(request)
    signature = auth.signature(auth.string_to_sign(request, canonical), request)
    return (
        f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, SignedHeaders={auth.signed_headers(names)}, "
        f"Signature={signature}"
    )


def error(kind: str, status: int = 400, message: str = "no") -> Response:
    return Response(
        status=status,
        body=msgspec.json.encode({"__type": f"com.amazonaws.example#{kind}", "message": message}),
        content_type="application/x-amz-json-1.1",
    )


def denied(action: str) -> Response:
    role = "arn:aws:sts::123456789012:assumed-role/orders/orders"
    text = (
        f"User: {role} is not authorized to perform: {action} on resource: x because no identity-based policy allows it"
    )
    return error("AccessDeniedException", message=text)


class Aws:
    """`script` holds answers for the next calls, whichever they are: a Response, bytes sent as they are, `hang` or `reset`."""

    def __init__(self) -> None:
        self.secrets: dict[str, dict[str, Any]] = {}
        self.parameters: dict[str, str] = {}
        self.allowed = {"secretsmanager:GetSecretValue", "ssm:GetParameter", "kms:Decrypt"}
        self.script: list[Response | bytes | str] = []
        self.calls: list[tuple[str, str]] = []
        self.credentials: dict[str, str] = {}
        self.credentials_token = "endpoint-token"
        self.org_uuid = "org"
        self.key_calls: list[tuple[str, str]] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environ(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": access_key,
            "AWS_SECRET_ACCESS_KEY": secret_key,
            "AWS_SESSION_TOKEN": token,
            "AWS_REGION": "eu-west-1",
            "AWS_LAMBDA_FUNCTION_NAME": "orders",
            "AWS_ENDPOINT_URL": self.url,
        }

    def encrypt(self, text: str, *, function_name: str | None = None) -> str:
        """A ciphertext as base64: with a context when made in Lambda's console for this function."""
        blob = msgspec.json.encode({"text": text, "context": {context_name: function_name} if function_name else {}})
        return base64.b64encode(blob).decode()

    def routes(self) -> Routes:
        return Routes(
            [
                Route(("POST",), "/", self._call),
                Route(("GET",), "/credentials", self._give_credentials),
                Route(("POST",), "/api/v2/intake-key", self._give_key),
            ]
        )

    async def _scripted(self) -> Response | None:
        if not self.script:
            return None
        step = self.script.pop(0)
        if step == "hang":
            await trio.sleep_forever()
        if step == "reset":
            raise Hangup
        if isinstance(step, bytes):
            raise Hangup(step, reset=False)
        assert isinstance(step, Response)
        return step

    async def _call(self, request: Request) -> Response:
        target = request.headers.get("x-amz-target") or ""
        scope = (request.headers.get("authorization") or "").partition("Credential=")[2].partition(",")[0].split("/")
        if len(scope) != 5:
            return error("MissingAuthenticationTokenException", 403)
        _, _, region, service, _ = scope
        self.calls.append((f"{service}:{target.rpartition('.')[2]}", region))
        scripted = await self._scripted()
        if scripted is not None:
            return scripted
        trouble = self._judge(request, service, region)
        if trouble is not None:
            return trouble
        if self.calls[-1][0] not in self.allowed:
            return denied(self.calls[-1][0])
        body: dict[str, Any] = msgspec.json.decode(request.body)
        match target:
            case "secretsmanager.GetSecretValue":
                found = self.secrets.get(body["SecretId"])
                return error("ResourceNotFoundException") if found is None else json(found)
            case "AmazonSSM.GetParameter":
                assert body["WithDecryption"] is True
                value = self.parameters.get(body["Name"])
                return error("ParameterNotFound") if value is None else json({"Parameter": {"Value": value}})
            case "TrentService.Decrypt":
                return self._decrypt(body)
            case _:
                return error("UnknownOperationException")

    def _decrypt(self, body: dict[str, Any]) -> Response:
        try:
            found: Any = msgspec.json.decode(base64.b64decode(body["CiphertextBlob"], validate=True))
        except (ValueError, msgspec.MsgspecError):
            return error("InvalidCiphertextException")
        if found["context"] != body.get("EncryptionContext", {}):
            return error("InvalidCiphertextException")
        return json({"Plaintext": base64.b64encode(found["text"].encode()).decode()})

    def _judge(self, request: Request, service: str, region: str) -> Response | None:
        """What is wrong with the signature, as AWS says it."""
        authorization = request.headers.get("authorization") or ""
        names = authorization.partition("SignedHeaders=")[2].partition(",")[0].split(";")
        moment = request.headers.get("x-amz-date") or ""
        at = datetime.strptime(moment, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if abs(at.timestamp() - time.time()) > largest_skew_s:
            return error("InvalidSignatureException", message="Signature expired")
        if not {"host", "x-amz-date", "content-type", "x-amz-target"} <= set(names):
            return error("InvalidSignatureException", message="headers are missing")
        if request.headers.get("x-amz-security-token") not in (token, self.credentials.get("Token")):
            return error("ExpiredTokenException")
        signed = {name: request.headers.get(name) or "" for name in names}
        url = f"http://{request.headers.get('host')}/"
        if signature_of(signed, request.body, url=url, service=service, region=region, at=at) != authorization:
            return error("InvalidSignatureException", 403)
        return None

    async def _give_credentials(self, request: Request) -> Response:
        self.calls.append(("credentials", ""))
        scripted = await self._scripted()
        if scripted is not None:
            return scripted
        if request.headers.get("authorization") != self.credentials_token:
            return json({"code": "AccessDenied"}, 401)
        return json(self.credentials)

    async def _give_key(self, request: Request) -> Response:
        """Datadog's side of delegated authentication: has the proof checked by STS, which here is botocore."""
        scripted = await self._scripted()
        if scripted is not None:
            return scripted
        scheme, _, proof = (request.headers.get("authorization") or "").partition(" ")
        body, packed, method, url = proof.split("|")
        listed: dict[str, list[str]] = msgspec.json.decode(base64.b64decode(packed))
        headers = {name: values[0] for name, values in listed.items()}
        authorization = headers.pop("Authorization")
        signed = {name.lower(): value for name, value in headers.items()}
        region = authorization.split("/")[2]
        address = base64.b64decode(url).decode()
        at = datetime.strptime(headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        expected = signature_of(
            signed,
            base64.b64decode(body),
            url=f"{address}/",
            service="sts",
            region=region,
            at=at,
        )
        is_signed = {"host", "x-amz-date", "x-ddog-org-id"} <= set(signed) and expected == authorization
        is_timely = abs(at.timestamp() - time.time()) <= largest_skew_s
        is_theirs = headers["X-Ddog-Org-Id"] == self.org_uuid
        if (scheme, method) != ("Delegated", "POST") or not (is_signed and is_timely and is_theirs):
            return json({"errors": ["no"]}, 403)
        self.key_calls.append((address, headers["X-Ddog-Org-Id"]))
        body = msgspec.json.encode({"data": {"attributes": {"api_key": "d" * 32}}})
        if "gzip" not in (request.headers.get("accept-encoding") or ""):
            return Response(body=body, content_type="application/json")
        return Response(
            body=gzip.compress(body), headers=(("Content-Encoding", "gzip"),), content_type="application/json"
        )


@asynccontextmanager
async def open_aws() -> AsyncGenerator[Aws]:
    aws = Aws()
    listener = await open_tcp_listener("127.0.0.1", 0)
    aws.port = listener.socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve_http, limits=at_once), [listener], aws.routes())
        yield aws
        nursery.cancel_scope.cancel()
