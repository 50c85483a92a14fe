from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_core.events import LogLine
from ddx_core.pipeline import FlushKind
from ddx_logs.from_telemetry import read_line
from ddx_logs.levels import find_level
from ddx_logs.record import Status
from ddx_logs.settings import LogsSettings

from .support import Rig, event, start


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # pino and bunyan, Python's logging, Google's and other structured loggers.
        ('{"level":10}', Status.TRACE),
        ('{"level":20}', Status.DEBUG),
        ('{"level":30,"time":1,"msg":"x"}', Status.INFO),
        ('{"level":40}', Status.WARN),
        ('{"level":50}', Status.ERROR),
        ('{"level":60}', Status.CRITICAL),
        ('{"levelno":40}', Status.ERROR),
        ('{"levelno":50}', Status.CRITICAL),
        ('{"levelname":"WARNING"}', Status.WARN),
        ('{"severity":"ERROR"}', Status.ERROR),
        ('{"severity":"notice"}', Status.INFO),
        ('{"lvl":"crit"}', Status.CRITICAL),
        ('{"log.level":"debug"}', Status.DEBUG),
        ('{"level":42}', None),
        ('{"level":40.5}', None),
        ('{"level":null,"severity":[]}', None),
        ('{"level":{"level":"ERROR"}}', None),
        ('{"level":"ERROR"', None),
        # As the runtimes of Lambda and usual formats write.
        ("2025-06-01T12:00:00.123Z\t459921b5-681c-4a96-beb0-81e0aa586026\tERROR\tInvoke Error \t{}", Status.ERROR),
        ("2025-06-01T12:00:00.123Z\tundefined\tWARN\tno invocation", Status.WARN),
        ("[ERROR]\t2025-06-01T12:00:00.123Z\t459921b5-681c-4a96-beb0-81e0aa586026\tbad", Status.ERROR),
        ("[ERROR] KeyError: 'x'", Status.ERROR),
        ("WARNING: the disk is full", Status.WARN),
        ("2025-06-01 12:00:00,123 DEBUG orders here", Status.DEBUG),
        ("  FATAL", Status.CRITICAL),
        ("ERRORS are bad", None),
        ("an ERROR: in the middle", None),
        ("Error: lower case is prose", None),
        ("", None),
    ],
)
def test_further_ways_to_name_a_level_are_read(text: str, expected: Status | None) -> None:
    assert find_level(text) is expected


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(codec=None)) | st.text('{}[]":, levERRO0123456789-T\t', max_size=80))
def test_any_text_may_be_asked(text: str) -> None:
    assert find_level(text) is None or isinstance(find_level(text), Status)


def test_what_every_reader_agrees_on_comes_first() -> None:
    line = LogLine(time_ns=1, text='{"status":"debug","severity":"ERROR"}')
    assert read_line(line, find_level=find_level).status is Status.DEBUG


@pytest.mark.parametrize(("wanted", "status"), [(False, "info"), (True, "error")])
async def test_further_levels_are_read_only_where_wanted(wanted: bool, status: str) -> None:
    rig = Rig(LogsSettings(reads_more_levels=wanted))
    rig.observe(start(), event("function", {"level": 50, "msg": "x"}), event("function", "[ERROR] x"))
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert [item["message"]["status"] for item in rig.intake.items] == ["info", status, status]
