"""The benchmarks run, each line of them, on loads too small to mean anything: what is tested is that they keep working."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import document, first_marker, last_marker, write
from benchmarks.bench_dogstatsd import Taken, median
from benchmarks.processes import MachineTime, machine_time
from benchmarks.table import Row, Table, as_markdown, as_text, percentile

root = Path(__file__).parent.parent


def run_quickly(*names: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks", "--quick", "--json"]
    for name in names:
        command += ["--only", name]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.system
def test_cold_start_and_invocations_are_measured_on_the_real_extension() -> None:
    found = run_quickly("cold-start", "invocations")
    rows = {row["what"]: row for table in found["tables"] for row in table["rows"]}
    assert "Python" in found["machine"]
    assert rows["exec → register received"]["ours"] > 0
    assert rows["exec → first `next` received"]["ours"] > rows["exec → register received"]["ours"]
    assert rows["requests to the intake an invocation"]["ours"] >= 3
    assert rows["POST /v0.4/traces, median"]["ours"] > 0


@pytest.mark.system
def test_reading_the_configuration_is_measured() -> None:
    (table,) = run_quickly("configuration")["tables"]
    assert all(row["ours"] > 0 for row in table["rows"])
    assert [row["target"] for row in table["rows"]] == [None, 60, 60, 60]


@pytest.mark.system
def test_log_steps_are_measured_alone_and_through_the_extension() -> None:
    steps, extension = run_quickly("logs")["tables"]
    assert all(row["ours"] >= 0 for row in steps["rows"])
    assert [row["target"] for row in extension["rows"]] == [10, 150]


def test_a_row_says_whether_its_target_is_met() -> None:
    assert Row("CPU", "µs", 16, target=15).is_met is False
    assert Row("rate", "a second", 16, target=15, at_least=True).is_met is True
    assert Row("CPU", "µs", 16).is_met is None


def test_a_table_shows_ours_the_other_and_the_ratio() -> None:
    table = Table("Traces", [Row("CPU", "µs a span", 12.345, 50.0, target=15), Row("RSS", "MiB", 90.0, target=80)])
    assert as_markdown(table).splitlines()[-2:] == [
        "| CPU, µs a span | 12.3 | 50 (peer) | 0.25 × | ≤ 15 |",
        "| RSS, MiB | 90 |  |  | ≤ 80, **missed** |",
    ]
    assert "≤ 80, missed" in as_text(table)


def test_a_table_measured_on_a_machine_that_others_used_says_so() -> None:
    quiet, disturbed = (
        Table("Logs", taken_percent=0.4),
        Table("Logs", taken_percent=MachineTime(200, 30).taken_percent(MachineTime(0, 0))),
    )
    assert quiet.remark is None
    assert "15 %" in as_markdown(disturbed)
    assert "15 %" in as_text(disturbed)
    assert disturbed.as_json()["taken_percent"] == 15


def test_time_of_the_machine_goes_on() -> None:
    before = machine_time()
    time.sleep(0.05)
    after = machine_time()
    assert after.all > before.all
    assert 0 <= after.taken_percent(before) <= 100


def test_medians_are_of_each_number() -> None:
    assert median([Taken(1, 9, 5, 0, 0), Taken(2, 8, 5, 0, 1), Taken(3, 7, 6, 0, 2)]) == Taken(2, 8, 5, 0, 1)


def test_percentile_is_one_of_the_values() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([1.0], 0.99) == 1.0


def test_numbers_are_written_between_the_markers_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{first_marker}\nold\n{last_marker}\nafter\n")
    monkeypatch.setattr("benchmarks.__main__.document", page)
    write("2 cores", [Table("Logs", [Row("parse", "µs", 1.5)])])
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert "| parse, µs | 1.50 |" in text


def test_the_page_has_its_markers() -> None:
    text = document.read_text(encoding="utf-8")
    assert text.index(first_marker) < text.index(last_marker)
