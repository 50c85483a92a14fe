"""Where messages end: whole lines of what was cut off, frames of a stream however it is split."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddx_metrics.dogstatsd.framing import Frames, FrameTooLarge, whole_lines


@pytest.mark.parametrize(
    ("data", "kept", "lost"),
    [(b"a:1|c\nb:2", b"a:1|c\n", 3), (b"a:1|c\n", b"a:1|c\n", 0), (b"a:1", b"", 3), (b"", b"", 0), (b"\n\nx", b"\n\n", 1)],
)  # fmt: skip
def test_only_whole_lines_are_kept(data: bytes, kept: bytes, lost: int) -> None:
    assert whole_lines(data) == (kept, lost)


def framed(*messages: bytes) -> bytes:
    return b"".join(len(message).to_bytes(4, "little") + message for message in messages)


@given(st.lists(st.binary(max_size=40), max_size=8), st.data())
def test_frames_come_out_as_they_went_in_however_the_stream_is_split(
    messages: list[bytes], data: st.DataObject
) -> None:
    stream = framed(*messages)
    frames = Frames(max_bytes=40)
    found: list[bytes] = []
    at = 0
    while at < len(stream):
        size = data.draw(st.integers(1, len(stream) - at))
        found += frames.feed(stream[at : at + size])
        at += size
    assert found == messages
    assert frames.waiting == 0


def test_what_has_not_come_whole_waits() -> None:
    frames = Frames(max_bytes=10)
    assert frames.feed(framed(b"m:1|c") + framed(b"n:2|c")[:-2]) == [b"m:1|c"]
    assert frames.waiting == 7
    assert frames.feed(b"|c") == [b"n:2|c"]


def test_a_frame_too_large_is_an_error_after_those_before_it() -> None:
    frames = Frames(max_bytes=5)
    with pytest.raises(FrameTooLarge) as error:
        frames.feed(framed(b"m:1|c", b"m:12|c"))
    assert error.value.before == [b"m:1|c"]
    assert frames.waiting == 0
