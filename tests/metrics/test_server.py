"""Datagram receivers on real sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager

import pytest
import trio

from ddx_metrics.dogstatsd.server import DatagramReceiver, bind_dogstatsd
from ddx_metrics.settings import ReceiverSettings


@contextmanager
def sender_to(receiving: trio.socket.SocketType) -> Generator[Callable[[bytes], object]]:
    with socket.socket(receiving.family, socket.SOCK_DGRAM) as sending:
        sending.connect(receiving.getsockname())
        yield sending.send


def a_receiver(receiving: trio.socket.SocketType) -> tuple[DatagramReceiver, list[list[bytes]]]:
    taken: list[list[bytes]] = []
    return DatagramReceiver(receiving, taken.append), taken


def test_what_lies_in_the_socket_is_drained_in_one_list() -> None:
    with bind_dogstatsd("127.0.0.1", 0) as receiving, sender_to(receiving) as send:
        receiver, taken = a_receiver(receiving)
        receiver.drain()
        assert taken == []
        for number in range(100):
            send(b"m:%d|c" % number)
        send(b"")
        send(b"after:1|c")
        receiver.drain()
        assert taken == [[*(b"m:%d|c" % number for number in range(100)), b"", b"after:1|c"]]


@pytest.mark.parametrize("size", [1, 20, 600, 1_400, 8_000, 60_000])
def test_a_drain_takes_all_that_the_socket_can_hold(size: int) -> None:
    with bind_dogstatsd("127.0.0.1", 0, rcvbuf=1 << 20) as receiving, sender_to(receiving) as send:
        receiver, taken = a_receiver(receiving)
        for _ in range(5_000):
            send(b"x" * size)
        receiver.drain()
        assert sum(map(len, taken)) > 0
        with pytest.raises(BlockingIOError):
            os.read(receiving.fileno(), 1)


def test_the_largest_datagram_arrives_whole() -> None:
    with bind_dogstatsd("127.0.0.1", 0) as receiving, sender_to(receiving) as send:
        receiver, taken = a_receiver(receiving)
        send(b"x" * 65_507)
        receiver.drain()
        assert taken == [[b"x" * 65_507]]


def test_a_drain_ends_though_the_sender_does_not() -> None:
    with bind_dogstatsd("127.0.0.1", 0, rcvbuf=65_536) as receiving, sender_to(receiving) as send:
        taken = 0

        def take(datagrams: list[bytes]) -> None:
            nonlocal taken
            taken += len(datagrams)
            for _ in datagrams:
                send(b"one more:1|c")

        receiver = DatagramReceiver(receiving, take)
        for _ in range(50):
            send(b"m:1|c")
        receiver.drain()
        assert taken >= 50


async def test_a_burst_is_taken_in_rounds_that_let_others_run() -> None:
    with bind_dogstatsd("127.0.0.1", 0) as receiving, sender_to(receiving) as send:
        rounds: list[int] = []
        came = trio.Event()

        def take(datagrams: list[bytes]) -> None:
            rounds.append(len(datagrams))
            if sum(rounds) == burst:
                came.set()

        receiver = DatagramReceiver(receiving, take)
        # As many as surely fit the buffer that the kernel granted.
        burst = min(2_000, receiving.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2_000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receiver.serve)
            for _ in range(burst):
                send(b"m:1|c")
            with trio.fail_after(10):
                await came.wait()
            nursery.cancel_scope.cancel()
    assert max(rounds) <= 512


async def test_a_receiver_stops_at_once_on_a_silent_socket() -> None:
    with bind_dogstatsd("127.0.0.1", 0) as receiving:
        receiver, taken = a_receiver(receiving)
        with trio.move_on_after(10) as patience:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(receiver.serve)
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
        assert not patience.cancelled_caught
        assert taken == []


async def test_a_receiver_hears_nothing_twice_after_its_socket_was_drained_by_somebody_else() -> None:
    with bind_dogstatsd("127.0.0.1", 0) as receiving, sender_to(receiving) as send:
        receiver, taken = a_receiver(receiving)
        send(b"first:1|c")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receiver.serve)
            receiver.drain()
            await trio.testing.wait_all_tasks_blocked()
            receiver.drain()
            nursery.cancel_scope.cancel()
    assert taken == [[b"first:1|c"]]


def test_the_receive_buffer_is_as_large_as_the_kernel_grants() -> None:
    with bind_dogstatsd("127.0.0.1", 0) as largest, bind_dogstatsd("127.0.0.1", 0, rcvbuf=70_000) as asked:
        granted = largest.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        assert granted >= asked.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= 70_000
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
            assert granted >= plain.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def test_a_port_that_is_taken_is_an_os_error_and_leaks_nothing() -> None:
    with bind_dogstatsd("127.0.0.1", 0) as first, pytest.raises(OSError):
        bind_dogstatsd("127.0.0.1", first.getsockname()[1])


def test_ipv6_is_an_address_like_any_other() -> None:
    try:
        receiving = bind_dogstatsd("::1", 0)
    except OSError:
        pytest.skip("no IPv6 here")
    with receiving, sender_to(receiving) as send:
        receiver, taken = a_receiver(receiving)
        send(b"m:1|c")
        receiver.drain()
        assert taken == [[b"m:1|c"]]


def test_a_plain_socket_will_do() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiving:
        receiving.bind(("127.0.0.1", 0))
        taken: list[list[bytes]] = []
        receiver = DatagramReceiver(receiving, taken.append)
        receiver.drain()  # would block for ever had it been left blocking
        assert taken == []


def a_reader(
    receiving: trio.socket.SocketType, settings: ReceiverSettings
) -> tuple[DatagramReceiver, list[bytes], list[tuple[str, int]]]:
    taken: list[bytes] = []
    cut: list[tuple[str, int]] = []
    receiver = DatagramReceiver(
        receiving, taken.extend, settings=settings, count_cut=lambda reason, size: cut.append((reason, size))
    )
    return receiver, taken, cut


def test_of_a_datagram_that_is_too_long_the_whole_lines_are_taken() -> None:
    with bind_dogstatsd("127.0.0.1", 0) as receiving, sender_to(receiving) as send:
        receiver, taken, cut = a_reader(receiving, ReceiverSettings(max_bytes=12))
        for datagram in (b"m:1|c\nn:22|c", b"m:1|c\nn:22|c\n", b"m:1|c\nn:333|c", b"one.line:1|c|#a", b"short:1|c"):
            send(datagram)
        receiver.drain()
    # The first just fits; of the second nothing but its last newline is lost, and who could tell?
    assert taken == [b"m:1|c\nn:22|c", b"m:1|c\n", b"m:1|c\n", b"", b"short:1|c"]
    assert cut == [("truncated", 6), ("truncated", 6), ("truncated", 12)]


def test_a_last_line_without_newline_is_left_out_where_one_is_required() -> None:
    with bind_dogstatsd("127.0.0.1", 0) as receiving, sender_to(receiving) as send:
        receiver, taken, cut = a_reader(receiving, ReceiverSettings(needs_eol=True))
        for datagram in (b"m:1|c\nn:2|c\n", b"m:1|c\nn:2|c", b"n:2|c", b""):
            send(datagram)
        receiver.drain()
    assert taken == [b"m:1|c\nn:2|c\n", b"m:1|c\n", b"", b""]
    assert cut == [("unterminated", 5), ("unterminated", 5)]


def test_a_round_is_as_long_as_it_is_told_to_be() -> None:
    with bind_dogstatsd("127.0.0.1", 0) as receiving, sender_to(receiving) as send:
        rounds: list[int] = []
        receiver = DatagramReceiver(
            receiving, lambda datagrams: rounds.append(len(datagrams)), settings=ReceiverSettings(round_datagrams=40)
        )
        for _ in range(100):
            send(b"m:1|c")
        receiver.drain()
    assert rounds == [40, 40, 20]
