"""Processing rules in the pipeline: what they leave out is counted, and they change nothing else."""

from __future__ import annotations

import pytest

from ddx_core.pipeline import FlushKind
from ddx_logs.rules import Rule, RuleType
from ddx_logs.settings import LogsSettings

from .support import Rig, end, event, start

rid = "test-request-id"
exclude, include, mask = RuleType.EXCLUDE_AT_MATCH, RuleType.INCLUDE_AT_MATCH, RuleType.MASK_SEQUENCES


def rig_with(*rules: Rule) -> Rig:
    return Rig(LogsSettings(rules=rules))


async def test_start_that_is_left_out_still_releases_what_waited_for_it() -> None:
    """bottlecap `logs/lambda/processor.rs`."""
    rig = rig_with(Rule(exclude, "platform", "(START|END|REPORT) RequestId"))
    rig.observe(
        event("extension", "extension line"),
        event("function", "Error: NO_REGION environment variable not set"),
        start(),
        end(),
    )
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert rig.intake.lines == [("extension line", rid), ("Error: NO_REGION environment variable not set", rid)]
    assert rig.account.dropped("filtered").items == 2
    assert len(rig.intake.payloads) == 1


async def test_included_lines_alone_are_sent_whoever_wrote_them() -> None:
    rig = rig_with(Rule(include, "keep", "keep"))
    rig.observe(start(), event("function", "keep"), event("extension", "keep too"), event("function", {"m": "drop"}))
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert [text for text, _ in rig.intake.lines] == ["keep", "keep too"]
    assert rig.account.dropped("filtered").items == 2


async def test_mask_acts_on_the_text_that_is_left_when_tags_are_taken_out_and_not_on_tags() -> None:
    rig = rig_with(Rule(mask, "secrets", "secret", "***"))
    rig.observe(
        start(),
        event("function", '{"message":"a secret","ddtags":"kind:secret","level":"ERROR"}'),
        event("function", {"requestId": "own", "password": "secret"}),
    )
    await rig.pipeline.flush(FlushKind.BLOCKING)
    _, first, second = rig.intake.items
    assert first["message"]["message"] == '{"message":"a ***","level":"ERROR"}'
    assert first["message"]["status"] == "error"
    assert first["ddtags"] == "test:tags,kind:secret"
    assert second["message"]["message"] == '{"requestId":"own","password":"***"}'
    assert second["message"]["lambda"]["request_id"] == "own"


async def test_masked_text_is_not_held_in_clear_while_it_waits() -> None:
    rig = rig_with(Rule(mask, "secrets", "secret", "***"), Rule(exclude, "noise", "noise"))
    rig.observe(event("function", "early secret"), event("function", "early noise"))
    assert rig.pipeline.statistics().waiting == 1
    await rig.pipeline.flush(FlushKind.FINAL)
    assert rig.intake.lines == [("early ***", None)]


async def test_line_left_out_may_still_tell_that_memory_ran_out() -> None:
    signs: list[str | None] = []
    rig = Rig(
        LogsSettings(rules=(Rule(exclude, "e", "MemoryError"),)),
        on_out_of_memory=lambda request_id, _: signs.append(request_id),
    )
    rig.observe(start(), event("function", "MemoryError"))
    assert signs == [rid]
    assert rig.account.dropped("filtered").items == 1


async def test_intended_drops_are_counted_and_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    rig = rig_with(Rule(exclude, "all", ""))
    rig.observe(start(), event("function", "x"))
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert rig.intake.payloads == []
    assert caplog.messages == []
    snapshot = rig.account.snapshot()
    assert snapshot.accepted == snapshot.dropped["filtered"]


async def test_line_cut_by_a_mask_is_delivered_counted_and_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ddx_core.regex.matcher.max_seconds", 0.02)
    rig = rig_with(Rule(mask, "hide", "a(?:.*b)?", "x"))
    rig.observe(start(), event("function", "a" * (1 << 18)))
    await rig.pipeline.flush(FlushKind.BLOCKING)
    (text, _) = rig.intake.lines[-1]
    assert text.strip("x") == "...TRUNCATED..."
    assert rig.pipeline.statistics().truncated == 1
    assert rig.delivered == 2
    assert caplog.messages == ["logs_shortened about=truncated so_far=1"]
