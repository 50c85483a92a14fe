"""Reading many datagrams at once, on real sockets and with a real thread."""

from __future__ import annotations

import fcntl
import socket
import struct
import sys
import termios
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_metrics.dogstatsd.bulk_reader import BulkReader, next_pause
from ddx_metrics.dogstatsd.server import DatagramReceiver, bind_dogstatsd
from ddx_metrics.settings import ReceiverSettings

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="recvmmsg is Linux's")

Send = Callable[[bytes], object]
plenty = 1 << 30


@contextmanager
def a_pair() -> Generator[tuple[socket.socket, Send]]:
    """A receiving socket, and what sends to it."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiving,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending,
    ):
        receiving.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        receiving.bind(("127.0.0.1", 0))
        sending.connect(receiving.getsockname())
        yield receiving, sending.send


def is_empty(receiving: socket.socket | trio.socket.SocketType) -> bool:
    """No datagram lies in it, but for empty ones."""
    return struct.unpack("i", fcntl.ioctl(receiving.fileno(), termios.FIONREAD, bytes(4))) == (0,)


def _nothing() -> None:
    pass


def a_bulk_reader(
    receiving: socket.socket,
    *,
    max_bytes: int = 100,
    pause_s: float = 0.001,
    tell_enough: Callable[[], object] = _nothing,
) -> BulkReader:
    return BulkReader(
        receiving.fileno(), max_bytes=max_bytes, capacity=1 << 22, pause_s=pause_s, tell_enough=tell_enough
    )


def collect_all(bulk: BulkReader) -> list[bytes]:
    """All that waits, taken in turns, none of which is a long one."""
    found: list[bytes] = []
    while (turn := bulk.collect())[0]:
        datagrams, size = turn
        assert sum(map(len, datagrams)) == size <= 400_000
        assert len(datagrams) <= 4_096
        found += datagrams
    assert turn == ([], 0)
    return found


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


# --- the call ---


@settings(max_examples=40)
@given(
    sizes=st.lists(st.integers(0, 200) | st.sampled_from([1_471, 1_535, 1_536, 1_537, 3_000]), max_size=70),
    max_bytes=st.sampled_from([1, 100, 1_536, 2_000, 8_192, 65_536]),
)
def test_all_datagrams_are_read_in_order_up_to_the_bytes_asked_for(sizes: list[int], max_bytes: int) -> None:
    from ddx_metrics.dogstatsd.recvmmsg import ManyDatagrams

    with a_pair() as (receiving, send):
        many = ManyDatagrams(receiving.fileno(), max_bytes=max_bytes)
        sent = [bytes([65 + index % 26]) * size for index, size in enumerate(sizes)]
        for datagram in sent:
            send(datagram)
        read: list[bytes] = []
        assert many.read(read, 10_000, plenty) == sum(min(size, max_bytes) for size in sizes)
        assert read == [datagram[:max_bytes] for datagram in sent]
        assert many.read(read, 10_000, plenty) == 0


def test_the_largest_datagrams_arrive_whole_and_apart() -> None:
    from ddx_metrics.dogstatsd.recvmmsg import ManyDatagrams

    with a_pair() as (receiving, send):
        many = ManyDatagrams(receiving.fileno(), max_bytes=65_536)
        sent = [b"a" * 65_507, b"b", b"c" * 65_507]
        for datagram in sent:
            send(datagram)
        read: list[bytes] = []
        many.read(read, 10, plenty)
        assert read == sent


def test_no_more_is_read_than_about_what_was_asked_for() -> None:
    from ddx_metrics.dogstatsd.recvmmsg import ManyDatagrams

    with a_pair() as (receiving, send):
        many = ManyDatagrams(receiving.fileno(), max_bytes=100)
        for _ in range(150):
            send(b"m:1|c")
        read: list[bytes] = []
        assert many.read(read, 0, plenty) == 0
        many.read(read, 1, plenty)
        assert len(read) == 64
        many.read(read, 10_000, plenty)
        assert len(read) == 150


def test_no_more_bytes_are_read_than_about_what_was_asked_for() -> None:
    from ddx_metrics.dogstatsd.recvmmsg import ManyDatagrams

    with a_pair() as (receiving, send):
        many = ManyDatagrams(receiving.fileno(), max_bytes=100)
        for _ in range(150):
            send(b"x" * 100)
        read: list[bytes] = []
        assert many.read(read, 10_000, 0) == many.read(read, 10_000, -1) == 0
        assert many.read(read, 10_000, 1) == 6_400
        assert many.read(read, 10_000, 6_401) == 8_600


def test_a_call_that_a_sandbox_refuses_is_said_before_a_load_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from ddx_metrics.dogstatsd import recvmmsg

    def refuse(*_: object) -> int:
        return -1

    monkeypatch.setattr(recvmmsg, "_recvmmsg", refuse)
    with (
        a_pair() as (receiving, _),
        a_bulk_reader(receiving) as bulk,
    ):
        wait_for(lambda: bulk.has_failed)
        assert not bulk.begin()


def test_an_error_of_the_socket_costs_none_of_what_comes_after() -> None:
    from ddx_metrics.dogstatsd.recvmmsg import ManyDatagrams

    with a_pair() as (receiving, send), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        many = ManyDatagrams(receiving.fileno(), max_bytes=100)
        read: list[bytes] = []
        address = nobody.getsockname()
        nobody.close()
        # The answer to this is an ICMP error, which the next call of the connected socket gets to hear.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
            sending.bind(("127.0.0.1", 0))
            sending.connect(address)
            refused = ManyDatagrams(sending.fileno(), max_bytes=100)
            sending.send(b"x")
            assert refused.read(read, 10, plenty) == 0
        assert many.read(read, 10, plenty) == 0
        send(b"m:1|c")
        assert many.read(read, 10, plenty) == 5
        assert read == [b"m:1|c"]


# --- the thread ---


@pytest.mark.parametrize(
    ("pause_s", "quarters", "expected_s"),
    [(0.001, 1.0, 0.001), (0.002, 1.0, 0.002), (0.001, 0.5, 0.002), (0.002, 1.6, 0.00125), (0.001, 0.0, 0.0025),
     (0.002, 4.0, 0.001), (0.0025, 0.1, 0.0025)],
)  # fmt: skip
def test_naps_are_as_long_as_a_quarter_of_the_buffer_takes_within_limits(
    pause_s: float, quarters: float, expected_s: float
) -> None:
    assert next_pause(pause_s, quarters, shortest_s=0.001) == pytest.approx(expected_s)


def test_no_nap_is_longer_than_it_may_be_whatever_the_buffer() -> None:
    assert next_pause(0.02, 0.0, shortest_s=0.03) == 0.05
    assert next_pause(0.1, 0.0, shortest_s=0.1) == 0.1


def test_the_thread_reads_by_itself_and_tells_once_that_there_is_enough() -> None:
    told: list[str] = []
    with a_pair() as (receiving, send):

        def tell() -> None:
            told.append(threading.current_thread().name)

        with a_bulk_reader(receiving, pause_s=0.0005, tell_enough=tell) as bulk:
            wait_for(bulk.begin)
            for _ in range(2):
                told.clear()
                expected = [b"%d" % number for number in range(5_000)]
                for first in range(0, 5_000, 100):
                    for datagram in expected[first : first + 100]:
                        send(datagram)
                    wait_for(lambda: is_empty(receiving))
                assert bulk.has_enough
                assert collect_all(bulk) == expected
                assert told == ["ddx-dogstatsd"]
            assert bulk.collect() == ([], 0)
    assert not any(thread.name == "ddx-dogstatsd" for thread in threading.enumerate())


def test_bytes_are_enough_too_and_what_waits_is_bounded() -> None:
    told = threading.Event()
    with (
        a_pair() as (receiving, send),
        a_bulk_reader(receiving, max_bytes=65_536, pause_s=0.0005, tell_enough=told.set) as bulk,
    ):
        wait_for(bulk.begin)
        most = (4 << 20) // 60_000 + 1
        for sent in range(most):
            assert told.is_set() or sent < 7
            send(b"x" * 60_000)
            wait_for(lambda: is_empty(receiving))
        # There is no room for this.
        send(b"y" * 60_000)
        bulk.read()
        assert not is_empty(receiving)
        taken = collect_all(bulk)
        wait_for(lambda: is_empty(receiving))
        assert taken + collect_all(bulk) == [*[b"x" * 60_000] * most, b"y" * 60_000]


def test_the_thread_leaves_the_socket_alone_until_it_is_told_to_begin() -> None:
    with (
        a_pair() as (receiving, send),
        a_bulk_reader(receiving, pause_s=0.0001) as bulk,
    ):
        send(b"m:1|c")
        time.sleep(0.05)
        bulk.read()
        assert bulk.collect() == ([], 0)
        assert not is_empty(receiving)
        wait_for(bulk.begin)
        wait_for(lambda: is_empty(receiving))
        assert bulk.collect() == ([b"m:1|c"], 5)


def test_where_it_cannot_be_done_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ddx_metrics.dogstatsd.recvmmsg", None)
    with (
        a_pair() as (receiving, _),
        a_bulk_reader(receiving) as bulk,
    ):
        wait_for(lambda: bulk.has_failed)
        assert not bulk.begin()
        assert bulk.collect() == ([], 0)


def test_a_thread_that_cannot_be_started_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_more)
    with (
        a_pair() as (receiving, _),
        a_bulk_reader(receiving) as bulk,
    ):
        assert bulk.has_failed
        assert bulk.collect() == ([], 0)


# --- the receiver under load ---


class Load:
    """Sends numbers at an even pace from a thread of its own, until told to stop; no more than the socket can surely hold."""

    def __init__(self, receiving: trio.socket.SocketType, taken: list[bytes]) -> None:
        self.sent = 0
        self._taken = taken
        self._taken_before = len(taken)
        self._stop = threading.Event()
        self._address = receiving.getsockname()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
            sending.connect(self._address)
            while not self._stop.is_set():
                if self._taken_before + self.sent - len(self._taken) < 300:
                    for _ in range(3):
                        sending.send(b"%d" % self.sent)
                        self.sent += 1
                time.sleep(0.0003)

    def stop(self) -> list[bytes]:
        self._stop.set()
        self._thread.join()
        return [b"%d" % number for number in range(self.sent)]


def reads_in_bulk() -> bool:
    return any(thread.name == "ddx-dogstatsd" for thread in threading.enumerate())


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(10):
        while not condition():  # noqa: ASYNC110 - nobody tells of threads
            await trio.sleep(0.002)


async def test_under_load_a_thread_reads_and_ends_with_the_load() -> None:
    with bind_dogstatsd("127.0.0.1", 0) as receiving:
        taken: list[bytes] = []
        rounds: list[int] = []

        def take(datagrams: list[bytes]) -> None:
            taken.extend(datagrams)
            rounds.append(len(datagrams))

        receiver = DatagramReceiver(receiving, take)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receiver.serve)
            load = Load(receiving, taken)
            await until(reads_in_bulk)
            await until(lambda: len(taken) > 1_000)
            expected = load.stop()
            await until(lambda: not reads_in_bulk())
            assert taken == expected
            assert max(rounds) > 50
            # And all begins anew.
            load = Load(receiving, taken)
            await until(reads_in_bulk)
            again = load.stop()
            await until(lambda: len(taken) >= len(expected) + len(again))
            assert taken == [*expected, *again]
            nursery.cancel_scope.cancel()
    assert not reads_in_bulk()


async def test_a_drain_under_load_takes_all_that_was_sent_before() -> None:
    with bind_dogstatsd("127.0.0.1", 0) as receiving:
        taken: list[bytes] = []
        receiver = DatagramReceiver(receiving, taken.extend)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receiver.serve)
            load = Load(receiving, taken)
            await until(reads_in_bulk)
            await trio.sleep(0.05)
            for _ in range(20):
                before = load.sent
                receiver.drain()
                assert len(taken) >= before
                await trio.sleep(0.001)
            expected = load.stop()
            receiver.drain()
            assert taken == expected
            nursery.cancel_scope.cancel()


async def test_a_drain_takes_what_the_thread_had_no_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BulkReader, "most_bytes", 2_000)
    with bind_dogstatsd("127.0.0.1", 0) as receiving:
        taken: list[bytes] = []
        receiver = DatagramReceiver(receiving, taken.extend)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receiver.serve)
            load = Load(receiving, taken)
            await until(reads_in_bulk)
            await trio.sleep(0.05)
            expected = load.stop()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
                sending.connect(receiving.getsockname())
                for number in range(100, 300):
                    sending.send(b"%d" % number * 40)
                    expected.append(b"%d" % number * 40)
            receiver.drain()
            assert taken == expected
            nursery.cancel_scope.cancel()


def when_it_begins(monkeypatch: pytest.MonkeyPatch) -> trio.Event:
    """Set as soon as a thread reads."""
    begin = BulkReader.begin
    begun = trio.Event()

    def begin_and_tell(bulk: BulkReader) -> bool:
        has_begun = begin(bulk)
        if has_begun:
            begun.set()
        return has_begun

    monkeypatch.setattr(BulkReader, "begin", begin_and_tell)
    return begun


@asynccontextmanager
async def piled_up(
    monkeypatch: pytest.MonkeyPatch, taken: list[bytes], take: Callable[[list[bytes]], None], datagrams: list[bytes]
) -> AsyncGenerator[tuple[DatagramReceiver, list[bytes]]]:
    """A receiver under load whose thread has read `datagrams` while the event loop stood still; and all that was sent.

    `take` puts what comes into `taken`.
    """
    begun = when_it_begins(monkeypatch)
    with (
        bind_dogstatsd("127.0.0.1", 0) as receiving,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending,
    ):
        sending.connect(receiving.getsockname())
        receiver = DatagramReceiver(receiving, take)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receiver.serve)
            load = Load(receiving, taken)
            await until(begun.is_set)
            expected = load.stop()
            receiver.drain()
            in_socket, fits = 0, receiving.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
            for datagram in datagrams:
                sending.send(datagram)
                in_socket += 1_280 + 2 * len(datagram)
                if in_socket > fits:
                    wait_for(lambda: is_empty(receiving))
                    in_socket = 0
            wait_for(lambda: is_empty(receiving))
            yield receiver, expected + datagrams
            nursery.cancel_scope.cancel()


async def test_what_has_piled_up_is_taken_in_turns_with_others(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[bytes] = []
    at_once = [0]

    def take(datagrams: list[bytes]) -> None:
        taken.extend(datagrams)
        at_once[-1] += len(datagrams)

    async def others() -> None:
        while len(taken) < len(expected):
            await trio.lowlevel.checkpoint()
            at_once.append(0)

    async with piled_up(monkeypatch, taken, take, [b"%d" % number for number in range(12_000)]) as (_, expected):
        at_once.append(0)
        with trio.fail_after(10):
            await others()
    assert taken == expected
    # Two turns: Trio runs tasks in any order.
    assert max(at_once) <= 2 * 4_096


async def test_long_datagrams_are_taken_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[bytes] = []
    most = 0

    def take(datagrams: list[bytes]) -> None:
        nonlocal most
        taken.extend(datagrams)
        most = max(most, sum(map(len, datagrams)))

    long = [b"%d" % (10 + number) * 30_000 for number in range(30)]
    async with piled_up(monkeypatch, taken, take, long) as (receiver, expected):
        receiver.drain()
    assert taken == expected
    assert most < 400_000


async def test_what_is_read_while_the_thread_begins_stays_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    from ddx_metrics.dogstatsd.recvmmsg import ManyDatagrams

    may_begin = threading.Event()

    class Late(ManyDatagrams):
        def __init__(self, fd: int, *, max_bytes: int) -> None:
            super().__init__(fd, max_bytes=max_bytes)
            may_begin.wait()

    monkeypatch.setattr("ddx_metrics.dogstatsd.recvmmsg.ManyDatagrams", Late)
    with (
        bind_dogstatsd("127.0.0.1", 0) as receiving,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending,
    ):
        sending.connect(receiving.getsockname())
        sent: list[bytes] = []
        taken: list[bytes] = []

        def send(count: int) -> None:
            for _ in range(count):
                sent.append(b"%d" % len(sent))
                sending.send(sent[-1])

        def take(datagrams: list[bytes]) -> None:
            taken.extend(datagrams)
            if is_draining and not may_begin.is_set():
                may_begin.set()
                # Time for the thread to read what follows the first round; what follows that must not get ahead of it.
                time.sleep(0.05)
                send(10)

        is_draining = False
        receiver = DatagramReceiver(receiving, take, settings=ReceiverSettings(round_datagrams=100))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receiver.serve)
            with trio.fail_after(10):
                while not reads_in_bulk():
                    send(1)
                    await trio.sleep(0.001)
            send(200)
            is_draining = True
            receiver.drain()
            await until(lambda: len(taken) == len(sent))
            nursery.cancel_scope.cancel()
    assert taken == sent


async def test_what_the_thread_has_read_is_not_lost_with_a_cancellation() -> None:
    with bind_dogstatsd("127.0.0.1", 0) as receiving:
        taken: list[bytes] = []
        receiver = DatagramReceiver(receiving, taken.extend)
        load = Load(receiving, taken)
        for _ in range(5):
            with trio.move_on_after(0.1):
                await receiver.serve()
            assert not reads_in_bulk()
        expected = load.stop()
        receiver.drain()
        assert taken == expected


async def test_under_load_too_only_whole_lines_are_taken() -> None:
    with bind_dogstatsd("127.0.0.1", 0) as receiving:
        taken: list[bytes] = []
        cut: list[int] = []
        receiver = DatagramReceiver(
            receiving, taken.extend, settings=ReceiverSettings(max_bytes=10), count_cut=lambda _, size: cut.append(size)
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receiver.serve)
            load = Load(receiving, taken)
            await until(reads_in_bulk)
            await trio.sleep(0.05)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
                sending.connect(receiving.getsockname())
                sending.send(b"whole:1\nthis is cut")
                sending.send(b"ten bytes.")
            await until(lambda: b"ten bytes." in taken)
            load.stop()
            nursery.cancel_scope.cancel()
    assert b"whole:1\n" in taken
    assert cut == [2]


async def test_without_such_a_thread_a_load_is_taken_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ddx_metrics.dogstatsd.recvmmsg", None)
    with bind_dogstatsd("127.0.0.1", 0) as receiving:
        taken: list[bytes] = []
        receiver = DatagramReceiver(receiving, taken.extend)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receiver.serve)
            load = Load(receiving, taken)
            await until(lambda: len(taken) > 1_000)
            assert not reads_in_bulk()
            expected = load.stop()
            await until(lambda: len(taken) >= len(expected))
            nursery.cancel_scope.cancel()
    assert taken == expected
