"""The runtime's state machine, as in AWS's internal/lambda/core/statejson and rapi handlers."""

from __future__ import annotations

import pytest

from ddx_agent.local.apis.runtime_session import RuntimeSession, error_type_of, response_mode
from ddx_agent.local.apis.states import RuntimeState
from ddx_agent.local.refusal import Refusal


def running(request_id: str = "r1") -> RuntimeSession:
    session = RuntimeSession()
    assert session.next() is None
    session.release(request_id)
    return session


def test_next_of_a_running_invocation_is_legal_and_changes_nothing() -> None:
    session = running()
    assert session.next() is None
    assert session.state is RuntimeState.RUNNING


def test_second_next_while_one_waits_is_refused() -> None:
    session = RuntimeSession()
    session.next()
    assert session.next() == Refusal(
        403,
        "InvalidStateTransition",
        "State transition from Ready to Ready failed for runtime. Error: State transition is not allowed",
    )


def test_id_is_checked_before_the_state() -> None:
    session = RuntimeSession()
    assert session.respond("r1") == Refusal(400, "InvalidRequestID", "Invalid request ID")
    session = running()
    assert session.fail("r2") == Refusal(400, "InvalidRequestID", "Invalid request ID")


def test_second_answer_to_an_invocation_is_a_wrong_state() -> None:
    session = running()
    assert session.respond("r1") is None
    session.response_sent()
    refusal = session.respond("r1")
    assert refusal is not None
    assert refusal.message.startswith("State transition from RuntimeResponseSentState to InvocationResponse failed")
    assert session.fail("r1") is not None


def test_whole_round_ends_ready_for_the_next() -> None:
    session = running()
    assert session.fail("r1") is None
    session.response_sent()
    assert session.next() is None
    session.release("r2")
    assert session.respond("r1") == Refusal(400, "InvalidRequestID", "Invalid request ID")
    assert session.respond("r2") is None


def test_init_error_is_legal_before_the_first_next_only() -> None:
    assert RuntimeSession().init_error() is None
    refusal = running().init_error()
    assert refusal is not None
    assert refusal.status == 403
    assert "to InitError failed for runtime" in refusal.message


@pytest.mark.parametrize(
    ("header", "error_type"),
    [
        ("Runtime.ImportModuleError", "Runtime.ImportModuleError"),
        ("Function.SomeThing", "Function.SomeThing"),
        ("prefix Function.SomeThing suffix", "Function.SomeThing"),
        ("Function.lowercase", "Function.Unknown"),
        ("Unhandled", "Runtime.Unknown"),
        ("", "Runtime.Unknown"),
        (None, "Runtime.Unknown"),
    ],
)
def test_error_type_is_kept_when_it_has_the_known_form(header: str | None, error_type: str) -> None:
    assert error_type_of(header) == error_type


def test_response_mode_is_buffered_streaming_or_refused() -> None:
    assert response_mode(None) == "buffered"
    assert response_mode("streaming") == "streaming"
    assert response_mode("buffered") == Refusal(400, "InvalidFunctionResponseMode", "Invalid function response mode")
