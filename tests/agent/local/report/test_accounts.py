"""The agent's accounts over several lives, against what the intake decoded."""

from __future__ import annotations

from typing import Any

import msgspec

from ddx_agent.local.intake import Totals
from ddx_agent.local.report.accounts import Accounts, read_accounts


def totals(**changes: int) -> Totals:
    nothing: dict[str, Any] = dict.fromkeys(
        [
            "requests",
            "refused",
            "logs",
            "series_points",
            "sketches",
            "sketch_samples",
            "spans",
            "stats_groups",
            "stats_hits",
        ],
        0,
    )
    return Totals(raw={}, not_kept=0, **(nothing | changes))


def line(signal: str = "logs", *, dropped: dict[str, int] | None = None, earlier: int = 0, **amounts: int) -> bytes:
    account: dict[str, Any] = {name: {"items": items, "bytes": 9 * items} for name, items in amounts.items()}
    account["dropped"] = {reason: {"items": items, "bytes": 1} for reason, items in (dropped or {}).items()}
    signals = {signal: account | {"closes": True}}
    return msgspec.json.encode({"version": "0.1.0", "signals": signals, "flushes": {}, "earlier_agents": earlier})


def read(*lines: bytes, lives: int | None = None, **arrived: int) -> Accounts:
    return read_accounts(lines, lives=len(lines) if lives is None else lives, totals=totals(**arrived))


def test_all_delivered_and_decoded_closes() -> None:
    accounts = read(line(accepted=5, delivered=5), logs=5)
    assert accounts.close
    assert accounts.signals[0].at_intake == 5


def test_counted_drops_close() -> None:
    accounts = read(line(accepted=5, delivered=3, dropped={"queue_full": 2, "filtered": 0}), logs=3)
    assert accounts.close
    assert accounts.signals[0].dropped == {"queue_full": 2}


def test_lives_are_summed() -> None:
    accounts = read(line(accepted=5, delivered=5), line(accepted=2, delivered=2), logs=7)
    assert accounts.close
    assert (accounts.lives, accounts.signals[0].accepted) == (2, 7)


def test_spool_carried_into_the_next_life_counts_once() -> None:
    accounts = read(line(accepted=5, delivered=3, held=2, spooled=2), line(accepted=4, delivered=4), logs=7)
    assert accounts.close, accounts.problems
    assert (accounts.signals[0].accepted, accounts.signals[0].held) == (7, 0)


def test_what_is_still_held_at_the_end_keeps_them_open() -> None:
    accounts = read(line(accepted=5, delivered=3, held=2, spooled=2), logs=3)
    assert accounts.problems == ("logs: 2 still held at the end",)


def test_what_vanished_keeps_them_open() -> None:
    accounts = read(line(accepted=5, delivered=3), logs=3)
    assert accounts.problems == ("logs: 5 accepted, but 3 delivered, dropped or held",)


def test_intake_must_have_what_was_delivered() -> None:
    for signal, arrived in (("logs", "logs"), ("traces", "spans"), ("stats", "stats_groups")):
        assert not read(line(signal, accepted=5, delivered=5), **{arrived: 4}).close
        assert not read(line(signal, accepted=5, delivered=5), **{arrived: 6}).close
        assert read(line(signal, accepted=5, delivered=5, maybe_twice=1), **{arrived: 6}).close


def test_samples_of_metrics_are_not_compared_with_points() -> None:
    accounts = read(line("metrics", accepted=50, delivered=50), series_points=3)
    assert accounts.close
    assert accounts.signals[0].at_intake is None


def test_agent_that_wrote_nothing_is_a_problem() -> None:
    accounts = read(line(accepted=1, delivered=1), lives=2, logs=1)
    assert accounts.problems == ("1 of 2 agents ended without writing their accounts",)


def test_agent_that_died_in_the_midst_of_a_life_is_the_problem_and_not_what_it_delivered() -> None:
    accounts = read(line(accepted=1, delivered=1, earlier=1), lives=1, logs=9)
    assert accounts.problems == ("1 of 2 agents ended without writing their accounts",)
    assert (
        "1 delivered, but 0 at the intake"
        in read(line(accepted=1, delivered=1, earlier=1), lives=1, logs=0).problems[1]
    )


def test_agents_that_died_are_counted_over_all_lives() -> None:
    written = [line(accepted=1, delivered=1, earlier=earlier) for earlier in (0, 2, 1, 0)]
    assert read(*written, lives=4, logs=4).problems == ("3 of 7 agents ended without writing their accounts",)
    assert read(lives=2).problems == ("2 of 2 agents ended without writing their accounts",)


def test_unreadable_line_is_a_problem() -> None:
    assert "cannot be read" in read(b"{half a line").problems[0]
