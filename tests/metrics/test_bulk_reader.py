"""The thread that reads datagrams, on real sockets."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable

import pytest

from ddx_metrics.dogstatsd.bulk_reader import BulkReader, next_pause
from tests.metrics.datagrams import a_pair, is_empty, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="recvmmsg is Linux's")


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
