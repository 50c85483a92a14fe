"""When the keeper asks in its agent's place, and when it replaces it."""

from __future__ import annotations

from ddx_agent.patience import (
    Patience,
    ask,
    ask_unstarted,
    deadline_margin_ms,
    hung_after_ticks,
    replace,
    silent_after_ticks,
    start_ask_ticks,
    tick_ms,
    wait,
)

now_ms = 1_700_000_000_000


def owing(deadline_ms: int = 0) -> Patience:
    """Its agent has an event and says nothing."""
    patience = Patience()
    patience.asked()
    patience.gave(deadline_ms)
    return patience


def test_an_agent_that_starts_has_until_shortly_before_lambdas_limit() -> None:
    patience = Patience()
    assert patience.ms_to_wait(now_ms, has_asked=False) == tick_ms
    due = [patience.tick(now_ms) for _ in range(start_ask_ticks)]
    assert due == [wait] * (start_ask_ticks - 1) + [ask_unstarted]


def test_between_invocations_nothing_is_waited_for() -> None:
    patience = owing()
    patience.settled()
    assert patience.ms_to_wait(now_ms, has_asked=True) is None
    assert patience.tick(now_ms) == wait


def test_a_silent_agent_is_asked_for_and_then_replaced() -> None:
    patience = owing()
    due = [patience.tick(now_ms) for _ in range(hung_after_ticks)]
    asked = hung_after_ticks - silent_after_ticks
    assert due == [wait] * (silent_after_ticks - 1) + [ask] * asked + [replace]


def test_a_sign_of_life_begins_the_count_anew() -> None:
    patience = owing()
    for _ in range(hung_after_ticks - 1):
        patience.tick(now_ms)
    patience.heard()
    assert patience.tick(now_ms) == wait


def test_a_further_event_is_no_sign_of_life() -> None:
    """After the keeper has asked in its place, the agent is given what came: it is as silent as before."""
    patience = owing()
    for _ in range(hung_after_ticks - 1):
        patience.tick(now_ms)
    patience.gave(0)
    assert patience.tick(now_ms) == replace


def test_before_the_deadline_the_next_event_is_asked_for_whatever_the_agent_does() -> None:
    left_ms = tick_ms // 2
    patience = owing(now_ms + deadline_margin_ms + left_ms)
    assert patience.ms_to_wait(now_ms, has_asked=False) == left_ms
    assert patience.tick(now_ms + left_ms) == ask
    assert patience.ms_to_wait(now_ms + left_ms, has_asked=True) == tick_ms
