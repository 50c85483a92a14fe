"""Clients that are slow, silent, gone or talk nonsense: every limit of the HTTP server holds, and nothing stays behind."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from ddx_core.http.bounds import Bounds
from ddx_core.http.connection import serve_stream
from ddx_core.http.wire import linger_s, second_chance_s
from tests.support.cancel import cancel_at_every_step
from tests.support.http_client import Client, Setting, Site, get, post, tight_limits
from tests.support.streams import FaultyStream, break_, hang, memory_streams, read_all


# Every test names `autojump_clock` itself: pytest-trio does not look for a clock in a fixture's fixtures.
@pytest.fixture
def setting(nursery: trio.Nursery) -> Setting:
    return Setting(nursery)


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
    assert tight_limits.body_s <= answered_at - began <= tight_limits.body_s + second_chance_s + 0.5


async def test_who_is_refused_gets_the_answer_though_the_rest_takes_long(
    setting: Setting, autojump_clock: MockClock
) -> None:
    client = setting.connect()
    await client.send(get("/nowhere", "Content-Length: 100", method="POST"))
    await trio.testing.wait_all_tasks_blocked()
    await setting.activity.wait_idle()
    for _ in range(9):
        await client.send(b"x" * 10)
        await trio.sleep(linger_s * 0.9)
    assert (await client.answer())[0] == 404


async def test_who_is_refused_and_sends_for_ever_is_cut_off_in_the_end(
    setting: Setting, autojump_clock: MockClock
) -> None:
    client = setting.connect()
    began = trio.current_time()
    await client.send(get("/nowhere", "Content-Length: 100", method="POST"))
    with suppress(trio.BrokenResourceError), trio.fail_after(1000):
        while True:
            await client.send(b"x")
            await trio.sleep(linger_s * 0.9)
    assert tight_limits.body_s <= trio.current_time() - began <= tight_limits.body_s + 2 * linger_s


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
    assert trio.current_time() - began == pytest.approx(tight_limits.idle_s + second_chance_s)  # pyright: ignore[reportUnknownMemberType]


async def test_a_client_that_reads_nothing_does_not_hold_a_handler_for_ever(
    setting: Setting, autojump_clock: MockClock
) -> None:
    client = setting.connect(wrap=lambda stream: FaultyStream(stream, fault=hang, send_bytes=2000))
    await client.send(get("/endless"))
    began = trio.current_time()
    await read_all(client.stream)
    assert trio.current_time() - began <= 500 + tight_limits.answer_s + linger_s
    assert setting.site.streams_closed == 1


@pytest.mark.parametrize("sent", range(0, 60, 7))
async def test_a_client_that_goes_away_anywhere_leaves_nothing_behind(
    setting: Setting, autojump_clock: MockClock, sent: int
) -> None:
    client = setting.connect()
    await client.send(post("/echo", b"x" * 20)[:sent])
    await client.stream.aclose()
    await trio.testing.wait_all_tasks_blocked()
    with trio.fail_after(200):
        await setting.activity.wait_idle()
    assert setting.body_bytes == 0


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
    bounds, site = Bounds(tight_limits), Site()

    async def operation() -> None:
        nonlocal bounds, site
        bounds, site = Bounds(tight_limits), Site()
        ours, theirs = memory_streams()
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def serve() -> None:
                await serve_stream(theirs, site.routes, bounds)
                await theirs.aclose()

            client = Client(ours)
            await client.send(post("/echo", b"x" * 50))
            await client.answer()
            await client.send(post("/echo", b"x" * 500))
            assert (await client.answer())[0] == 413
            await client.stream.aclose()

    def check(completed: bool) -> None:
        assert bounds.bodies.bytes == 0
        assert bounds.activity.requests == 0

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
@settings(max_examples=40, deadline=None)
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
            assert setting.body_bytes == 0
            return answer

    answer = trio.run(main, clock=MockClock(autojump_threshold=0))
    assert not answer or answer.startswith(b"HTTP/1.1 ")
