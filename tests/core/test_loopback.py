"""One exchange with the Lambda APIs: whatever comes, an answer, a wait for more, or LoopbackError."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ddx_core.loopback import Answer, AnswerReader, LoopbackError, max_answer_bytes, render_request, split_host_port

plain = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Id: 7\r\n\r\nhello"
chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n"
until_end = b"HTTP/1.0 200 OK\r\n\r\nhello"
after_interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + plain


def read(*parts: bytes) -> Answer | None:
    reader = AnswerReader()
    for part in parts:
        answer = reader.feed(part)
        if answer is not None:
            return answer
    return None


@pytest.mark.parametrize("wire", [plain, chunked, until_end, after_interim])
def test_answers_of_every_form_are_read(wire: bytes) -> None:
    answer = read(wire, b"")
    assert answer is not None
    assert (answer.status, answer.body) == (200, b"hello")


def test_header_names_are_lower_case_and_values_trimmed() -> None:
    answer = read(b"HTTP/1.1 403 No\r\nLambda-Extension-Identifier:  abc \r\nnonsense\r\nContent-Length: 0\r\n\r\n")
    assert answer is not None
    assert answer.status == 403
    assert answer.headers["lambda-extension-identifier"] == "abc"


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_that_has_no_body_is_complete_with_its_head(status: int) -> None:
    answer = read(f"HTTP/1.1 {status} X\r\n\r\n".encode())
    assert answer is not None
    assert answer.body == b""


@given(
    st.sampled_from([plain, chunked, until_end, after_interim]),
    st.lists(st.integers(0, 140), max_size=12),
)
def test_split_points_do_not_change_the_answer(wire: bytes, points: list[int]) -> None:
    cuts = sorted({min(point, len(wire)) for point in points} | {0, len(wire)})
    parts = [wire[start:end] for start, end in pairwise(cuts)]
    answer = read(*(part for part in parts if part), b"")
    assert answer is not None
    assert (answer.status, answer.body) == (200, b"hello")


def test_byte_by_byte_gives_the_same() -> None:
    for wire in (plain, chunked, after_interim):
        answer = read(*(wire[at : at + 1] for at in range(len(wire))))
        assert answer is not None
        assert answer.body == b"hello"


@pytest.mark.parametrize("wire", [plain, chunked])
def test_an_end_in_mid_answer_is_an_error_at_every_place(wire: bytes) -> None:
    # The last chunk's size is the end of a chunked body for us: trailers are nothing the Lambda APIs send.
    complete = len(wire) if wire is plain else wire.index(b"0\r\n\r\n") + 3
    for end in range(complete):
        with pytest.raises(LoopbackError):
            read(*([wire[:end]] if end else []), b"")


@pytest.mark.parametrize(
    "wire",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 ²00 OK\r\n\r\n".encode("latin-1"),
        b"HTTP/1.1 " + b"2" * 5000 + b" OK\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: ²\r\n\r\n".encode("latin-1"),
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 100 + b"\r\n",
    ],
)
def test_nonsense_is_an_error(wire: bytes) -> None:
    with pytest.raises(LoopbackError):
        read(wire)


def test_an_answer_without_end_is_refused() -> None:
    with pytest.raises(LoopbackError, match="too large"):
        read(b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 65536] * (max_answer_bytes // 65536 + 1))


@given(
    st.lists(st.binary(max_size=40), max_size=6),
    st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", plain[:40], chunked[:50]]),
)
@example([b"-5\r\nhello\r\n"], chunked[:47])
def test_any_bytes_give_an_answer_none_or_the_error(parts: list[bytes], start: bytes) -> None:
    reader = AnswerReader()
    try:
        for part in (start, *parts, b""):
            answer = reader.feed(part)
            assert answer is None or isinstance(answer, Answer)
            if answer is not None:
                return
    except LoopbackError:
        pass


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:9001", ("127.0.0.1", 9001)),
        ("[::1]:9001", ("::1", 9001)),
        ("localhost", ("localhost", 80)),
        ("localhost:", ("localhost:", 80)),
        ("host:²", ("host:²", 80)),
        ("", ("", 80)),
    ],
)
def test_addresses_are_split(address: str, expected: tuple[str, int]) -> None:
    assert split_host_port(address) == expected


def test_a_request_is_rendered_whole() -> None:
    assert render_request("POST", "h:1", "/p", {"A": "b"}, b"{}") == (
        b"POST /p HTTP/1.1\r\nHost: h:1\r\nConnection: close\r\nA: b\r\nContent-Length: 2\r\n\r\n{}"
    )
    assert render_request("GET", "h:1", "/p", {}) == b"GET /p HTTP/1.1\r\nHost: h:1\r\nConnection: close\r\n\r\n"
    assert b"Content-Length: 0" in render_request("PUT", "h:1", "/p", {})
