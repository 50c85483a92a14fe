"""The exchange beneath all calls to AWS: what goes out, by which way, and that nothing but AwsError comes back."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_agent.aws import Aws, AwsError, HttpClient, shared_proxies
from ddx_agent.aws.transport import Answer
from ddx_agent.config import Config
from ddx_agent.secrets import AwsOf
from ddx_core.http import Request, Response, Route, Routes, open_tcp_listener, serve_http
from ddx_core.intake import TlsPolicy
from tests.support.aws import open_aws
from tests.support.cancel import cancel_at_every_step
from tests.support.forward_proxy import ForwardProxy
from tests.support.plain_http import no_authorities


async def test_a_request_names_its_sender_and_asks_for_nothing_compressed() -> None:
    seen: list[Request] = []

    async def handler(request: Request) -> Response:
        seen.append(request)
        return Response(body=b"{}")

    async with trio.open_nursery() as nursery:
        listener = await open_tcp_listener("127.0.0.1", 0)
        await nursery.start(serve_http, [listener], Routes([Route(("POST",), "/", handler)]))
        http = HttpClient()
        await http.call("x", "POST", f"http://127.0.0.1:{listener.socket.getsockname()[1]}/", headers={"X": "y"})
        await http.aclose()
        nursery.cancel_scope.cancel()
    headers = seen[0].headers
    assert headers.get("accept-encoding") == "identity"
    assert (headers.get("user-agent") or "").startswith("ddx/")


def behind(proxy: ForwardProxy, **environ: str) -> HttpClient:
    return HttpClient(make_tls=no_authorities, proxies=lambda: shared_proxies({"HTTP_PROXY": proxy.url(), **environ}))


async def test_the_token_of_the_credentials_endpoint_is_never_told_to_a_proxy() -> None:
    async with open_aws() as server, trio.open_nursery() as nursery:
        proxy = await ForwardProxy().start(nursery)
        server.credentials = {"AccessKeyId": "a", "SecretAccessKey": "b"}
        environ = {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{server.url}/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": server.credentials_token,
        }
        http = behind(proxy)
        assert (await Aws(environ, http).credentials()).access_key == "a"
        assert not proxy.requests
        # Everything else goes by the proxy.
        await http.call("x", "POST", f"http://aws.example:{server.port}/", headers={})
        assert len(proxy.requests) == 1
        await http.aclose()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("no_proxy", ["", "[::1]", "::1/128", "fd00::/8", "[fd00::1]:443,10.0.0.0/8", "http://[", "%"])
async def test_whatever_no_proxy_holds_others_are_reached_by_the_proxy(no_proxy: str) -> None:
    async with open_aws() as server, trio.open_nursery() as nursery:
        proxy = await ForwardProxy().start(nursery)
        http = behind(proxy, NO_PROXY=no_proxy)
        assert (await http.call("x", "POST", f"http://aws.example:{server.port}/", headers={})).status == 403
        assert len(proxy.requests) == 1
        await http.aclose()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("no_proxy", ["[::1]", "::1/128", "fd00::/8"])
async def test_secrets_are_read_whatever_no_proxy_holds(no_proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", no_proxy)
    async with open_aws() as server:
        server.secrets["s"] = {"SecretString": "text"}
        aws_of = AwsOf(Config(), {**server.environ, "NO_PROXY": no_proxy})
        assert await aws_of.aws.secret("s") == "text"
        await aws_of.aclose()


@pytest.mark.parametrize(
    ("environ", "url", "proxy"),
    [
        ({"HTTPS_PROXY": "p:1"}, "https://kms.eu-west-1.amazonaws.com", "http://p:1"),
        ({"https_proxy": "p:1"}, "https://kms.eu-west-1.amazonaws.com", "http://p:1"),
        ({"ALL_PROXY": "p:1"}, "https://kms.eu-west-1.amazonaws.com", "http://p:1"),
        ({"ALL_PROXY": "p:1", "HTTPS_PROXY": "q:1"}, "https://kms.eu-west-1.amazonaws.com", "http://q:1"),
        ({"ALL_PROXY": "p:1", "HTTPS_PROXY": "q:1"}, "http://aws.example", "http://p:1"),
        ({"HTTP_PROXY": "p:1"}, "https://kms.eu-west-1.amazonaws.com", None),
        ({"HTTPS_PROXY": "p:1", "NO_PROXY": "amazonaws.com"}, "https://kms.eu-west-1.amazonaws.com", None),
        ({"HTTPS_PROXY": "p:1", "no_proxy": "*"}, "https://kms.eu-west-1.amazonaws.com", None),
        ({"DD_PROXY_HTTPS": "p:1", "HTTPS_PROXY": " "}, "https://kms.eu-west-1.amazonaws.com", None),
    ],
)
def test_the_proxy_that_all_programs_share(environ: dict[str, str], url: str, proxy: str | None) -> None:
    found = shared_proxies(environ).proxy_for(url)
    assert (found and found.url) == proxy


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "[::1]", "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"]
)
def test_addresses_of_credentials_are_reached_directly(host: str) -> None:
    assert shared_proxies({"ALL_PROXY": "http://127.0.0.1:1"}).proxy_for(f"http://{host}:1338/x") is None


@pytest.mark.parametrize(
    ("url", "proxy", "told"),
    [
        ("http://[", "", "the URL cannot be read"),
        ("ftp://localhost/", "", "cannot be made"),
        ("nonsense", "", "cannot be made"),
        ("https://aws.example/", "socks5://me:S3CR3T@127.0.0.1:1", "HTTPS_PROXY, .* other protocols are not supported"),
        ("https://aws.example/", "ftp://me:S3CR3T@127.0.0.1:1", "HTTPS_PROXY, .* other protocols are not supported"),
    ],
)
async def test_a_request_that_cannot_be_made_is_told(url: str, proxy: str, told: str) -> None:
    http = HttpClient(proxies=lambda: shared_proxies({"HTTPS_PROXY": proxy}))
    with pytest.raises(AwsError, match=told) as caught:
        await http.call("kms:Decrypt", "POST", url, headers={})
    assert "S3CR3T" not in str(caught.value)
    assert not caught.value.may_pass
    await http.aclose()


async def test_a_certificate_file_that_cannot_be_read_is_told() -> None:
    policy = TlsPolicy("/nonexistent/ca.pem")
    with pytest.raises(AwsError, match=r"cannot be made \(FileNotFoundError\)"):
        await HttpClient(make_tls=policy.make_context).call("kms:Decrypt", "POST", "https://127.0.0.1:1/", headers={})


@pytest.mark.parametrize("value", ["S3CR3T\n", "S3CR3T\r\nX: y", "S3CR3T\u00e9", "S3CR3T\x00"])
async def test_a_header_that_cannot_be_sent_is_not_quoted(value: str) -> None:
    async with open_aws() as server:
        http = HttpClient(make_tls=no_authorities)
        with pytest.raises(AwsError) as caught:
            await http.call("x", "POST", f"{server.url}/", headers={"Authorization": value})
        assert "S3CR3T" not in str(caught.value)
        await http.aclose()


async def test_the_second_try_comes_after_a_pause_of_chance() -> None:
    asked: list[None] = []

    def chance() -> float:
        asked.append(None)
        return 0.0

    async with open_aws() as server:
        server.secrets["s"] = {"SecretString": "text"}
        http = HttpClient(make_tls=no_authorities, chance=chance)
        aws = Aws(server.environ, http)
        assert await aws.secret("s") == "text"
        assert not asked
        server.script = ["reset"]
        assert await aws.secret("s") == "text"
        assert len(asked) == 1
        await http.aclose()


@given(st.binary(max_size=200), st.booleans())
@settings(max_examples=40)
def test_whatever_a_socket_says_is_an_answer_or_an_aws_error(said: bytes, has_head: bool) -> None:
    async def main() -> None:
        async def speak(stream: trio.SocketStream) -> None:
            async with stream:
                await stream.receive_some(65536)
                with suppress(trio.BrokenResourceError):
                    await stream.send_all((b"HTTP/1.1 200 OK\r\n\r\n" if has_head else b"") + said)

        async with trio.open_nursery() as nursery:
            listener = await open_tcp_listener("127.0.0.1", 0)
            nursery.start_soon(trio.serve_listeners, speak, [listener])
            http = HttpClient(make_tls=no_authorities, chance=lambda: -0.5)
            try:
                with trio.fail_after(10):
                    answer = await http.call(
                        "x", "POST", f"http://127.0.0.1:{listener.socket.getsockname()[1]}/", headers={}, body=b"{}"
                    )
                assert isinstance(answer, Answer)
            except AwsError:
                pass
            await http.aclose()
            nursery.cancel_scope.cancel()

    trio.run(main)


async def test_a_call_that_is_cancelled_leaves_nothing_open_and_the_client_usable() -> None:
    arn = "arn:aws:secretsmanager:us-west-2:123456789012:secret:datadog"
    async with open_aws() as server:
        server.secrets[arn] = {"SecretString": "text"}
        http = HttpClient(make_tls=no_authorities)
        aws = Aws(server.environ, http)

        async def check(completed: bool) -> None:
            clients: dict[Any, Any] = http._clients  # pyright: ignore[reportPrivateUsage]
            assert not any(client._transport._pool.connections for client in clients.values())
            with trio.fail_after(5):
                assert await aws.secret(arn) == "text"

        assert await cancel_at_every_step(lambda: aws.secret(arn), check) > 3
        await http.aclose()


async def test_no_connection_is_used_twice() -> None:
    """Between two calls the sandbox may have been frozen for an hour."""
    connections: list[trio.SocketStream] = []

    async def speak(stream: trio.SocketStream) -> None:
        connections.append(stream)
        async with stream:
            while await stream.receive_some(65536):
                await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    async with trio.open_nursery() as nursery:
        listener = await open_tcp_listener("127.0.0.1", 0)
        nursery.start_soon(trio.serve_listeners, speak, [listener])
        http = HttpClient(make_tls=no_authorities)
        for _ in range(2):
            await http.call("x", "GET", f"http://127.0.0.1:{listener.socket.getsockname()[1]}/", headers={})
        await http.aclose()
        assert len(connections) == 2
        nursery.cancel_scope.cancel()


async def test_a_client_that_is_closed_closes_once_more_and_opens_anew() -> None:
    async with open_aws() as server:
        http = HttpClient(make_tls=no_authorities)
        await http.aclose()
        for _ in range(2):
            assert (await http.call("x", "POST", f"{server.url}/", headers={})).status == 403
            await http.aclose()
            await http.aclose()


def test_an_answer_is_shown_without_its_body() -> None:
    shown = f"{Answer(200, b'S3CR3T')} {Answer(200, b'S3CR3T')!r}"
    assert "S3CR3T" not in shown
