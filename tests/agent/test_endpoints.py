"""What an end-invocation call says of errors."""

from __future__ import annotations

import pytest

from ddx_agent.endpoints import LambdaEndpoints, is_failed
from ddx_core.http import Headers, Request
from ddx_core.http.routes import Match


def call(body: bytes = b"{}", **headers: str) -> Request:
    fields = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Request(method="POST", path="/lambda/end-invocation", query="", headers=Headers(fields), body=body)


@pytest.mark.parametrize(
    ("request_", "failed"),
    [
        (call(), False),
        (call(x_datadog_invocation_error="true"), True),
        (call(x_datadog_invocation_error="TRUE"), True),
        (call(x_datadog_invocation_error="false"), False),
        (call(x_datadog_invocation_error_msg="boom"), True),
        (call(x_datadog_invocation_error_type="E"), True),
        (call(x_datadog_invocation_error_stack="YQ=="), True),
        (call(b'{"statusCode":500}'), True),
        (call(b'{"statusCode":599,"body":"x"}'), True),
        (call(b'{"statusCode":404}'), False),
        (call(b'{"statusCode":"500"}'), False),
        (call(b'{"statusCode":true}'), False),
        (call(b"[1]"), False),
        (call(b"\xff"), False),
        (call(b'{"statusCode":"\xff"}'), False),
        (call(b"[" * 5000), False),
    ],
)
def test_errors_are_told_by_headers_or_by_a_status_of_5xx(request_: Request, failed: bool) -> None:
    assert is_failed(request_) is failed


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (call(x_datadog_invocation_error="true"), None),
        (call(x_datadog_invocation_error="true", lambda_runtime_aws_request_id="r"), "r"),
        (call(x_datadog_invocation_error="true", lambda_runtime_aws_request_id=""), None),
    ],
)
async def test_an_error_is_told_of_the_request_that_is_named_if_any_is(request_: Request, told: str | None) -> None:
    async def flush() -> None: ...

    errors: list[str | None] = []
    routes = LambdaEndpoints(flush=flush, on_error=errors.append, status=dict).routes()
    match = routes.find("POST", "/lambda/end-invocation")
    assert isinstance(match, Match)
    await match.route.handler(request_)
    assert errors == [told]
