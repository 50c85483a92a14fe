"""IntakeClient against an intake that answers by script, on Trio and on asyncio alike."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncGenerator

import anyio
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_core.errors import Unavailable
from ddx_core.http import Hangup, Request, Response, text
from ddx_core.intake import ClientSettings, Doubt, IntakeClient, Outcome, RetryPolicy, Sent
from ddx_core.intake.attempt import answer_body_s, max_answer_bytes
from tests.support.builders import KeyRing, a_payload, an_endpoint
from tests.support.clock import HandClock, noon_ns
from tests.support.intake import ScriptedIntake, Step, hang, requests_at, run_on, with_retry_after

quick = RetryPolicy(max_attempts=4, base_s=0.001, cap_s=0.01)
patient = ClientSettings(attempt_s=10)


def send_once(
    backend: str,
    *script: Step,
    otherwise: Step = 202,
    settings: ClientSettings = patient,
    policy: RetryPolicy = quick,
    doubt: Doubt | None = None,
) -> tuple[Sent, ScriptedIntake]:
    intake = ScriptedIntake(script, otherwise=otherwise)

    async def scenario() -> Sent:
        async with IntakeClient(settings, policy) as client:
            return await client.send(an_endpoint(intake.url), a_payload(), doubt=doubt)

    return run_on(backend, scenario, intake), intake


# --- one request ------------------------------------------------------------------------------------------------------


def test_a_request_carries_what_the_payload_says(backend: str) -> None:
    intake = ScriptedIntake()

    async def scenario() -> None:
        async with IntakeClient(ClientSettings(user_agent="ddx/1")) as client:
            client.warm_up(tls=False)
            payload = a_payload(b"\x28\xb5", path="/api/v2/logs?x=1", encoding="zstd")
            sent = await client.send(an_endpoint(intake.url, key=KeyRing("secret")), payload)
            assert sent == Sent(outcome=Outcome.DELIVERED, status=202, attempts=1)

    run_on(backend, scenario, intake)
    (request,) = intake.requests
    assert (request.method, request.path, request.query, request.body) == ("POST", "/api/v2/logs", "x=1", b"\x28\xb5")
    assert request.headers["dd-api-key"] == "secret"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["content-encoding"] == "zstd"
    assert request.headers["user-agent"] == "ddx/1"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["content-length"] == "2"


def test_requests_in_a_row_share_a_connection(backend: str) -> None:
    intake = ScriptedIntake()

    async def scenario() -> None:
        async with IntakeClient() as client:
            for _ in range(3):
                await client.send(an_endpoint(intake.url), a_payload())

    run_on(backend, scenario, intake)
    assert intake.connections == 1


# --- each kind of answer, in every order ------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 202, 204])
def test_accepted_is_delivered(backend: str, status: int) -> None:
    sent, _ = send_once(backend, status)
    assert (sent.outcome, sent.status, sent.attempts, sent.repeated) == (Outcome.DELIVERED, status, 1, False)


@pytest.mark.parametrize("status", [301, 400, 403, 404, 413])
def test_refused_is_refused_at_once(backend: str, status: int, caplog: pytest.LogCaptureFixture) -> None:
    sent, intake = send_once(backend, status)
    assert (sent.outcome, sent.status, sent.attempts) == (Outcome.REFUSED, status, 1)
    assert len(intake.requests) == 1
    assert "intake_refused" in caplog.text
    assert "test-key" not in caplog.text


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_trouble_of_the_moment_is_tried_again(backend: str, status: int) -> None:
    sent, intake = send_once(backend, status, status)
    assert (sent.outcome, sent.attempts, sent.repeated) == (Outcome.DELIVERED, 3, False)
    assert len(intake.requests) == 3
    assert len(set(intake.bodies)) == 1


def test_trouble_without_end_is_unavailable(backend: str) -> None:
    with pytest.raises(Unavailable, match="status 503 after 4 attempts") as caught:
        send_once(backend, otherwise=503)
    assert not caught.value.maybe_delivered
    assert caught.value.attempted


def test_a_reply_that_was_lost_is_flagged_when_the_payload_goes_out_again(backend: str) -> None:
    sent, intake = send_once(backend, Hangup())
    assert (sent.outcome, sent.attempts, sent.repeated) == (Outcome.DELIVERED, 2, True)
    assert len(intake.requests) == 2


def test_an_answer_that_hangs_is_given_up_and_flagged(backend: str) -> None:
    sent, _ = send_once(backend, hang, settings=ClientSettings(attempt_s=1))  # the second attempt must fit, too
    assert (sent.attempts, sent.repeated) == (2, True)


def test_no_connection_at_all_is_no_doubt(backend: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"

        async def scenario() -> None:
            async with IntakeClient(patient, quick) as client:
                await client.send(an_endpoint(url), a_payload())

        with pytest.raises(Unavailable, match="ConnectError") as caught:
            run_on(backend, scenario)
        assert not caught.value.maybe_delivered


def test_the_callers_doubt_is_remembered(backend: str) -> None:
    sent, _ = send_once(backend, doubt=Doubt(copies=1))
    assert sent.repeated
    with pytest.raises(Unavailable) as caught:
        send_once(backend, otherwise=503, doubt=Doubt(copies=1))
    assert caught.value.maybe_delivered


accepted: list[Step] = [202]
permanent: list[Step] = [400, 403]
passing: list[Step] = [503, 429, Hangup(), Hangup(b"HTTP/1.1 2"), with_retry_after(503, "0")]


@given(st.lists(st.sampled_from([*accepted, *permanent, *passing]), min_size=1, max_size=6))
@settings(max_examples=25, deadline=None)
def test_in_every_order_the_first_answer_for_good_ends_it(script: list[Step]) -> None:
    ends = [index for index, step in enumerate(script) if step in (*accepted, *permanent)]
    end = ends[0] if ends else None

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            intake = await ScriptedIntake(script, otherwise=503).start(nursery)
            async with IntakeClient(patient, quick) as client:
                before = script[: quick.max_attempts if end is None else end]
                lost = any(isinstance(step, Hangup) for step in before[: quick.max_attempts])
                try:
                    sent = await client.send(an_endpoint(intake.url), a_payload())
                except Unavailable as trouble:
                    # A kept connection that breaks is replaced at no cost, so there can be more requests than attempts.
                    assert end is None or end >= quick.max_attempts
                    assert trouble.maybe_delivered or not lost  # noqa: PT017 - one of two ways to end, both right
                else:
                    assert end is not None
                    assert len(intake.requests) == end + 1
                    assert (sent.outcome is Outcome.DELIVERED) == (script[end] in accepted)
                    assert sent.repeated == any(isinstance(step, Hangup) for step in script[:end])
                    assert sent.attempts <= quick.max_attempts
            nursery.cancel_scope.cancel()

    trio.run(main)


# --- the answer's body ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "broken",
    [
        Hangup(b"HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\n{", reset=False),
        Hangup(b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", reset=False),
    ],
)
def test_a_status_counts_although_the_body_behind_it_is_cut_off(backend: str, broken: Hangup) -> None:
    sent, intake = send_once(backend, broken)
    assert (sent.outcome, sent.status, sent.repeated) == (Outcome.DELIVERED, 202, False)
    assert len(intake.requests) == 1


async def endless_body(request: Request) -> Response:
    async def chunks() -> AsyncGenerator[bytes]:
        while True:
            yield b"x" * 10_000

    return Response(status=202, stream=chunks())


async def body_that_never_comes(request: Request) -> Response:
    async def chunks() -> AsyncGenerator[bytes]:
        yield b"{"
        await trio.sleep_forever()

    return Response(status=503, stream=chunks())


def test_an_endless_body_is_not_read_to_its_end(backend: str) -> None:
    assert max_answer_bytes < 100_000
    sent, _ = send_once(backend, endless_body)
    assert (sent.outcome, sent.attempts) == (Outcome.DELIVERED, 1)


def test_a_body_that_never_comes_is_not_waited_for(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert answer_body_s <= 1.0
    monkeypatch.setattr("ddx_core.intake.attempt.answer_body_s", 0.05)
    sent, intake = send_once(backend, body_that_never_comes)
    assert (sent.outcome, sent.attempts, sent.repeated) == (Outcome.DELIVERED, 2, False)
    assert len(intake.requests) == 2


def test_a_refusal_is_told_but_never_in_the_intakes_own_words(backend: str, caplog: pytest.LogCaptureFixture) -> None:
    send_once(backend, text("no key like 0123 and no data like hunter2", 400))
    (line,) = [record.getMessage() for record in caplog.records if "intake_refused" in record.getMessage()]
    assert "main /api/v2/logs 400" in line
    assert "0123" not in caplog.text
    assert "hunter2" not in caplog.text


# --- pauses and deadlines ---------------------------------------------------------------------------------------------


def test_retry_after_is_waited_for(backend: str) -> None:
    intake = ScriptedIntake([with_retry_after(429, "Tue, 14 Nov 2023 22:13:21 GMT")])
    clock = HandClock(noon_ns + 700_000_000)  # 0.3 s before that moment

    async def scenario() -> tuple[Sent, float]:
        async with IntakeClient(patient, quick, wall_clock=clock) as client:
            began = anyio.current_time()
            return await client.send(an_endpoint(intake.url), a_payload()), anyio.current_time() - began

    sent, seconds = run_on(backend, scenario, intake)
    assert sent.attempts == 2
    assert 0.29 <= seconds < 5


@pytest.mark.parametrize("value", ["3", "Fri, 31 Dec 2100 23:59:59 GMT"])
def test_a_pause_longer_than_patience_is_the_callers(backend: str, value: str) -> None:
    with pytest.raises(Unavailable) as caught:
        send_once(backend, with_retry_after(503, value), policy=RetryPolicy(patience_s=1))
    assert caught.value.retry_after_s is not None
    assert caught.value.retry_after_s >= 3


def test_a_pause_that_does_not_fit_the_deadline_is_not_begun(backend: str) -> None:
    intake = ScriptedIntake(otherwise=with_retry_after(503, "5"))

    async def scenario() -> float:
        async with IntakeClient(patient, quick) as client:
            began = anyio.current_time()
            with pytest.raises(Unavailable), anyio.fail_after(3):
                await client.send(an_endpoint(intake.url), a_payload())
            return anyio.current_time() - began

    assert run_on(backend, scenario, intake) < 2.5
    assert len(intake.requests) == 1


def test_the_callers_deadline_holds_whatever_the_intake_does(backend: str) -> None:
    intake = ScriptedIntake(otherwise=hang)
    doubt = Doubt()

    async def scenario() -> float:
        async with IntakeClient(patient, quick) as client, anyio.create_task_group() as group:

            async def end_it() -> None:
                await requests_at(intake, 1)
                scope.deadline = anyio.current_time()

            with anyio.move_on_after(15) as scope:
                group.start_soon(end_it)
                await client.send(an_endpoint(intake.url), a_payload(), doubt=doubt)
            assert scope.cancelled_caught
            return anyio.current_time() - scope.deadline
        raise AssertionError

    assert run_on(backend, scenario, intake) < 5
    assert doubt.maybe_delivered


def test_cut_off_in_a_pause_nothing_is_in_doubt(backend: str) -> None:
    intake = ScriptedIntake(otherwise=503)
    doubt = Doubt()

    async def scenario() -> None:
        # The pause is longer than all patience of this test, but no deadline is there to foresee it.
        policy = RetryPolicy(base_s=20, cap_s=20)
        async with IntakeClient(patient, policy) as client, anyio.create_task_group() as group:
            group.start_soon(lambda: client.send(an_endpoint(intake.url), a_payload(), doubt=doubt))
            await requests_at(intake, 1)
            await anyio.sleep(0.1)
            group.cancel_scope.cancel()

    run_on(backend, scenario, intake)
    assert not doubt.maybe_delivered


# --- keys -------------------------------------------------------------------------------------------------------------


def test_without_a_key_nothing_is_sent(backend: str) -> None:
    intake = ScriptedIntake()

    async def scenario() -> None:
        async with IntakeClient() as client:
            keys = KeyRing(None)
            endpoint = an_endpoint(intake.url, key=keys)
            with pytest.raises(Unavailable, match="no API key yet") as caught:
                await client.send(endpoint, a_payload())
            assert not caught.value.attempted
            keys.add("late")
            assert (await client.send(endpoint, a_payload())).outcome is Outcome.DELIVERED

    run_on(backend, scenario, intake)
    assert [request.headers["dd-api-key"] for request in intake.requests] == ["late"]


def test_a_refused_key_is_replaced_by_the_next(backend: str) -> None:
    intake = ScriptedIntake([403])

    async def scenario() -> Sent:
        async with IntakeClient(patient, quick) as client:
            return await client.send(an_endpoint(intake.url, key=KeyRing("old", "new")), a_payload())

    sent = run_on(backend, scenario, intake)
    assert (sent.outcome, sent.attempts) == (Outcome.DELIVERED, 2)
    assert [request.headers["dd-api-key"] for request in intake.requests] == ["old", "new"]


def test_keys_that_are_all_refused_do_not_go_on_for_ever(backend: str) -> None:
    intake = ScriptedIntake(otherwise=403)
    keys = KeyRing(*(f"key-{number}" for number in range(100)))

    async def scenario() -> None:
        async with IntakeClient(patient, quick) as client:
            with pytest.raises(Unavailable):  # there is one more key to try another time
                await client.send(an_endpoint(intake.url, key=keys), a_payload())

    run_on(backend, scenario, intake)
    assert len(intake.requests) == quick.max_attempts


@pytest.mark.parametrize("key", ["with\nnewline", "with\r\nInjected: header", "ümlaut", "\x00"])
def test_a_key_that_is_no_header_is_never_shown(backend: str, key: str, caplog: pytest.LogCaptureFixture) -> None:
    intake = ScriptedIntake()

    async def scenario() -> None:
        async with IntakeClient(patient, quick) as client:
            with pytest.raises(Unavailable) as caught:
                await client.send(an_endpoint(intake.url, key=KeyRing(key)), a_payload())
            assert key not in str(caught.value)
            assert repr(key)[1:-1] not in str(caught.value)
            assert not caught.value.maybe_delivered

    run_on(backend, scenario, intake)
    assert not intake.requests
    assert key not in caplog.text


@pytest.mark.parametrize(
    "url", ["", "nonsense", "ftp://127.0.0.1", "http://", "http://[::bad", "http://127.0.0.1:99999"]
)
def test_a_url_that_is_none_is_unavailable_at_once(backend: str, url: str) -> None:
    async def scenario() -> None:
        async with IntakeClient(patient, RetryPolicy(base_s=100, cap_s=100, patience_s=1000)) as client:
            await client.send(an_endpoint(url), a_payload())

    with pytest.raises(Unavailable):
        run_on(backend, scenario)


@pytest.mark.parametrize("host", ["xn--.invalid", "xn--a.invalid"])
def test_a_name_that_stands_for_no_letters_is_a_host_that_cannot_be_reached(backend: str, host: str) -> None:
    async def scenario() -> None:
        async with IntakeClient(ClientSettings(), RetryPolicy(max_attempts=1)) as client:
            await client.send(an_endpoint(f"http://{host}:1"), a_payload())

    with pytest.raises(Unavailable, match="ConnectError") as caught:
        run_on(backend, scenario)
    assert not caught.value.maybe_delivered


def test_a_certificate_store_that_cannot_be_read_is_unavailable(backend: str) -> None:
    def broken() -> ssl.SSLContext:
        raise FileNotFoundError("no such file: ca.pem")

    async def scenario() -> None:
        async with IntakeClient(ClientSettings(make_tls=broken)) as client:
            await client.send(an_endpoint("https://127.0.0.1:1"), a_payload())

    with pytest.raises(Unavailable, match=r"no such file: ca\.pem"):
        run_on(backend, scenario)
