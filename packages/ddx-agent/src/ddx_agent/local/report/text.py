"""The report of `ddx local` for people: at most as wide as the terminal, nothing that a terminal would obey. Pure.

Only what an invocation said that ended otherwise than expected may be wider: there a cut would hide the reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

from ..function import Function
from .arrived import LogLine, MetricPoint
from .played import Played
from .report import Report
from .traces import SpanNode, Trace

max_log_lines = 12
max_rows = 60
# Bounds, in characters and lines, of what is shown of an invocation that ended otherwise than expected.
max_failure_text = 1_000
max_failure_lines = 40

# A traced cold start has one of these for every module that was loaded: they are counted, not shown.
_loading = ("aws.lambda.import", "aws.lambda.import_runtime", "aws.lambda.require", "aws.lambda.require_runtime")

# The head that the Python runtime gives a log line: level, time, request id.
_python_head = re.compile(r"^\[(\w+)\]\t\S+Z\t\S*\t")
# What log injection puts in front of the text: the trees of traces show the same ids.
_trace_ids = re.compile(r"\[dd\.[a-z_]+=[^\]]*\]\s*")
_control = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def plain(text: str) -> str:
    """One line without control characters."""
    return _control.sub("�", text.replace("\r", "\n").strip("\n")).replace("\n", " ⏎ ").replace("\t", " ")


def cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


def ms(value: float) -> str:
    if value >= 10_000:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms"


def heading(function: Function, cpu_share: float | None, unavailable: str | None) -> list[str]:
    if cpu_share is not None:
        share = f"held to {cpu_share:.2f} vCPU after init"
    else:
        share = f"CPU share not enforced ({unavailable or 'turned off'})"
    return [
        f"{function.name} · {function.handler} · {function.memory_mb} MB, {share} · timeout {function.timeout_s:g} s",
        "",
    ]


def invocation_lines(each: Played, width: int) -> list[str]:
    mark = "✓" if each.as_expected else "✗"
    outcome = each.outcome if each.as_expected else f"{each.outcome}, expected {each.expected}"
    if each.error_type and each.outcome in ("error", "failure"):
        outcome += f" ({each.error_type})"
    start = f"init {ms(each.init_ms)} · " if each.init_ms is not None else ""
    times = (
        f"{start}answer {ms(each.response_ms)} · {ms(each.overhead_ms)} after it · billed {each.billed_ms} ms · "
        f"{each.max_memory_mb} MB"
    )
    response = each.response if isinstance(each.response, str) else json.dumps(each.response, ensure_ascii=False)
    lines = [f"{mark} {each.name}: {outcome}", f"    {times}", f"    → {plain(response)}"]
    told = [line for source, line in each.log_lines if source == "function"]
    if each.as_expected:
        lines += [f"    │ {log_text(line)}" for line in told[:max_log_lines]]
        if len(told) > max_log_lines:
            lines.append(f"    │ … {len(told) - max_log_lines} more lines")
        return [cut(line, width) for line in lines]
    parts = [part for line in told for part in _parts(line)]
    if len(parts) > max_failure_lines:
        lines.append(f"    │ … {len(parts) - max_failure_lines} lines before")
    # The reason stands at the end.
    lines += [f"    │ {part}" for part in parts[-max_failure_lines:]]
    return [cut(line, max_failure_text) for line in lines]


def _parts(line: str) -> list[str]:
    """A log line as it was written: a traceback has several lines of its own."""
    first, *rest = line.replace("\r", "\n").strip("\n").split("\n")
    return [log_text(first), *map(plain, rest)]


def log_text(line: str) -> str:
    head = _python_head.match(line)
    text = f"{head.group(1):<7} {line[head.end() :]}" if head else line
    return plain(_trace_ids.sub("", text, count=1))


def summary(report: Report, width: int) -> list[str]:
    """Everything after the invocations."""
    arrived = report.arrived
    sections = [
        ("Logs at the intake", f"{len(arrived.logs)} entries", _logs(arrived.logs)),
        ("Metrics at the intake", f"{len(arrived.metrics)} points", _metrics(arrived.metrics, width)),
        ("Traces at the intake", f"{arrived.totals.spans} spans", _traces(arrived.traces)),
    ]
    if arrived.events:
        sections.append(("Events at the intake", str(len(arrived.events)), list(map(plain, arrived.events))))
    if arrived.checks:
        sections.append(("Service checks at the intake", str(len(arrived.checks)), list(map(plain, arrived.checks))))
    lines: list[str] = []
    for title, count, rows in sections:
        lines += ["", f"{title}: {count}"]
        lines += [cut(f"  {row}", width) for row in rows[:max_rows]]
        if len(rows) > max_rows:
            lines.append(f"  … {len(rows) - max_rows} more")
    raw = [f"{count} {kind}" for kind, count in sorted(arrived.totals.raw.items())]
    if raw:
        lines += ["", cut(f"Also arrived: {', '.join(raw)}", width)]
    return [*lines, "", *_accounts(report, width)]


def _logs(logs: Sequence[LogLine]) -> list[str]:
    return [f"{(log.status or '-'):<6} {log_text(log.message)}" for log in logs]


def _metrics(points: Iterable[MetricPoint], width: int) -> list[str]:
    groups: dict[tuple[str, str], list[MetricPoint]] = {}
    for point in points:
        groups.setdefault((point.name, point.type), []).append(point)
    name_width = min(max((len(name) for name, _ in groups), default=0), max(width - 50, 20))
    return [
        f"{cut(plain(name), name_width):<{name_width}}  {kind:<12}  {_values(kind, group)}"
        for (name, kind), group in sorted(groups.items())
    ]


def _values(kind: str, points: Sequence[MetricPoint]) -> str:
    sums = [point.sum for point in points if point.sum is not None]
    if kind == "distribution":
        least = min((point.min for point in points if point.min is not None), default=0.0)
        most = max((point.max for point in points if point.max is not None), default=0.0)
        count = sum(point.count for point in points)
        return f"{count} value{'s' * (count != 1)}, {number(least)} to {number(most)}"
    if kind == "gauge":
        return f"last {number(sums[-1])}" if sums else "no value"
    return f"sum {number(sum(sums))}"


def number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:.6g}"


def _traces(traces: Iterable[Trace]) -> list[str]:
    lines: list[str] = []
    for trace in traces:
        lines.append(f"trace {trace.trace_id}")
        for root in trace.roots:
            lines += _tree(root, "  ", "  ")
    return lines


def _tree(node: SpanNode, first: str, rest: str) -> list[str]:
    error = f"  ✗ {plain(node.error)}" if node.error else ""
    resource = "" if node.resource == node.name else f" {plain(node.resource)}"
    shown = [child for child in node.children if child.name not in _loading]
    folded = sum(_size(child) for child in node.children if child.name in _loading)
    more = f" (+ {folded} spans of loading modules)" if folded else ""
    lines = [f"{first}{plain(node.name)} ({plain(node.service)}){resource}  {ms(node.duration_ms)}{more}{error}"]
    for index, child in enumerate(shown):
        is_last = index == len(shown) - 1
        lines += _tree(child, rest + ("└─ " if is_last else "├─ "), rest + ("   " if is_last else "│  "))
    return lines


def _size(node: SpanNode) -> int:
    return 1 + sum(map(_size, node.children))


def _accounts(report: Report, width: int) -> list[str]:
    unexpected = sum(not each.as_expected for each in report.invocations)
    outcome = (
        f"{unexpected} of {len(report.invocations)} invocations ended otherwise than expected." if unexpected else ""
    )
    if report.accounts is None:
        lines = ["No extension ran." if report.extension is None else "The extension wrote no accounts."]
    else:
        accounts = report.accounts
        lines = (
            []
            if not accounts.signals
            else [
                f"{'Accounts':<10} {'accepted':>9} {'delivered':>10} {'dropped':>8} {'held':>6} {'at the intake':>14}"
            ]
        )
        for each in accounts.signals:
            dropped = sum(each.dropped.values())
            at_intake = "" if each.at_intake is None else str(each.at_intake)
            lines.append(
                f"{each.signal:<10} {each.accepted:>9} {each.delivered:>10} {dropped:>8} {each.held:>6} {at_intake:>14}"
                f"  {'✓' if each.closes else '✗'}"
            )
            lines += [f"    dropped, {reason}: {count}" for reason, count in sorted(each.dropped.items())]
            if each.maybe_twice:
                lines.append(f"    may have arrived twice: {each.maybe_twice}")
        if accounts.close:
            lines += ["", "The accounts close: everything accepted was delivered or dropped for a counted reason."]
        else:
            lines += ["", "The accounts do NOT close:", *(f"  {problem}" for problem in accounts.problems)]
            said = report.extension_output[-max_log_lines:]
            if said:
                lines += ["The extension's last words:", *(f"  ┆ {plain(line)}" for line in said)]
    return [cut(line, width) for line in [*lines, *([outcome] if outcome else [])]]
