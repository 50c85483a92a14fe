"""For tests of what a function, an agent or a collector sends: Lambda and the intake on this machine, and assertions.

A function with the extension, from its cold start to its shutdown:

    from ddx_agent.testing import assert_accounts_close, expect_log, open_local

    async def test_orders_are_logged() -> None:
        async with open_local("orders") as local:
            result = await local.invoke({"order": 7})
            assert result.function_error is None
            assert_accounts_close(await local.finish())
            expect_log(local.intake.store, contains="order 7 taken", request_id=result.request_id)

An agent or a collector of your own, with the intake alone:

    from ddx_agent.testing import assert_delivered_once, expect_log, open_intake, slow

    async def test_a_refused_payload_is_sent_again() -> None:
        async with open_intake(script={"logs": [503, slow(2), "reset"]}) as intake:
            ...  # run what is under test with DD_LOGS_CONFIG_LOGS_DD_URL=intake.url
            with trio.fail_after(10):
                await intake.wait_for(lambda store: store.logs(contains="order taken"))
            expect_log(intake.store, contains="order taken", service="orders")
            assert_delivered_once(intake.store)

`open_platform` is Lambda alone, for extensions and runtimes of your own. All of it runs in Trio: in a test with
pytest-trio, else with `trio.run`. The assertions raise AssertionError with what did arrive, so that a failed test tells why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from ddx_agent.local.faults import AgentSignal, Faults, Target
from ddx_agent.local.function import Function, Sample
from ddx_agent.local.function_folder import load_function
from ddx_agent.local.intake import (
    Answer,
    Intake,
    Log,
    Metric,
    Raw,
    ReceivedRequest,
    Repeat,
    Script,
    Sketch,
    Span,
    StatsGroup,
    StatsSketch,
    Store,
    StoreLimits,
    Totals,
    close,
    garbage,
    hang,
    normal,
    open_intake,
    reset,
    reset_after_read,
    slow,
    status,
    truncated,
)
from ddx_agent.local.invocation import Invocation, InvokeResult
from ddx_agent.local.platform.opening import open_platform
from ddx_agent.local.platform.platform import Platform
from ddx_agent.local.ports.extension import Ports, PortsTaken
from ddx_agent.local.report.accounts import Accounts, SignalAccount
from ddx_agent.local.sandbox.exits import ProcessExit
from ddx_agent.local.sandbox.plan import ExtensionProgram, Limits
from ddx_agent.local.sandbox.sandbox import LifeEnd
from ddx_agent.local.wiring import Local, open_local

__all__ = [
    "Accounts",
    "AgentSignal",
    "Answer",
    "ExtensionProgram",
    "Faults",
    "Function",
    "Intake",
    "Invocation",
    "InvokeResult",
    "LifeEnd",
    "Limits",
    "Local",
    "Log",
    "Metric",
    "Platform",
    "Ports",
    "PortsTaken",
    "ProcessExit",
    "Raw",
    "ReceivedRequest",
    "Repeat",
    "Sample",
    "Script",
    "SignalAccount",
    "Sketch",
    "Span",
    "StatsGroup",
    "StatsSketch",
    "Store",
    "StoreLimits",
    "Target",
    "Totals",
    "assert_accounts_close",
    "assert_delivered_once",
    "close",
    "expect_log",
    "expect_metric",
    "expect_request",
    "expect_span",
    "expect_stats",
    "garbage",
    "hang",
    "load_function",
    "normal",
    "open_intake",
    "open_local",
    "open_platform",
    "reset",
    "reset_after_read",
    "slow",
    "status",
    "truncated",
]

T = TypeVar("T")

_shown: Final = 20


def expect_log(store: Store, **wanted: Any) -> Log:
    """The first log that fits; criteria as for `Store.logs`: `service`, `request_id`, `contains`, `status`."""
    return _first(store.logs(**wanted), "log", wanted, store.logs, lambda log: f"{log.status} {log.message!r}")


def expect_metric(store: Store, name: str, **wanted: Any) -> Metric:
    """The first point of a metric; further criteria as for `Store.metrics`: `tag`, `type`."""
    return _first(
        store.metrics(name=name, **wanted),
        "metric",
        {"name": name, **wanted},
        store.metrics,
        lambda metric: f"{metric.name} {metric.type} {' '.join(metric.tags)}",
    )


def expect_span(store: Store, **wanted: Any) -> Span:
    """The first span that fits; criteria as for `Store.spans`: `name`, `trace_id`, `service`, `resource`."""
    return _first(
        store.spans(**wanted), "span", wanted, store.spans, lambda span: f"{span.service} {span.name} {span.resource!r}"
    )


def expect_stats(store: Store, **wanted: Any) -> StatsGroup:
    """The first group of trace statistics that fits; criteria as for `Store.stats`: `name`, `service`, `resource`."""
    return _first(
        store.stats(**wanted),
        "stats group",
        wanted,
        store.stats,
        lambda group: f"{group.service} {group.name} {group.resource!r}: {group.hits} hits",
    )


def expect_request(store: Store, **wanted: Any) -> ReceivedRequest:
    """The first request that fits; criteria as for `Store.requests`: `kind`, `accepted`, `after`."""
    return _first(
        store.requests(**wanted),
        "request",
        wanted,
        store.requests,
        lambda request: f"{request.method} {request.path} -> {request.status} {request.error or ''}",
    )


def assert_delivered_once(store: Store) -> None:
    """Nothing was accepted twice: no payload, no log entry, no span (`Store.repeats` says what counts as the same)."""
    repeats = store.repeats()
    lines = (f"{each.what} {each.example!r}: {each.times} times, in requests {each.requests}" for each in repeats)
    assert not repeats, "delivered more than once:\n" + _lines(lines)


# The agent's name of a signal → what the intake counted of it. Metrics are missing: an agent counts samples, of which
# those of one series come as a single point.
_counted: Final[Mapping[str, Callable[[Totals], int]]] = {
    "logs": lambda totals: totals.logs,
    "traces": lambda totals: totals.spans,
    "stats": lambda totals: totals.stats_groups,
}


def assert_accounts_close(accounts: Mapping[str, Any] | Accounts | None, store: Store | None = None) -> None:
    """The agent's accounts close by themselves and agree with what arrived.

    `Local.finish()` sums up whole lives: accepted = delivered + dropped, nothing is left, and the intake has what was
    delivered. A status document (`GET /ddx/status`, `Local.statuses()`) may be of a running agent. For each signal:
    accepted = delivered + held + dropped, in items. Bytes are not compared: a record counts its own when it comes, a
    payload its compressed ones when it is delivered. Against the store, if one is given, of a signal that one intake
    alone got: it has at least what counts as delivered, and more only by what counts as `maybe_twice` (sent more than
    once because a reply was lost) or as lost on the way back (still held, or dropped, after it had arrived).
    """
    assert accounts is not None, "the extension wrote no accounts"
    if isinstance(accounts, Accounts):
        assert accounts.lives, "the accounts are empty: nothing was invoked"
        assert accounts.close, "the accounts do not close:\n" + _lines(accounts.problems)
        return
    wrong: list[str] = []
    signals: Mapping[str, Any] = accounts["signals"]
    for signal, account in signals.items():
        if account.get("closes") is False:
            wrong.append(f"{signal}: the agent itself says that its account does not close")
        dropped = _dropped(account)
        accepted, delivered, held = (int(account[part]["items"]) for part in ("accepted", "delivered", "held"))
        if accepted != delivered + held + dropped:
            wrong.append(
                f"{signal}: {accepted} items accepted, but {delivered} delivered + {held} held + {dropped} dropped"
            )
        if store is not None and (count := _counted.get(signal)) is not None:
            wrong.extend(_compare(signal, account, count(store.totals())))
    assert not wrong, "the accounts do not close:\n" + _lines(wrong)


def _compare(signal: str, account: Mapping[str, Any], arrived: int) -> list[str]:
    delivered = int(account["delivered"]["items"])
    uncertain = int(account["held"]["items"]) + _dropped(account) + int(account["maybe_twice"]["items"])
    if delivered <= arrived <= delivered + uncertain:
        return []
    return [
        f"{signal}: {delivered} items delivered by the accounts, {arrived} arrived (up to {uncertain} are uncertain)"
    ]


def _dropped(account: Mapping[str, Any]) -> int:
    return sum(int(each["items"]) for each in account["dropped"].values())


def _first(
    found: Sequence[T],
    what: str,
    wanted: Mapping[str, Any],
    every: Callable[..., Sequence[T]],
    describe: Callable[[T], str],
) -> T:
    if found:
        return found[0]
    latest = every(limit=_shown)
    arrived = f"the latest of that kind:\n{_lines(map(describe, latest))}" if latest else "nothing of that kind arrived"
    criteria = ", ".join(f"{name}={value!r}" for name, value in wanted.items()) or "any criteria"
    raise AssertionError(f"no {what} with {criteria}; {arrived}")


def _lines(lines: Iterable[str]) -> str:
    shown = list(lines)
    more = [f"  … and {len(shown) - _shown} more"] if len(shown) > _shown else []
    return "\n".join([f"  {line}" for line in shown[:_shown]] + more)
