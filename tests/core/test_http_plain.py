"""The way past h11 means the same as the way through it: every request that it takes, and every answer."""

from __future__ import annotations

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ddx_core.http import Response, json, text
from ddx_core.http.plain import parse_request, reason, render_answer

usual = (
    b"PUT /v0.4/traces?x=1 HTTP/1.1\r\nHost: localhost:8126\r\nContent-Type: application/msgpack\r\n"
    b"X-Datadog-Trace-Count: 1\r\nContent-Length: 4\r\n\r\nbody"
)


def by_h11(data: bytes) -> tuple[str, str, list[tuple[str, str]], bytes] | None:
    """None: refused, or not whole."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    body = b""
    try:
        request = connection.next_event()
        if not isinstance(request, h11.Request):
            return None
        while isinstance(event := connection.next_event(), h11.Data):
            body += event.data
    except h11.RemoteProtocolError:
        return None
    if event is not h11.NEED_DATA and not isinstance(event, h11.EndOfMessage):
        return None
    fields = [(name.decode(), value.decode("latin-1")) for name, value in request.headers]
    return request.method.decode(), request.target.decode(), fields, body


def same_as_h11(data: bytes) -> bool:
    """Whether it was taken; if so it must mean what h11 makes of it."""
    plain = parse_request(data, max_bytes=65536)
    if plain is None:
        return False
    method, target, fields, length, begin = plain
    assert by_h11(data) == (method, target, fields, data[begin:])
    assert len(data) - begin <= length
    assert int(dict(fields).get("content-length", "0")) == length
    return True


def test_usual_request_is_taken() -> None:
    assert same_as_h11(usual)
    assert parse_request(usual, max_bytes=65536) == (
        "PUT",
        "/v0.4/traces?x=1",
        [
            ("host", "localhost:8126"),
            ("content-type", "application/msgpack"),
            ("x-datadog-trace-count", "1"),
            ("content-length", "4"),
        ],
        4,
        len(usual) - 4,
    )
    assert same_as_h11(usual[:-2])  # the rest of the body is to come


@pytest.mark.parametrize(
    "data",
    [
        usual[:-6],
        usual + b"G",
        usual.replace(b"PUT", b"HEAD"),
        usual.replace(b"PUT", b"put"),
        usual.replace(b"1.1", b"1.0"),
        usual.replace(b"/v0.4", b"http://x/v0.4"),
        usual.replace(b"Host: localhost:8126\r\n", b""),
        usual.replace(b"Host", b"Host: x\r\nHost"),
        usual.replace(b"Content-Length: 4", b"Content-Length: +4"),
        usual.replace(b"Content-Length: 4", b"Content-Length: 4, 4"),
        usual.replace(b"Content-Length: 4", b"Content-Length: 4\r\nContent-Length: 4"),
        usual.replace(b"Content-Length: 4", b"Content-Length: " + b"4" * 20),
        usual.replace(b"Content-Length: 4", b"Transfer-Encoding: chunked"),
        usual.replace(b"Content-Length", b"Expect: 100-continue\r\nContent-Length"),
        usual.replace(b"Content-Length", b"Connection: close\r\nContent-Length"),
        usual.replace(b"Content-Length", b"Upgrade: h2c\r\nContent-Length"),
        usual.replace(b"Content-Type:", b"Content-Type :"),
        usual.replace(b"Content-Type:", b" Content-Type:"),
        usual.replace(b"Content-Type:", b":"),
        usual.replace(b"application/", b"application\r"),
        usual.replace(b"application/", b"application\n"),
        usual.replace(b"application/", b"application\x00"),
        usual.replace(b"application/", b"application\xe4"),
    ],
    ids=range(23),
)
def test_doubtful_requests_are_left_to_h11(data: bytes) -> None:
    assert parse_request(data, max_bytes=65536) is None


def test_header_above_the_limit_is_left_to_h11() -> None:
    assert parse_request(usual, max_bytes=100) is None


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, len(usual) - 1), st.binary(max_size=2)), max_size=4))
@example([(usual.index(b"\r\nHost"), b"\t")])
@example([(usual.index(b"localhost"), b"\t \t")])
@example([(usual.index(b"/v0.4"), b"/\x7f")])
@example([(usual.index(b"Content-Type"), b"\x0b")])
def test_what_is_taken_means_what_h11_makes_of_it(changes: list[tuple[int, bytes]]) -> None:
    data = bytearray(usual)
    for place, new in changes:
        data[place : place + 1] = new
    same_as_h11(bytes(data))


fields = st.tuples(
    st.sampled_from(["Host", "Content-Length", "Connection", "X-A", "content-length", "Trailer", "x y", "Ä", ""]),
    st.sampled_from(["", "0", "4", "keep-alive", "Keep-Alive", "close", " a ", "a\tb", "-1", "4 4", "\u0664"]),
)


@settings(max_examples=40)
@given(
    st.lists(fields, max_size=5), st.sampled_from(["GET", "POST", "TRACE"]), st.sampled_from(["/", "/%41", "*", "/ä"])
)
def test_any_header_is_taken_as_h11_takes_it(lines: list[tuple[str, str]], method: str, target: str) -> None:
    head = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in lines)]
    same_as_h11(("\r\n".join(head) + "\r\n\r\n").encode())


@pytest.mark.parametrize(
    "response",
    [
        text("hello"),
        text("", 404),
        json({"a": 1}, headers=(("Retry-After", "1"), ("X-Tab", "a\tb"))),
        Response(status=299, body=b"x", content_type=None),
        Response(status=429),
    ],
)
def test_answers_are_h11s_byte_for_byte(response: Response) -> None:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    while not isinstance(connection.next_event(), h11.EndOfMessage):
        pass
    headers = [*response.headers]
    if response.content_type is not None:
        headers.append(("Content-Type", response.content_type))
    headers.append(("Content-Length", str(len(response.body))))
    head = h11.Response(status_code=response.status, headers=headers, reason=reason(response.status).encode())
    wanted = connection.send(head) or b""
    if response.body:
        wanted += connection.send(h11.Data(data=response.body)) or b""
    wanted += connection.send(h11.EndOfMessage()) or b""
    assert render_answer(response) == wanted
    assert render_answer(response) == wanted  # from memory


@pytest.mark.parametrize(
    "response",
    [
        Response(status=204),
        Response(status=304),
        Response(status=100),
        Response(close=True),
        Response(headers=(("Content-Length", "7"),)),
        Response(headers=(("connection", "close"),)),
        Response(headers=(("X", "a\r\nSet-Cookie: b"),)),
        Response(headers=(("X y", "a"),)),
        Response(headers=(("X", "ä"),)),
        Response(headers=(("X", ""),)),
    ],
)
def test_doubtful_answers_are_left_to_h11(response: Response) -> None:
    assert render_answer(response) is None
