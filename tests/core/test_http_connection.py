"""One connection of the HTTP server over memory streams: every request is answered or refused, every limit holds."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import suppress

import h11
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from ddx_core.http import Activity, Hangup, Limits, Oversize, Request, Response, Route, Routes, json, text
from ddx_core.http.connection import Load, linger_s, second_chance_s, serve_stream
from tests.support.cancel import cancel_at_every_step
from tests.support.streams import FaultyStream, break_, hang, memory_streams, read_all, read_until

limits = Limits(header_bytes=4096, header_s=5, body_s=10, idle_s=100, answer_s=10, discard_bytes=10_000)


class Site:
    """A few handlers, and what they were asked."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.streams_closed = 0
        self.routes = Routes(
            [
                Route(("GET", "HEAD"), "/hello", self.hello),
                Route(("POST",), "/echo", self.echo, max_body=100),
                Route(("POST",), "/discard", self.echo, max_body=100, oversize=Oversize.DISCARD),
                Route(("GET",), "/fail", self.fail),
                Route(("GET",), "/block", self.block),
                Route(("GET",), "/hangup", self.hang_up),
                Route(("GET", "HEAD"), "/stream", self.stream),
                Route(("GET",), "/endless", self.endless),
                Route(("GET",), "/short", self.short),
                Route(("GET",), "/empty", self.empty),
                Route(("GET",), "/bye", self.bye),
                Route(("CONNECT",), "*", self.hello),
            ]
        )

    async def hello(self, request: Request) -> Response:
        self.requests.append(request)
        return text("hello")

    async def echo(self, request: Request) -> Response:
        self.requests.append(request)
        return json({"size": len(request.body), "truncated": request.truncated})

    async def fail(self, request: Request) -> Response:
        raise ValueError("a defect with details")

    async def block(self, request: Request) -> Response:
        await trio.sleep(1000)
        return text("at last")

    async def hang_up(self, request: Request) -> Response:
        raise Hangup(b"HTTP/1.1 200 OK\r\nContent-Le")

    async def stream(self, request: Request) -> Response:
        return Response(body=b"one,", stream=self._chunks())

    async def endless(self, request: Request) -> Response:
        return Response(stream=self._chunks(endless=True))

    async def short(self, request: Request) -> Response:
        return Response(body=b"1234", headers=(("Content-Length", "10"),))

    async def empty(self, request: Request) -> Response:
        return Response(status=204)

    async def bye(self, request: Request) -> Response:
        return Response(body=b"bye", close=True)

    async def _chunks(self, *, endless: bool = False) -> AsyncGenerator[bytes]:
        try:
            yield b""
            yield b"two,"
            await trio.sleep(500)  # a chunk may be waited for, longer than any limit
            yield b"three"
            while endless:
                yield b"x" * 1000
                await trio.lowlevel.checkpoint()
        finally:
            self.streams_closed += 1


class Client:
    """The other end: raw bytes out, raw bytes or h11 answers in."""

    def __init__(self, stream: trio.abc.HalfCloseableStream) -> None:
        self.stream = stream
        self._h11 = h11.Connection(h11.CLIENT)

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def answer(self, method: bytes = b"GET") -> tuple[int, dict[str, str], bytes]:
        """The next answer; the client's h11 is told of a request it has not sent itself."""
        if self._h11.our_state is h11.IDLE:
            self._h11.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
            self._h11.send(h11.EndOfMessage())
        status, headers, body = 0, dict[str, str](), b""
        while True:
            event = self._h11.next_event()
            if event is h11.NEED_DATA:
                self._h11.receive_data(bytes(await self.stream.receive_some(65536)))
            elif isinstance(event, h11.Response):
                status = event.status_code
                headers = {name.decode(): value.decode() for name, value in event.headers}
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                if self._h11.states == {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}:
                    self._h11.start_next_cycle()
                return status, headers, body
            elif not isinstance(event, h11.InformationalResponse):
                raise AssertionError(f"no answer but {event!r}")

    async def is_closed(self) -> bool:
        return not await self.stream.receive_some(1)


class Setting:
    def __init__(self, nursery: trio.Nursery) -> None:
        self.site = Site()
        self.activity = Activity()
        self.load = Load()
        self._nursery = nursery

    def connect(
        self,
        own_limits: Limits = limits,
        wrap: Callable[[trio.abc.HalfCloseableStream], trio.abc.HalfCloseableStream] = lambda stream: stream,
    ) -> Client:
        ours, theirs = memory_streams()
        served = wrap(theirs)

        async def serve() -> None:
            await serve_stream(served, self.site.routes, limits=own_limits, activity=self.activity, load=self.load)
            await served.aclose()

        self._nursery.start_soon(serve)
        return Client(ours)


# Every test names `autojump_clock` itself: pytest-trio does not look for a clock in a fixture's fixtures.
@pytest.fixture
def setting(nursery: trio.Nursery) -> Setting:
    return Setting(nursery)


def get(path: str, *headers: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


def post(path: str, body: bytes, *headers: str) -> bytes:
    return get(path, f"Content-Length: {len(body)}", *headers, method="POST") + body


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
    assert setting.load.body_bytes == 0


async def test_an_oversized_chunked_body_is_thrown_away_as_it_comes(
    setting: Setting, autojump_clock: MockClock
) -> None:
    client = setting.connect()
    await client.send(get("/discard", "Transfer-Encoding: chunked", method="POST"))
    for _ in range(9):
        await client.send(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
        await trio.testing.wait_all_tasks_blocked()
        assert setting.load.body_bytes <= 100
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
    assert setting.load.body_bytes == 100
    await second.send(post("/echo", b"y" * 100))
    status, headers, _ = await second.answer()
    assert (status, headers["retry-after"]) == (429, "1")
    await first.send(b"x" * 50)
    assert (await first.answer())[0] == 200
    assert setting.load.body_bytes == 0


async def test_one_body_alone_may_pass_the_bound_of_all(setting: Setting, autojump_clock: MockClock) -> None:
    client = setting.connect(Limits(bodies_bytes=10))
    await client.send(post("/echo", b"x" * 100))
    assert (await client.answer())[0] == 200


# --- slow, silent and vanishing clients -------------------------------------------------------------------------------


async def test_a_slow_header_is_408(setting: Setting, autojump_clock: MockClock) -> None:
    client = setting.connect()
    began = trio.current_time()
    with suppress(trio.BrokenResourceError):
        for byte in get("/hello", "X: " + "y" * 100):
            await client.send(bytes([byte]))
            await trio.sleep(0.5)
    assert (await client.answer())[0] == 408
    assert trio.current_time() - began < 60
    assert await client.is_closed()


async def test_a_drip_after_the_deadline_buys_one_second_chance_and_no_more(
    setting: Setting, autojump_clock: MockClock
) -> None:
    client = setting.connect()
    await client.send(get("/echo", "Content-Length: 90", method="POST"))
    began = trio.current_time()
    answered_at = 0.0

    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def drip() -> None:
            with suppress(trio.BrokenResourceError):
                while True:
                    await client.send(b"x")
                    await trio.sleep(0.4)

        assert (await client.answer())[0] == 408
        answered_at = trio.current_time()
        nursery.cancel_scope.cancel()
    assert limits.body_s <= answered_at - began <= limits.body_s + second_chance_s + 0.5


async def test_what_arrived_during_a_freeze_is_read_after_it(setting: Setting, autojump_clock: MockClock) -> None:
    client = setting.connect()
    await client.send(get("/echo", "Content-Length: 6", method="POST") + b"abc")
    await trio.testing.wait_all_tasks_blocked()
    autojump_clock.autojump_threshold = float("inf")
    autojump_clock.jump(3600)  # everything stood still, and both ends go on at the same time
    await client.send(b"def")
    assert (await client.answer())[2] == b'{"size":6,"truncated":false}'


async def test_an_idle_connection_survives_a_freeze_if_a_request_comes_at_once(
    setting: Setting, autojump_clock: MockClock
) -> None:
    client = setting.connect()
    await client.send(get("/hello"))
    await client.answer()
    await trio.testing.wait_all_tasks_blocked()
    autojump_clock.autojump_threshold = float("inf")
    autojump_clock.jump(24 * 3600)
    await trio.testing.wait_all_tasks_blocked()
    await client.send(get("/hello"))
    assert (await client.answer())[2] == b"hello"


async def test_an_idle_connection_is_closed_in_the_end_without_a_word(
    setting: Setting, autojump_clock: MockClock
) -> None:
    client = setting.connect()
    began = trio.current_time()
    assert await read_all(client.stream) == b""
    assert trio.current_time() - began == pytest.approx(limits.idle_s + second_chance_s)  # pyright: ignore[reportUnknownMemberType]


async def test_a_client_that_reads_nothing_does_not_hold_a_handler_for_ever(
    setting: Setting, autojump_clock: MockClock
) -> None:
    client = setting.connect(wrap=lambda stream: FaultyStream(stream, fault=hang, send_bytes=2000))
    await client.send(get("/endless"))
    began = trio.current_time()
    await read_all(client.stream)
    assert trio.current_time() - began <= 500 + limits.answer_s + linger_s
    assert setting.site.streams_closed == 1


@pytest.mark.parametrize("sent", range(0, 60, 7))
async def test_a_client_that_goes_away_anywhere_leaves_nothing_behind(
    setting: Setting, autojump_clock: MockClock, sent: int
) -> None:
    client = setting.connect()
    await client.send(post("/echo", b"x" * 20)[:sent])
    await client.stream.aclose()
    with trio.fail_after(200):
        await setting.activity.wait_idle()
    assert setting.load.body_bytes == 0


@pytest.mark.parametrize("fault", [hang, break_])
@pytest.mark.parametrize("passed", [0, 1, 30, 80])
async def test_a_stream_that_fails_while_answering_ends_the_connection(
    setting: Setting, autojump_clock: MockClock, fault: str, passed: int
) -> None:
    client = setting.connect(wrap=lambda stream: FaultyStream(stream, fault=fault, send_bytes=passed))
    await client.send(get("/hello"))
    with trio.fail_after(200):
        await read_all(client.stream)
        await setting.activity.wait_idle()


async def test_a_client_gone_while_the_handler_blocks_is_no_error(
    setting: Setting, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    client = setting.connect()
    await client.send(get("/block"))
    await trio.testing.wait_all_tasks_blocked()
    await client.stream.aclose()
    await trio.sleep(1001)
    assert setting.activity.requests == 0
    assert not caplog.text


async def test_a_long_poll_may_take_longer_than_every_limit(setting: Setting, autojump_clock: MockClock) -> None:
    client = setting.connect()
    await client.send(get("/block"))
    assert (await client.answer())[2] == b"at last"


# --- servers that play a broken peer ----------------------------------------------------------------------------------


async def test_a_handler_can_hang_up_in_mid_answer(setting: Setting, autojump_clock: MockClock) -> None:
    client = setting.connect()
    await client.send(get("/hangup") + get("/hello"))
    assert await read_all(client.stream) == b"HTTP/1.1 200 OK\r\nContent-Le"


async def test_a_handler_can_announce_more_than_it_sends(setting: Setting, autojump_clock: MockClock) -> None:
    client = setting.connect()
    await client.send(get("/short"))
    assert (await read_all(client.stream)).endswith(b"\r\n\r\n1234")


# --- activity ---------------------------------------------------------------------------------------------------------


async def test_activity_tells_of_half_received_and_half_answered_requests(
    setting: Setting, autojump_clock: MockClock
) -> None:
    client = setting.connect()
    await trio.testing.wait_all_tasks_blocked()
    assert setting.activity.requests == 0
    await client.send(get("/block")[:5])
    await trio.testing.wait_all_tasks_blocked()
    assert setting.activity.requests == 1
    await client.send(get("/block")[5:])
    await trio.testing.wait_all_tasks_blocked()
    assert setting.activity.requests == 1
    await client.answer()
    await setting.activity.wait_idle()
    assert setting.activity.requests == 0


# --- cancellation and garbage -----------------------------------------------------------------------------------------


async def test_cancelled_at_any_step_a_connection_lets_go_of_everything() -> None:
    setting_load, activity, site = Load(), Activity(), Site()

    async def operation() -> None:
        nonlocal setting_load, activity, site
        setting_load, activity, site = Load(), Activity(), Site()
        ours, theirs = memory_streams()
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def serve() -> None:
                await serve_stream(theirs, site.routes, limits=limits, activity=activity, load=setting_load)
                await theirs.aclose()

            client = Client(ours)
            await client.send(post("/echo", b"x" * 50))
            await client.answer()
            await client.send(post("/echo", b"x" * 500))
            assert (await client.answer())[0] == 413
            await client.stream.aclose()

    def check(completed: bool) -> None:
        assert setting_load.body_bytes == 0
        assert activity.requests == 0

    assert await cancel_at_every_step(operation, check) > 10


pieces = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from(
            [
                *(b"GET", b"POST", b" ", b"/hello", b"/echo", b" HTTP/1.1", b"\r\n", b"\r\n\r\n", b"Host: x\r\n"),
                *(
                    b"Content-Length: ",
                    b"5",
                    b"999",
                    b"Transfer-Encoding: chunked\r\n",
                    b"0\r\n\r\n",
                    b"Expect: 100-continue",
                ),
                *(
                    get("/hello"),
                    post("/echo", b"abc"),
                    b"\x00",
                    b"\xff" * 10,
                    b"Connection: upgrade\r\nUpgrade: x\r\n",
                ),
            ]
        ),
    ),
    max_size=12,
)


@given(pieces)
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_answered_with_http_or_silence(parts: list[bytes]) -> None:
    async def main() -> bytes:
        async with trio.open_nursery() as nursery:
            setting = Setting(nursery)
            client = setting.connect()
            for part in parts:
                with suppress(trio.BrokenResourceError):
                    await client.send(part)
            with suppress(trio.BrokenResourceError):
                await client.stream.send_eof()
            answer = await read_all(client.stream)
            await setting.activity.wait_idle()
            assert setting.load.body_bytes == 0
            return answer

    answer = trio.run(main, clock=MockClock(autojump_threshold=0))
    assert not answer or answer.startswith(b"HTTP/1.1 ")
