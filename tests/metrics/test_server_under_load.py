"""The receiver under load, when a thread reads for it."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from ddx_metrics.dogstatsd.bulk_reader import BulkReader
from ddx_metrics.dogstatsd.server import DatagramReceiver, bind_dogstatsd
from ddx_metrics.settings import ReceiverSettings
from tests.metrics.datagrams import is_empty, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="recvmmsg is Linux's")


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
            # A load that was slow for a moment may have ended before it was stopped: the last of it is read without the thread.
            await until(lambda: not reads_in_bulk() and len(taken) >= len(expected))
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


@asynccontextmanager
async def under_load() -> AsyncGenerator[tuple[DatagramReceiver, Load, list[bytes], trio.socket.SocketType]]:
    """A receiver for which a thread reads since a moment, what loads its socket, what was taken, and the socket."""
    with bind_dogstatsd("127.0.0.1", 0) as receiving:
        taken: list[bytes] = []
        receiver = DatagramReceiver(receiving, taken.extend)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receiver.serve)
            load = Load(receiving, taken)
            await until(reads_in_bulk)
            await trio.sleep(0.05)
            yield receiver, load, taken, receiving
            nursery.cancel_scope.cancel()


async def test_a_drain_under_load_takes_all_that_was_sent_before() -> None:
    async with under_load() as (receiver, load, taken, _):
        for _ in range(20):
            before = load.sent
            receiver.drain()
            assert len(taken) >= before
            await trio.sleep(0.001)
        expected = load.stop()
        receiver.drain()
        assert taken == expected


async def test_a_drain_takes_what_the_thread_had_no_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BulkReader, "most_bytes", 2_000)
    async with under_load() as (receiver, load, taken, receiving):
        expected = load.stop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
            sending.connect(receiving.getsockname())
            for number in range(100, 300):
                sending.send(b"%d" % number * 40)
                expected.append(b"%d" % number * 40)
        receiver.drain()
        assert taken == expected


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
