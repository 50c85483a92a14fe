"""The Lambda service's Invoke operation, as boto3 and the AWS CLI call it: `POST /2015-03-31/functions/NAME/invocations`.

Requests are not authenticated: any credentials, or none, will do.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import trio

from ddx_core.http import Oversize, Request, Response, Route

from ..invocation import Invocation
from ..quotas import max_async_payload_bytes, max_payload_bytes
from ..sandbox.sandbox import SandboxBusy
from .platform import Platform

any_function = "function"
"""The name under which AWS's own emulator offers whatever function it runs."""


def invoke_routes(platform: Platform, nursery: trio.Nursery) -> Sequence[Route]:
    """`nursery` keeps the asynchronous events that may have to be tried again."""

    async def invoke(request: Request) -> Response:
        return await _invoke(platform, nursery, request)

    return (
        Route(
            ("POST",),
            "/2015-03-31/functions/{name}/invocations",
            invoke,
            max_body=max_payload_bytes,
            oversize=Oversize.DISCARD,
        ),
    )


async def _invoke(platform: Platform, nursery: trio.Nursery, request: Request) -> Response:
    kind = request.headers.get("x-amz-invocation-type", "RequestResponse")
    qualifier = dict(parse_qsl(request.query)).get("Qualifier", "")
    problem = _unknown(platform, request.params["name"], qualifier) or _bad_request(request, kind)
    if problem is not None:
        return problem
    if kind == "DryRun":
        return Response(status=204, content_type=None, headers=_common(platform))
    try:
        client_context = _client_context(request)
    except ValueError:
        return _error(
            400, "InvalidRequestContentException", "Client context must be a valid Base64-encoded JSON object."
        )
    try:
        invocation = platform.submit(
            payload=request.body or b"{}",
            trace_header=request.headers.get("x-amzn-trace-id"),
            client_context=client_context,
        )
    except SandboxBusy:
        return _error(
            429,
            "TooManyRequestsException",
            "Rate Exceeded.",
            Reason="ReservedFunctionConcurrentInvocationLimitExceeded",
        )
    headers = (("x-amzn-RequestId", invocation.request.request_id), *_common(platform))
    if kind == "Event":
        nursery.start_soon(platform.run_event, invocation)
        return Response(status=202, content_type=None, headers=headers)
    return await _answer(invocation, headers, with_tail=request.headers.get("x-amz-log-type") == "Tail")


async def _answer(invocation: Invocation, headers: tuple[tuple[str, str], ...], *, with_tail: bool) -> Response:
    if with_tail:
        # The tail ends with the REPORT line, which is written when the extensions are done.
        result = await invocation.wait_done()
        headers = (*headers, ("X-Amz-Log-Result", base64.b64encode(result.log_tail).decode()))
    await invocation.responded.wait()
    answer = invocation.answer
    assert answer is not None
    if answer.error_type is not None:
        headers = (*headers, ("X-Amz-Function-Error", "Unhandled"))
    return Response(status=200, body=answer.payload, content_type="application/json", headers=headers)


def _common(platform: Platform) -> tuple[tuple[str, str], ...]:
    return (("X-Amz-Executed-Version", platform.function.version),)


def _unknown(platform: Platform, name: str, qualifier: str) -> Response | None:
    """`name` may be a function's name, or a partial or whole ARN, each with or without a qualifier of its own.

    There is one version and no alias.
    """
    function = platform.function
    base = name.removesuffix(f":{function.version}")
    if base in (function.name, function.arn, any_function) or f"{function.arn}:".endswith(f":{base}:"):
        if qualifier in ("", function.version):
            return None
        arn = f"{function.arn}:{qualifier}"
    else:
        arn = name if name.startswith("arn:") else function.arn.rpartition(":")[0] + f":{name}"
    return _error(404, "ResourceNotFoundException", f"Function not found: {arn}")


def _bad_request(request: Request, kind: str) -> Response | None:
    if kind not in ("RequestResponse", "Event", "DryRun"):
        return _error(
            400,
            "InvalidParameterValueException",
            f"Value '{kind}' at 'invocationType' failed to satisfy constraint: "
            "Member must satisfy enum value set: [Event, RequestResponse, DryRun]",
        )
    limit = max_async_payload_bytes if kind == "Event" else max_payload_bytes
    if request.truncated or len(request.body) > limit:
        size = len(request.body) or request.headers.get("content-length", "unknown")
        told = f"Request must be smaller than {limit} bytes for the InvokeFunction operation; its size is {size}"
        return _error(413, "RequestTooLargeException", told)
    if request.body:
        try:
            msgspec.json.decode(request.body)
        except (msgspec.DecodeError, RecursionError) as error:
            return _error(400, "InvalidRequestContentException", f"Could not parse request body into json: {error}")
    return None


def _client_context(request: Request) -> str | None:
    encoded = request.headers.get("x-amz-client-context")
    if not encoded:
        return None
    try:
        text = base64.b64decode(encoded, validate=True).decode()
        msgspec.json.decode(text, type=dict[str, Any])
    except (binascii.Error, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise ValueError(str(error)) from error
    return text


def _error(status: int, error_type: str, message: str, **more: str) -> Response:
    body = {"Type": "User", "Message": message, **more}
    return _json(status, body, ("x-amzn-ErrorType", error_type))


def _json(status: int, value: object, *headers: tuple[str, str]) -> Response:
    return Response(status=status, body=msgspec.json.encode(value), content_type="application/json", headers=headers)
