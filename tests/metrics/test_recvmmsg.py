"""Many datagrams by one call, on real sockets."""

from __future__ import annotations

import socket
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.metrics.datagrams import a_pair

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="recvmmsg is Linux's")
plenty = 1 << 30


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
