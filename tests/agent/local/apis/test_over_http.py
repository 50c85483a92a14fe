"""The three Lambda APIs over HTTP, without processes: status codes, bodies, headers and long polls."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
import trio

from ddx_agent.local.apis.control import Control, ExtensionEvent, RegistrationFacts
from ddx_agent.local.apis.extension_table import ExtensionTable
from ddx_agent.local.apis.extensions import extension_routes
from ddx_agent.local.apis.runtime import runtime_routes
from ddx_agent.local.apis.telemetry import telemetry_routes
from ddx_agent.local.faults import Faults
from ddx_agent.local.invocation import Invocation, InvokeRequest
from ddx_agent.local.telemetry.hub import TelemetryHub
from ddx_core.http import Routes, open_tcp_listener, serve_http
from tests.support.plain_http import no_authorities

extensions = "/2020-01-01/extension"
runtime = "/2018-06-01/runtime"
telemetry = "/2022-07-01/telemetry"
subscription: dict[str, Any] = {
    "schemaVersion": "2022-12-13",
    "destination": {"protocol": "HTTP", "URI": "http://sandbox:8999/"},
    "types": ["platform"],
}


@asynccontextmanager
async def serving(
    *, account_id: str | None = "0123", faults: Faults | None = None
) -> AsyncGenerator[tuple[httpx.AsyncClient, Control]]:
    faults = faults or Faults()
    facts = RegistrationFacts(name="function-name", version="1", handler="myHandler", account_id=account_id)
    control = Control(facts, ExtensionTable(lambda: str(uuid4())), TelemetryHub(faults, wall=lambda: 0.0))

    def current() -> Control:
        return control

    routes = [*runtime_routes(current), *extension_routes(current), *telemetry_routes(current, faults)]
    listener = await open_tcp_listener("127.0.0.1", 0)
    port: int = listener.socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_http, [listener], Routes(routes))
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", trust_env=False, verify=no_authorities(), timeout=5
        ) as client:
            yield client, control
        nursery.cancel_scope.cancel()


async def register(client: httpx.AsyncClient, control: Control, **headers: str) -> dict[str, str]:
    """Register the launched extension; gives the headers of its later calls."""
    control.extensions.launch("ext")
    response = await client.post(
        f"{extensions}/register",
        json={"events": ["INVOKE", "SHUTDOWN"]},
        headers={"Lambda-Extension-Name": "ext"} | headers,
    )
    assert response.status_code == 200, response.text
    return {"Lambda-Extension-Identifier": response.headers["Lambda-Extension-Identifier"]}


def invocation(request_id: str = "r1", payload: bytes = b'{"a":1}') -> Invocation:
    made = Invocation(
        InvokeRequest(
            request_id=request_id, payload=payload, function_arn="arn:x", trace_header="Root=1-a", client_context=None
        )
    )
    made.deadline_unix_ms = 1234
    return made


@pytest.mark.parametrize(
    ("features", "account_id", "told"),
    [
        ("", "0123", False),
        ("accountId", "0123", True),
        ("some_non_existing_feature,", "0123", False),
        ("some_non_existing_feature, accountId,", "0123", True),
        ("accountId", None, False),
    ],
)
async def test_register_tells_the_account_when_asked_and_known(
    features: str, account_id: str | None, told: bool
) -> None:
    async with serving(account_id=account_id) as (client, control):
        control.extensions.launch("ext")
        headers = {"Lambda-Extension-Name": "ext", "Lambda-Extension-Accept-Feature": features}
        response = await client.post(f"{extensions}/register", json={"events": ["INVOKE"]}, headers=headers)
    expected = {"functionName": "function-name", "functionVersion": "1", "handler": "myHandler"}
    assert response.json() == expected | ({"accountId": "0123"} if told else {})


async def test_errors_have_awss_body_and_escape_html() -> None:
    async with serving() as (client, _):
        response = await client.post(f"{extensions}/register", json={"events": []})
        assert (response.status_code, response.headers["content-type"]) == (403, "application/json")
        assert (
            response.content
            == b'{"errorMessage":"Empty extension name","errorType":"Extension.InvalidExtensionName"}\n'
        )
        response = await client.post(
            f"{extensions}/register", json={"events": ["<&>"]}, headers={"Lambda-Extension-Name": "inside"}
        )
        assert b"\\u003c\\u0026\\u003e: " in response.content
        assert response.json()["errorMessage"].startswith("<&>: ")


async def test_next_waits_for_an_event_and_has_its_identifier() -> None:
    async with serving() as (client, control):
        headers = await register(client, control)
        answers: list[httpx.Response] = []

        async def poll() -> None:
            answers.append(await client.get(f"{extensions}/event/next", headers=headers))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(poll)
            await control.until(control.extensions.all_ready)
            refused = await client.get(f"{extensions}/event/next", headers=headers)
            event = ExtensionEvent(
                b'{"eventType":"INVOKE"}', (("Lambda-Extension-Event-Identifier", "e1"),), "application/json"
            )
            control.send_event(control.extensions.extensions[0], event)
            assert not control.extensions.all_done()
    assert refused.status_code == 403
    assert refused.json()["errorType"] == "Extension.InvalidExtensionState"
    assert answers[0].json() == {"eventType": "INVOKE"}
    assert answers[0].headers["Lambda-Extension-Event-Identifier"] == "e1"


async def test_event_sent_while_an_extension_works_waits_for_its_next_call() -> None:
    async with serving() as (client, control):
        headers = await register(client, control)
        control.send_event(control.extensions.extensions[0], ExtensionEvent(b'{"eventType":"SHUTDOWN"}', (), None))
        response = await client.get(f"{extensions}/event/next", headers=headers)
        assert response.json() == {"eventType": "SHUTDOWN"}
        assert control.extensions.extensions[0].state == "Running"


async def test_calls_without_a_known_identifier_are_refused_everywhere() -> None:
    async with serving() as (client, _):
        nobody = {"Lambda-Extension-Identifier": "3e5e5c3a-2b8f-4b1e-8a3e-111111111111"}
        for method, path in (
            ("GET", f"{extensions}/event/next"),
            ("POST", f"{extensions}/init/error"),
            ("POST", f"{extensions}/exit/error"),
            ("PUT", telemetry),
        ):
            missing = await client.request(method, path)
            unknown = await client.request(method, path, headers=nobody)
            assert (missing.status_code, unknown.status_code) == (403, 403)
            assert missing.json()["errorType"] == "Extension.MissingExtensionIdentifier"
            assert unknown.json()["errorType"] == "Extension.UnknownExtensionIdentifier"
        assert unknown.json()["errorMessage"] == f"Unknown extension {nobody['Lambda-Extension-Identifier']}"


async def test_init_error_is_accepted_and_ends_the_life() -> None:
    async with serving() as (client, control):
        headers = await register(client, control)
        refused = await client.post(f"{extensions}/init/error", headers=headers)
        assert refused.json()["errorType"] == "Extension.MissingHeader"
        assert control.fatal is None
        typed = headers | {"Lambda-Extension-Function-Error-Type": "Extension.Broken"}
        response = await client.post(f"{extensions}/init/error", headers=typed)
        assert (response.status_code, response.content) == (202, b'{"status":"OK"}\n')
        assert control.fatal is not None
        assert control.fatal.error_type == "Extension.InitError"


async def test_runtime_gets_its_event_with_headers_and_answers_it() -> None:
    async with serving() as (client, control):
        assert (await client.get("/2018-06-01/ping")).text == "pong"
        given = invocation()
        answers: list[httpx.Response] = []

        async def poll() -> None:
            answers.append(await client.get(f"{runtime}/invocation/next"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(poll)
            await control.until(lambda: control.runtime.state == "Ready")
            control.release_runtime(given)
        event = answers[0]
        assert event.json() == {"a": 1}
        assert event.headers["Lambda-Runtime-Aws-Request-Id"] == "r1"
        assert event.headers["Lambda-Runtime-Deadline-Ms"] == "1234"
        assert event.headers["Lambda-Runtime-Invoked-Function-Arn"] == "arn:x"
        assert event.headers["Lambda-Runtime-Trace-Id"] == "Root=1-a"
        assert "Lambda-Runtime-Client-Context" not in event.headers
        again = await client.get(f"{runtime}/invocation/next")
        assert again.json() == {"a": 1}
        other = await client.post(f"{runtime}/invocation/r2/response", content=b"{}")
        assert (other.status_code, other.json()["errorType"]) == (400, "InvalidRequestID")
        response = await client.post(f"{runtime}/invocation/r1/response", content=b'{"b":2}')
        assert (response.status_code, response.content) == (202, b'{"status":"OK"}\n')
        assert given.answer is not None
        assert (given.answer.payload, given.answer.error_type, given.answer.produced_bytes) == (b'{"b":2}', None, 7)
        twice = await client.post(f"{runtime}/invocation/r1/error", content=b"{}")
        assert (twice.status_code, twice.json()["errorType"]) == (403, "InvalidStateTransition")


async def running(client: httpx.AsyncClient, control: Control) -> Invocation:
    given = invocation()
    control.runtime.next()
    control.release_runtime(given)
    return given


async def test_unknown_response_mode_fails_the_invocation() -> None:
    async with serving() as (client, control):
        given = await running(client, control)
        headers = {"Lambda-Runtime-Function-Response-Mode": "carrier pigeon"}
        response = await client.post(f"{runtime}/invocation/r1/response", content=b"{}", headers=headers)
    assert (response.status_code, response.json()["errorType"]) == (400, "InvalidFunctionResponseMode")
    assert given.answer is not None
    assert given.answer.error_type == "Runtime.InvalidResponseModeHeader"


async def test_error_with_its_cause_gives_the_error_alone() -> None:
    async with serving() as (client, control):
        given = await running(client, control)
        headers = {
            "Content-Type": "application/vnd.aws.lambda.error.cause+json",
            "Lambda-Runtime-Function-Error-Type": "Function.Broken",
        }
        body = b'{"error":{"errorMessage":"m"},"errorCause":{}}'
        await client.post(f"{runtime}/invocation/r1/error", content=body, headers=headers)
    assert given.answer is not None
    assert (given.answer.payload, given.answer.error_type) == (b'{"errorMessage":"m"}', "Function.Broken")


async def test_subscription_is_answered_and_announced() -> None:
    async with serving() as (client, control):
        headers = await register(client, control)
        response = await client.put(telemetry, json=subscription, headers=headers)
        assert (response.status_code, response.content) == (200, b'"OK"')
        again = await client.put(telemetry, json=subscription, headers=headers)
        assert (again.status_code, again.json()["errorType"]) == (500, "InternalServerError")


async def test_subscription_is_refused_when_bad_or_late() -> None:
    async with serving() as (client, control):
        headers = await register(client, control)
        nothing: list[str] = []
        bad = await client.put(telemetry, json=subscription | {"types": nothing}, headers=headers)
        assert (bad.status_code, bad.json()["errorType"]) == (400, "ValidationError")
        control.telemetry.close_subscription()
        late = await client.put(telemetry, json=subscription, headers=headers)
        assert late.status_code == 403
        assert late.json() == {
            "errorType": "Telemetry.SubscriptionClosed",
            "errorMessage": "Telemetry API subscription is closed",
        }


async def test_platform_without_telemetry_answers_202() -> None:
    async with serving(faults=Faults(telemetry_unsupported=True)) as (client, control):
        headers = await register(client, control)
        response = await client.put(telemetry, json=subscription, headers=headers)
        logs = await client.put("/2020-08-15/logs", json={}, headers=headers)
    assert response.status_code == logs.status_code == 202
    assert response.json() == {
        "errorType": "Telemetry.NotSupported",
        "errorMessage": "Telemetry API is not supported",
    }
    assert logs.json()["errorType"] == "Logs.NotSupported"


async def test_end_of_a_life_ends_calls_that_wait() -> None:
    async with serving() as (client, control):
        headers = await register(client, control)
        async with trio.open_nursery() as nursery:

            async def poll() -> None:
                with pytest.raises(httpx.TransportError):
                    await client.get(f"{extensions}/event/next", headers=headers)

            nursery.start_soon(poll)
            await control.until(control.extensions.all_ready)
            control.end()
