"""The Runtime API, version 2018-06-01, on top of `RuntimeSession`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import trio

from ddx_core.http import Hangup, Oversize, Request, Response, Route, text

from ..invocation import Answer, Invocation
from ..quotas import max_payload_bytes, max_streamed_bytes
from ..refusal import Refusal
from .answers import accepted, error_body, refuse
from .control import Control, CurrentControl, Fatal
from .runtime_session import ResponseMode, error_type_of, response_mode, too_large

_base = "/2018-06-01"
_error_type_header = "lambda-runtime-function-error-type"

_cause_type = "application/vnd.aws.lambda.error.cause+json"


class _ErrorAndCause(msgspec.Struct):
    error: msgspec.Raw = msgspec.Raw(b"{}")


def runtime_routes(current: CurrentControl) -> Sequence[Route]:
    async def ping(_: Request) -> Response:
        return text("pong")

    async def next_invocation(_: Request) -> Response:
        invocation = await current().next_invocation()
        if invocation is None:
            raise Hangup
        if isinstance(invocation, Refusal):
            return refuse(invocation)
        return _event(invocation)

    async def response(request: Request) -> Response:
        return _take_response(current(), request)

    async def error(request: Request) -> Response:
        return _take_error(current(), request)

    async def init_error(request: Request) -> Response:
        control = current()
        refusal = control.runtime.init_error()
        if refusal is not None:
            return refuse(refusal)
        error_type = error_type_of(request.headers.get(_error_type_header))
        control.fail(Fatal(error_type, "the runtime reported an init error", _error_document(request)))
        return accepted()

    invocation_path = f"{_base}/runtime/invocation"
    return (
        Route(("GET",), f"{_base}/ping", ping),
        Route(("GET",), f"{invocation_path}/next", next_invocation),
        Route(
            ("POST",),
            f"{invocation_path}/{{id}}/response",
            response,
            max_body=max_streamed_bytes,
            oversize=Oversize.DISCARD,
        ),
        Route(
            ("POST",), f"{invocation_path}/{{id}}/error", error, max_body=max_payload_bytes, oversize=Oversize.DISCARD
        ),
        Route(
            ("POST",), f"{_base}/runtime/init/error", init_error, max_body=max_payload_bytes, oversize=Oversize.DISCARD
        ),
    )


def _event(invocation: Invocation) -> Response:
    request = invocation.request
    headers = [
        ("Lambda-Runtime-Aws-Request-Id", request.request_id),
        ("Lambda-Runtime-Deadline-Ms", str(invocation.deadline_unix_ms)),
        ("Lambda-Runtime-Invoked-Function-Arn", request.function_arn),
        ("Lambda-Runtime-Trace-Id", request.trace_header),
    ]
    if request.client_context:
        headers.append(("Lambda-Runtime-Client-Context", request.client_context))
    return Response(body=request.payload, content_type="application/json", headers=tuple(headers))


def _take_response(control: Control, request: Request) -> Response:
    refusal = control.runtime.respond(request.params["id"])
    if refusal is not None:
        return refuse(refusal)
    invocation = control.invocation
    assert invocation is not None
    mode = response_mode(request.headers.get("lambda-runtime-function-response-mode"))
    if isinstance(mode, Refusal):
        _answer(control, invocation, _failed("Runtime.InvalidResponseModeHeader", mode.message))
        return refuse(mode)
    if request.truncated or (mode == ResponseMode.BUFFERED and len(request.body) > max_payload_bytes):
        size = len(request.body) or int(request.headers.get("content-length", "0"))
        told = (
            f"Response payload size ({size} bytes) exceeded maximum allowed payload size ({max_payload_bytes} bytes)."
        )
        _answer(control, invocation, _failed("Function.ResponseSizeTooLarge", told))
        return refuse(too_large())
    late_error = request.trailers.get(_error_type_header) if mode == ResponseMode.STREAMING else None
    _answer(
        control,
        invocation,
        Answer(
            payload=request.body,
            error_type=error_type_of(late_error) if late_error else None,
            content_type=request.headers.get("content-type", "application/json"),
            at=trio.current_time(),
            took_s=request.body_s,
            produced_bytes=len(request.body),
        ),
    )
    return accepted()


def _take_error(control: Control, request: Request) -> Response:
    refusal = control.runtime.fail(request.params["id"])
    if refusal is not None:
        return refuse(refusal)
    invocation = control.invocation
    assert invocation is not None
    if request.truncated:
        _answer(control, invocation, _failed("Function.ResponseSizeTooLarge", too_large().message))
        return refuse(too_large())
    document = _error_document(request)
    error_type = error_type_of(request.headers.get(_error_type_header))
    _answer(
        control,
        invocation,
        Answer(
            payload=document,
            error_type=error_type,
            at=trio.current_time(),
            took_s=request.body_s,
            produced_bytes=len(document),
        ),
    )
    return accepted()


def _error_document(request: Request) -> bytes:
    if request.headers.get("content-type", "").startswith(_cause_type):
        try:
            return bytes(msgspec.json.decode(request.body, type=_ErrorAndCause).error)
        except msgspec.DecodeError:
            return request.body
    return request.body


def _failed(error_type: str, message: str) -> Answer:
    return Answer(payload=error_body(error_type, message).rstrip(), error_type=error_type, at=trio.current_time())


def _answer(control: Control, invocation: Invocation, answer: Answer) -> None:
    control.runtime.response_sent()
    invocation.answer_with(answer)
    control.changed()
