"""Messages are taken apart into fields that make the same message again; what is none says so."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddx_core.proto import metrics_pb2
from ddx_core.proto.fields import fields_of, middle


@given(st.lists(st.tuples(st.text(max_size=20), st.floats(allow_nan=False)), max_size=20))
def test_fields_are_the_message_again_and_each_is_a_message(series: list[tuple[str, float]]) -> None:
    message = metrics_pb2.MetricPayload()
    for name, value in series:
        each = message.series.add(metric=name)
        each.points.add(value=value, timestamp=5)
    found = fields_of(message.SerializeToString())
    assert b"".join(field for _, _, field in found) == message.SerializeToString()
    assert [number for number, _, _ in found] == [1] * len(series)
    for (_, content, field), expected in zip(found, message.series, strict=True):
        assert metrics_pb2.MetricPayload.FromString(field).series[0] == expected
        assert content == expected.SerializeToString()


def test_fields_of_every_wire_type_are_found() -> None:
    message = b"\x08\x96\x01" + b"\x11" + bytes(8) + b"\x1a\x02ab" + b"\x25" + bytes(4)
    assert [(number, content) for number, content, _ in fields_of(message)] == [
        (1, b""),
        (2, b""),
        (3, b"ab"),
        (4, b""),
    ]


@given(st.binary(max_size=60))
def test_any_bytes_are_fields_or_a_value_error(data: bytes) -> None:
    with suppress(ValueError):
        assert b"".join(field for _, _, field in fields_of(data)) == data


@pytest.mark.parametrize("data", [b"\x0a\x05ab", b"\x08", b"\x08" + b"\xff" * 11, b"\x0b", b"\x00\x01", b"\x11ab"])
def test_what_is_cut_short_or_of_no_known_form_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        fields_of(data)


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=30))
def test_the_middle_leaves_something_for_both_halves(sizes: list[int]) -> None:
    count = middle(sizes)
    assert 1 <= count < len(sizes)
    assert sum(sizes[: count - 1]) <= sum(sizes) / 2
