"""Addresses in peer tags: the vectors of the vendor's agents, and any text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddx_traces.stats.addresses import without_addresses

blocked = "blocked-ip-address"


@pytest.mark.parametrize(
    "text",
    [
        "", "foo.dog", "1-2-3-foo", "1-2-3-999", "7-55-2-app.agent.datadoghq.com", "127.0.0.1", "::1", "169.254.169.254",
        "fd00:ec2::254", "169.254.170.2", "127.0.0.1:8080", "[::1]:80", "http://127.0.0.1:80", "01.2.3.4", "1.2.3",
        "1.2.3.", "1.2-3.4", "256.1.1.1", "[no-address]:80", "[fe80::1", "a:b:c", "http:/1.2.3.4", "ip-abc", "x\0:y:",
    ],
)  # fmt: skip
def test_what_is_no_address_or_an_allowed_one_is_kept(text: str) -> None:
    assert without_addresses(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.168.1.1", blocked),
        ("192_168_1_1", blocked),
        ("192-168-1-1", blocked),
        ("2001:db8:3c4d:15::1a2f:1a2b", blocked),
        ("fe80::1%eth0", blocked),
        ("192.168.1.1.foo", f"{blocked}.foo"),
        ("192-168-1-1-foo", f"{blocked}-foo"),
        ("192.168.1.1.2.3.4.5", f"{blocked}.2.3.4.5"),
        ("[fe80::1ff:fe23:4567:890a]:8080", f"{blocked}:8080"),
        ("192.168.1.1:1234", f"{blocked}:1234"),
        ("dnspoll:///10.21.120.145:6400", f"dnspoll:///{blocked}:6400"),
        ("http://10.21.120.145:6400", f"http://{blocked}:6400"),
        (
            "192.168.1.1:1234,10.23.1.1:53,10.23.1.1,fe80::1ff:fe23:4567:890a,foo.dog",
            f"{blocked}:1234,{blocked}:53,{blocked},foo.dog",
        ),
        (
            "http://172.24.160.151:8091,172.24.163.33:8091,172.24.164.111:8091",
            f"http://{blocked}:8091,{blocked}:8091",
        ),
        (
            "10-60-160-172.my-service.namespace.svc.abc.cluster.local",
            f"{blocked}.my-service.namespace.svc.abc.cluster.local",
        ),
        ("ip-10-152-4-129.ec2.internal", f"ip-{blocked}.ec2.internal"),
        ("a,a", "a"),
    ],
)
def test_addresses_are_blocked(text: str, expected: str) -> None:
    assert without_addresses(text) == expected


octets = st.lists(st.integers(0, 255), min_size=4, max_size=4)


@given(octets, st.sampled_from(".-_"), st.sampled_from(["", ":80", "/path", "abc", ".com"]))
def test_every_ipv4_address_is_blocked(parts: list[int], separator: str, rest: str) -> None:
    address = separator.join(map(str, parts))
    if address not in {"127.0.0.1", "169.254.169.254", "169.254.170.2"}:
        assert without_addresses(address + rest) == blocked + rest


@given(st.text(alphabet=st.sampled_from([*"0123456789.:-_[],/abcdefhip%", "é"]), max_size=40))
def test_any_text_grows_by_no_more_than_its_markers(text: str) -> None:
    done = without_addresses(text)
    assert len(done) <= len(text) + (text.count(",") + 1) * len(blocked)
