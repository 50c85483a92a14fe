"""One connection of the HTTP server over memory streams: what is answered, what is refused, and how."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from ddx_core.http import Limits
from tests.support.http_client import Setting, get, post
from tests.support.streams import read_all, read_until


# Every test names `autojump_clock` itself: pytest-trio does not look for a clock in a fixture's fixtures.
@pytest.fixture
def setting(nursery: trio.Nursery) -> Setting:
    return Setting(nursery)


# --- ordinary life ----------------------------------------------------------------------------------------------------


async def test_requests_follow_each_other_on_one_connection(setting: Setting, autojump_clock: MockClock) -> None:
    client = setting.connect()
    for _ in range(3):
        await client.send(get("/hello"))
        status, headers, body = await client.answer()
        assert (status, body) == (200, b"hello")
        assert headers["content-length"] == "5"
        await trio.sleep(90)  # idle, but within the limit


async def test_pipelined_requests_are_answered_in_order(setting: Setting, autojump_clock: MockClock) -> None:
    client = setting.connect()
    await client.send(get("/hello") + post("/echo", b"12345") + get("/hello") + get("/nowhere") + get("/bye"))
    answers = [await client.answer() for _ in range(5)]
    assert [status for status, _, _ in answers] == [200, 200, 200, 404, 200]
    assert answers[1][2] == b'{"size":5,"truncated":false}'
    assert answers[4][1]["connection"] == "close"
    assert await client.is_closed()


async def test_the_request_is_told_in_parts(setting: Setting, autojump_clock: MockClock) -> None:
    client = setting.connect()
    await client.send(post("/echo?a=1&b=%20", b"body", "X-One: 1", "X-One: 2", "Content-Type: text/x"))
    await client.answer()
    (request,) = setting.site.requests
    assert (request.method, request.path, request.query, request.body) == ("POST", "/echo", "a=1&b=%20", b"body")
    assert request.headers.all("x-one") == ["1", "2"]
    assert request.headers["content-type"] == "text/x"


@pytest.mark.parametrize("target", ["/h%65llo", "http://anything:80/hello", "/hello?"])
async def test_targets_of_every_form_are_understood(setting: Setting, autojump_clock: MockClock, target: str) -> None:
    client = setting.connect()
    await client.send(get(target))
    assert (await client.answer())[0] == 200


async def test_chunked_bodies_and_their_trailers_are_read(setting: Setting, autojump_clock: MockClock) -> None:
    client = setting.connect()
    await client.send(get("/echo", "Transfer-Encoding: chunked", method="POST"))
    await client.send(b"3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nX-Sum: 7\r\n\r\n")
    await client.answer()
    (request,) = setting.site.requests
    assert request.body == b"abcde"
    assert request.trailers["x-sum"] == "7"


async def test_expect_100_continue_is_answered_before_the_body(setting: Setting, autojump_clock: MockClock) -> None:
    client = setting.connect()
    await client.send(get("/echo", "Content-Length: 3", "Expect: 100-continue", method="POST"))
    assert await read_until(client.stream, lambda data: b"\r\n\r\n" in data) == b"HTTP/1.1 100 Continue\r\n\r\n"
    await client.send(b"abc")
    assert (await client.answer())[2] == b'{"size":3,"truncated":false}'


async def test_nobody_is_asked_to_continue_what_is_too_long(setting: Setting, autojump_clock: MockClock) -> None:
    client = setting.connect()
    await client.send(get("/echo", "Content-Length: 300", "Expect: 100-continue", method="POST"))
    assert (await client.answer())[0] == 413
    assert await client.is_closed()


@pytest.mark.parametrize(("path", "status"), [("/hello", 200), ("/stream", 200), ("/nowhere", 404), ("/echo", 405)])
async def test_head_is_answered_without_a_body(
    setting: Setting, autojump_clock: MockClock, path: str, status: int
) -> None:
    client = setting.connect()
    for _ in range(2):
        await client.send(get(path, method="HEAD"))
        got, _, body = await client.answer(b"HEAD")
        assert (got, body) == (status, b"")


async def test_no_content_has_neither_body_nor_length(setting: Setting, autojump_clock: MockClock) -> None:
    client = setting.connect()
    await client.send(get("/empty"))
    status, headers, _ = await client.answer()
    assert status == 204
    assert "content-length" not in headers


async def test_a_stream_is_sent_in_chunks_and_may_take_its_time(setting: Setting, autojump_clock: MockClock) -> None:
    client = setting.connect()
    await client.send(get("/stream") + get("/hello"))
    status, headers, body = await client.answer()
    assert (status, headers["transfer-encoding"], body) == (200, "chunked", b"one,two,three")
    assert (await client.answer())[2] == b"hello"
    assert setting.site.streams_closed == 1


async def test_old_clients_are_served_and_closed(setting: Setting, autojump_clock: MockClock) -> None:
    client = setting.connect()
    await client.send(b"GET /stream HTTP/1.0\r\n\r\n")
    answer = await read_all(client.stream)
    assert answer.endswith(b"\r\n\r\none,two,three")
    assert b"chunked" not in answer


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (get("/nowhere"), 404),
        (post("/nowhere", b"a body"), 404),
        (get("/nowhere", "Transfer-Encoding: chunked", method="POST"), 404),
        (post("/hello", b"a body"), 405),
        (get("/echo"), 405),
        (post("/echo", b"x" * 101), 413),
        (get("/echo", "Content-Length: 99999999999999999999", method="POST"), 413),
        (get("/echo", "Transfer-Encoding: chunked", method="POST") + b"65\r\n" + b"x" * 101 + b"\r\n", 413),
        (get("/fail"), 500),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 TLS to a plain port\r\n\r\n", 400),
        (b"GET /hello HTTP/1.1\r\n\r\n", 400),
        (b"GET  /hello HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (get("/echo", "Content-Length: -1", method="POST"), 400),
        (get("/echo", "Content-Length: abc", method="POST"), 400),
        (get("/echo", "Content-Length: 1", "Content-Length: 2", method="POST") + b"xx", 400),
        (get("/echo", "Transfer-Encoding: gzip", method="POST"), 501),
        (get("/echo", "Transfer-Encoding: chunked", method="POST") + b"zz\r\n", 400),
        (get("/echo", "Transfer-Encoding: chunked", method="POST") + b"-5\r\nhello\r\n", 400),
        (get("/hello", "X: " + "y" * 70_000), 431),
        (b"G" * 5000, 431),
        (get("/hello", "Bad Name: x"), 400),
    ],
)
async def test_each_wrong_request_has_its_own_answer(
    setting: Setting, autojump_clock: MockClock, request_bytes: bytes, status: int
) -> None:
    client = setting.connect()
    await client.send(request_bytes)
    assert (await client.answer())[0] == status
    # Nobody else is any worse for it.
    other = setting.connect()
    await other.send(get("/hello"))
    assert (await other.answer())[0] == 200


async def test_405_names_the_methods(setting: Setting, autojump_clock: MockClock) -> None:
    client = setting.connect()
    await client.send(get("/hello", method="PATCH"))
    _, headers, _ = await client.answer()
    assert headers["allow"] == "GET, HEAD"


async def test_a_failing_handler_tells_the_client_nothing_and_the_log_everything(
    setting: Setting, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    client = setting.connect()
    await client.send(get("/fail") + get("/hello"))
    status, _, body = await client.answer()
    assert (status, body) == (500, b"Internal error\n")
    assert "a defect with details" in caplog.text
    assert (await client.answer())[0] == 200


async def test_an_oversized_body_can_be_read_to_its_end_and_thrown_away(
    setting: Setting, autojump_clock: MockClock
) -> None:
    client = setting.connect()
    await client.send(post("/discard", b"x" * 5000) + post("/discard", b"y" * 100) + get("/discard"))
    assert (await client.answer())[2] == b'{"size":0,"truncated":true}'
    assert (await client.answer())[2] == b'{"size":100,"truncated":false}'
    assert setting.body_bytes == 0


async def test_an_oversized_chunked_body_is_thrown_away_as_it_comes(
    setting: Setting, autojump_clock: MockClock
) -> None:
    client = setting.connect()
    await client.send(get("/discard", "Transfer-Encoding: chunked", method="POST"))
    held: list[int] = []
    for _ in range(4):
        await client.send(b"3c\r\n" + b"x" * 60 + b"\r\n")
        await trio.testing.wait_all_tasks_blocked()
        held.append(setting.body_bytes)
    assert held == [60, 0, 0, 0]  # 120 are over the limit
    await client.send(b"0\r\n\r\n")
    assert (await client.answer())[2] == b'{"size":0,"truncated":true}'


async def test_even_throwing_away_has_an_end(setting: Setting, autojump_clock: MockClock) -> None:
    client = setting.connect()
    await client.send(get("/discard", "Transfer-Encoding: chunked", method="POST"))
    await client.send((b"3e8\r\n" + b"x" * 1000 + b"\r\n") * 11)
    assert (await client.answer())[0] == 413
    assert await client.is_closed()


async def test_all_bodies_together_are_bounded(setting: Setting, autojump_clock: MockClock) -> None:
    tight = Limits(bodies_bytes=150, body_s=1000)
    first, second = setting.connect(tight), setting.connect(tight)
    await first.send(get("/echo", "Content-Length: 100", method="POST") + b"x" * 50)
    await trio.testing.wait_all_tasks_blocked()
    assert setting.body_bytes == 100
    await second.send(post("/echo", b"y" * 100))
    status, headers, _ = await second.answer()
    assert (status, headers["retry-after"]) == (429, "1")
    await first.send(b"x" * 50)
    assert (await first.answer())[0] == 200
    assert setting.body_bytes == 0


async def test_one_body_alone_may_pass_the_bound_of_all(setting: Setting, autojump_clock: MockClock) -> None:
    client = setting.connect(Limits(bodies_bytes=10))
    await client.send(post("/echo", b"x" * 100))
    assert (await client.answer())[0] == 200


# --- servers that play a broken peer ----------------------------------------------------------------------------------


async def test_a_handler_can_hang_up_in_mid_answer(setting: Setting, autojump_clock: MockClock) -> None:
    client = setting.connect()
    await client.send(get("/hangup") + get("/hello"))
    assert await read_all(client.stream) == b"HTTP/1.1 200 OK\r\nContent-Le"


async def test_a_handler_can_announce_more_than_it_sends(setting: Setting, autojump_clock: MockClock) -> None:
    client = setting.connect()
    await client.send(get("/short"))
    assert (await read_all(client.stream)).endswith(b"\r\n\r\n1234")
