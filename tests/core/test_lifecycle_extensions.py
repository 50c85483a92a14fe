"""The Extensions API client and the telemetry subscription, against a small server that plays Lambda."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest
import trio

from ddx_core.errors import LifecycleError
from ddx_core.events import Invoke, Shutdown
from ddx_core.http import Hangup, Request, Response, Route, Routes, open_tcp_listener, serve_http
from ddx_core.http import json as json_answer
from ddx_core.lifecycle import Buffering, ExtensionsClient, subscribe
from ddx_core.loopback import AnswerReader
from tests.support.cancel import cancel_at_every_step

identifier = "7a0e7f4c-3f3b-4c2b-9e0d-1d2c3b4a5968"
function = {"functionName": "orders", "functionVersion": "$LATEST", "handler": "app.handler"}
Answer = Response | Callable[[Request], Awaitable[Response]]


class Lambda:
    """Answers every path by one answer that the test has chosen, and keeps the requests."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[Request] = []
        self.address = ""

    async def start(self, nursery: trio.Nursery) -> Lambda:
        listener = await open_tcp_listener("127.0.0.1", 0)
        self.address = f"127.0.0.1:{listener.socket.getsockname()[1]}"
        await nursery.start(serve_http, [listener], Routes([Route(("*",), "/{rest*}", self._handle)]))
        return self

    async def _handle(self, request: Request) -> Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer if isinstance(answer, Response) else await answer(request)

    def client(self, *answers: Answer) -> ExtensionsClient:
        self.answers = list(answers)
        return ExtensionsClient(self.address, identifier=identifier)


@pytest.fixture
async def aws(nursery: trio.Nursery) -> Lambda:
    return await Lambda().start(nursery)


def registered(**body: Any) -> Response:
    return json_answer({**function, **body}, headers=(("Lambda-Extension-Identifier", identifier),))


def refused(status: int, error_type: str, message: str = "no") -> Response:
    return json_answer({"errorType": error_type, "errorMessage": message}, status)


async def test_register_names_itself_and_asks_for_the_account(aws: Lambda) -> None:
    client = aws.client(registered(accountId="0123"), json_answer({"eventType": "SHUTDOWN"}))
    registration = await client.register("datadog-agent")
    assert registration.function_name == "orders"
    assert registration.account_id == "0123"
    assert registration.identifier == identifier
    (request,) = aws.requests
    assert (request.method, request.path) == ("POST", "/2020-01-01/extension/register")
    assert request.headers["lambda-extension-name"] == "datadog-agent"
    assert request.headers["lambda-extension-accept-feature"] == "accountId"
    assert json.loads(request.body) == {"events": ["INVOKE", "SHUTDOWN"]}
    await client.next()
    assert aws.requests[-1].headers["lambda-extension-identifier"] == identifier


@pytest.mark.parametrize("body", [{}, {"accountId": ""}, {"accountId": None}, {"brandNew": [1]}])
async def test_an_unknown_account_is_none(aws: Lambda, body: dict[str, Any]) -> None:
    assert (await aws.client(registered(**body)).register("datadog-agent")).account_id is None


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (refused(403, "Extension.InvalidExtensionState"), "status 403: Extension.InvalidExtensionState no"),
        (Response(status=500, body=b"<html>"), "status 500"),
        (json_answer(function), "without Lambda-Extension-Identifier"),
        (Response(body=b"not json", headers=(("Lambda-Extension-Identifier", "x"),)), "makes no sense"),
        (Response(body=b"[" * 100_000, headers=(("Lambda-Extension-Identifier", "x"),)), "makes no sense"),
        (Response(status=202, headers=(("Lambda-Extension-Identifier", "x"),)), "status 202"),
    ],
)
async def test_a_refused_registration_says_why(aws: Lambda, answer: Response, message: str) -> None:
    with pytest.raises(LifecycleError, match=message) as caught:
        await aws.client(answer).register("datadog-agent")
    assert caught.value.status in (403, 500, 202, None)


async def test_next_waits_for_its_event(aws: Lambda) -> None:
    released = trio.Event()

    async def wait(request: Request) -> Response:
        await released.wait()
        return json_answer({"eventType": "INVOKE", "requestId": "r", "deadlineMs": 5})

    client = aws.client(wait)
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def release() -> None:
            await trio.testing.wait_all_tasks_blocked()
            released.set()

        assert await client.next() == Invoke(request_id="r", deadline_ms=5)
    assert aws.requests[0].headers["lambda-extension-identifier"] == identifier
    assert aws.requests[0].path == "/2020-01-01/extension/event/next"


async def test_next_gives_shutdown(aws: Lambda) -> None:
    # Lambda does not say what type the body of a SHUTDOWN has.
    body = b'{"eventType":"SHUTDOWN","shutdownReason":"SPINDOWN","deadlineMs":676051}'
    client = aws.client(Response(body=body, content_type="text/plain"))
    assert await client.next() == Shutdown(reason="spindown", deadline_ms=676051)


@pytest.mark.parametrize(
    "answer",
    [refused(403, "Extension.UnknownExtensionIdentifier"), refused(500, "InternalServerError"), Response(body=b"{}")],
)
async def test_next_that_is_refused_or_makes_no_sense_is_an_error(aws: Lambda, answer: Response) -> None:
    with pytest.raises(LifecycleError):
        await aws.client(answer).next()


async def test_errors_are_reported_with_their_type(aws: Lambda) -> None:
    client = aws.client(json_answer({"status": "OK"}, 202))
    await client.init_error("Extension.ConfigInvalid", "no key")
    await client.exit_error("Extension.Broken", "bye")
    assert [request.path.rsplit("/", 2)[-2:] for request in aws.requests] == [["init", "error"], ["exit", "error"]]
    assert aws.requests[0].headers["lambda-extension-function-error-type"] == "Extension.ConfigInvalid"
    assert json.loads(aws.requests[0].body)["errorMessage"] == "no key"


async def test_a_refused_error_report_says_so(aws: Lambda) -> None:
    with pytest.raises(LifecycleError, match=r"init/error was refused with status 403: Extension\.MissingHeader"):
        await aws.client(refused(403, "Extension.MissingHeader")).init_error("x", "y")


async def hang_up(request: Request) -> Response:
    raise Hangup(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")


async def talk_nonsense(request: Request) -> Response:
    raise Hangup(b"220 smtp ready\r\n\r\n", reset=False)


@pytest.mark.parametrize("answer", [hang_up, talk_nonsense])
async def test_a_broken_peer_is_a_lifecycle_error(aws: Lambda, answer: Answer) -> None:
    with pytest.raises(LifecycleError, match="GET /2020-01-01/extension/event/next failed"):
        await aws.client(answer).next()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "", "127.0.0.1:99999", "x" * 300 + ":80", "127.0.0.1:http"])
async def test_an_address_where_nobody_is_is_a_lifecycle_error(address: str) -> None:
    with trio.fail_after(5), pytest.raises(LifecycleError, match="failed"):
        await ExtensionsClient(address).register("datadog-agent")


async def test_a_call_can_be_cancelled_anywhere_and_leaves_nothing_open(aws: Lambda) -> None:
    client = aws.client(json_answer({"eventType": "SHUTDOWN"}))
    steps = await cancel_at_every_step(client.next, lambda completed: None)
    assert steps > 3


# --- the telemetry subscription ---------------------------------------------------------------------------------------


async def test_the_newest_schema_is_subscribed_first(aws: Lambda) -> None:
    client = aws.client(Response(body=b'"OK"'))
    assert await subscribe(client, port=8999) == "2025-01-29"
    (request,) = aws.requests
    assert (request.method, request.path) == ("PUT", "/2022-07-01/telemetry")
    assert request.headers["lambda-extension-identifier"] == identifier
    assert json.loads(request.body) == {
        "schemaVersion": "2025-01-29",
        "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:8999/"},
        "types": ["platform", "function", "extension"],
        "buffering": {"maxItems": 1000, "maxBytes": 262144, "timeoutMs": 25},
    }


async def test_types_and_buffering_are_the_callers(aws: Lambda) -> None:
    client = aws.client(Response(body=b'"OK"'))
    await subscribe(client, port=1, types=["platform"], buffering=Buffering(max_items=2000, timeout_ms=100))
    body = json.loads(aws.requests[0].body)
    assert body["types"] == ["platform"]
    assert body["buffering"] == {"maxItems": 2000, "maxBytes": 262144, "timeoutMs": 100}


async def test_a_schema_that_is_not_known_gives_way_to_an_older_one(aws: Lambda) -> None:
    bad = refused(400, "ValidationError", "schemaVersion")
    client = aws.client(bad, bad, Response(body=b'"OK"'))
    assert await subscribe(client, port=8999) == "2022-07-01"
    tried = [json.loads(request.body)["schemaVersion"] for request in aws.requests]
    assert tried == ["2025-01-29", "2022-12-13", "2022-07-01"]


@pytest.mark.parametrize(
    ("answer", "requests"),
    [
        (refused(202, "Telemetry.NotSupported"), 1),
        (refused(403, "Telemetry.SubscriptionClosed"), 1),
        (refused(500, "InternalServerError"), 1),
        (refused(400, "ValidationError"), 3),
        (hang_up, 1),
    ],
)
async def test_no_telemetry_will_come_after_any_other_answer(
    aws: Lambda, answer: Answer, requests: int, caplog: pytest.LogCaptureFixture
) -> None:
    assert await subscribe(aws.client(answer), port=8999) is None
    assert len(aws.requests) == requests
    assert "telemetry_not_subscribed" in caplog.text


async def test_requests_are_readable_by_the_answer_reader_of_the_same_house(aws: Lambda) -> None:
    """The stage before Trio reads answers with the same reader: a server that answers in chunks is read too."""

    async def stream() -> AsyncGenerator[bytes]:
        yield b'{"eventType":'
        yield b'"SHUTDOWN"}'

    async def chunked(request: Request) -> Response:
        return Response(stream=stream())

    assert await aws.client(chunked).next() == Shutdown()
    assert AnswerReader().feed(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") is not None
