"""Output of child processes into lines and messages, however it is cut into reads."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ddx_agent.local.processes.lines import FrameSplitter, LineSplitter


def frame(message: bytes, kind: bytes = b"\xa5\x5a\x00\x03") -> bytes:
    return kind + len(message).to_bytes(4, "big") + (0).to_bytes(8, "big") + message


def feed(splitter: LineSplitter | FrameSplitter, data: bytes, cuts: list[int]) -> list[str]:
    lines: list[str] = []
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for start, end in pairwise(edges):
        lines += splitter.feed(data[start:end])
    return lines + splitter.finish()


@given(st.lists(st.text(st.characters(blacklist_characters="\n\r"), max_size=8)), st.lists(st.integers(0, 90)))
def test_lines_come_out_as_they_went_in(lines: list[str], cuts: list[int]) -> None:
    data = "".join(line + "\n" for line in lines).encode("utf-8", "replace")
    assert feed(LineSplitter(), data, cuts) == data.decode().split("\n")[:-1]


def test_last_line_needs_no_newline_and_carriage_returns_go() -> None:
    assert feed(LineSplitter(), b"a\r\n\nb", []) == ["a", "", "b"]


def test_long_line_is_cut_into_lines_of_bounded_length() -> None:
    assert feed(LineSplitter(4), b"0123456789\nab", [3, 6]) == ["0123", "4567", "89", "ab"]


@given(st.lists(st.binary(max_size=8).map(lambda raw: raw.rstrip(b"\n"))), st.lists(st.integers(0, 200)))
def test_framed_messages_come_out_whole(messages: list[bytes], cuts: list[int]) -> None:
    data = b"".join(map(frame, messages))
    assert feed(FrameSplitter(), data, cuts) == [message.decode("utf-8", "replace") for message in messages]


def test_framed_message_keeps_its_inner_newlines_only() -> None:
    assert feed(FrameSplitter(), frame(b"one\ntwo\n"), []) == ["one\ntwo"]


def test_framed_message_is_bounded() -> None:
    assert feed(FrameSplitter(4), frame(b"0123456789") + frame(b"ok"), [20, 21]) == ["0123", "ok"]


def test_bytes_that_are_no_frame_are_taken_as_lines() -> None:
    assert feed(FrameSplitter(), frame(b"ok") + b"plain text, more than a header\nmore\n", []) == [
        "ok",
        "plain text, more than a header",
        "more",
    ]
