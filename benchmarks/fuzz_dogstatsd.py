"""Random and mangled DogStatsD lines through the parser: nothing raises, no neighbour is lost, every line is accounted for.

    python -m benchmarks.fuzz_dogstatsd 10000000 [SEED]       some ten million lines, a few minutes

Each datagram has a known good line before, between and after the others. A run is told by its seed and can be repeated.
"""

from __future__ import annotations

import random
import sys
import time
from typing import Final

from ddx_core.intake import Coding, Compressor, Payload
from ddx_core.stats import Account
from ddx_core.tags import TagSet
from ddx_metrics.accumulate import Count
from ddx_metrics.aggregator import Aggregator
from ddx_metrics.dogstatsd import Ingest
from ddx_metrics.events import EventOutbox
from ddx_metrics.settings import Cardinality, LineSettings

neighbour: Final = b"good.neighbour:1|c|#whole:yes"
at_s: Final = 1_700_000_000
batch: Final = 200

_names = (
    b"a",
    b"shop.latency",
    b"aws.lambda.enhanced.invocations",
    b"blocked.one",
    "é.ü".encode(),
    b"x y",
    b"",
    b"\xff",
)
_values = (
    b"1",
    b"2.5",
    b"-3",
    b"1:2:3",
    b"nan",
    b"-inf",
    b"1e400",
    b"9" * 400,
    b"1_0",
    b" 1",
    b"",
    b":",
    b"x",
    b"0x1",
    b"1e-5",
)
_types = (b"c", b"g", b"d", b"h", b"ms", b"s", b"z", b"", b"C", b"cc")
_fields = (
    b"@0.5", b"@0", b"@x", b"@1e-300", b"#a:1,b", b"#b,a:1,a:1", b"#", b"#" + b",".join(b"t%d" % n for n in range(120)),
    b"#\xff", b"T1700000000", b"T5", b"T-1", b"Tx", b"T", b"T1e300", b"c:ci-a,in-1", b"c:\xff", b"e:it-false,cn-w", b"card:high",
    b"card:", b"", b"m:x", b"#dd.internal.resource:a:b",
)  # fmt: skip
_others = (
    b"_e{5,4}:title|text", b"_e{1,0}:a||t:error|#x,y|d:1", b"_e{99,1}:a|b", b"_e{", b"_e{,}:",
    b"_e{2,2}:\xff\xff|\xfe\xfe|h:\xff",
    b"_sc|up|0", b"_sc|up|9", b"_sc|", b"_sc|up|1|m:a\\nb m\\: c|#x|h:y", b"_sc|\xff|2|d:99999999999999999999",
    b"\r", b"|", b":", b":|", b"\x00", b"a" * 3000,
)  # fmt: skip


def make_line(chance: random.Random) -> bytes:
    """A line without newline: well-formed, nearly so, or noise."""
    kind = chance.random()
    if kind < 0.08:
        return chance.randbytes(chance.randrange(1, 40)).replace(b"\n", b"_") or b"_"
    if kind < 0.2:
        line = chance.choice(_others)
    else:
        parts = [chance.choice(_names) + b":" + chance.choice(_values), chance.choice(_types)]
        parts += chance.choices(_fields, k=chance.randrange(4))
        line = b"|".join(parts)
    if kind > 0.8 and line:
        at = chance.randrange(len(line))
        mangled = (
            line[:at] + chance.randbytes(1).replace(b"\n", b"|") + line[at + 1 :],
            line[:at],
            line[at:],
            line[:at] + line[at - 3 : at] + line[at:],
        )
        line = chance.choice(mangled)
    return line


def fuzz(lines: int, seed: int) -> dict[str, int]:
    """Raises AssertionError, with the seed, when a promise is broken; returns the number of lines by what became of them."""
    chance = random.Random(seed)
    account = Account("metrics")
    aggregator = Aggregator(account, max_contexts=5_000, max_tag_sets=500, copies_to="copy.")
    settled: list[int] = []

    def put(payload: Payload) -> None:
        settled.append(payload.items)

    events = EventOutbox(
        account,
        tags=TagSet(),
        compressor=Compressor(Coding.IDENTITY),
        put=put,
        max_bytes=1 << 16,
        sender_cardinality=Cardinality.HIGH,
    )  # fmt: skip
    ingest = Ingest(
        aggregator,
        account,
        LineSettings(
            namespace="fuzzed",
            blocklist=("fuzzed.blocked",),
            blocks_prefixes=True,
            sender_cardinality=Cardinality.HIGH,
        ),
        take_event=events.take_event,
        take_check=events.take_check,
        max_known=1_000,
    )
    sent = neighbours = found = 0
    now_s = at_s
    while sent < lines:
        datagrams: list[bytes] = []
        expected = 0
        for _ in range(batch):
            strangers = [make_line(chance) for _ in range(chance.randrange(1, 6))]
            whole = [neighbour]
            for each in strangers:
                whole += [each, neighbour]
            datagrams.append(b"\n".join(whole) + b"\n" * chance.randrange(2))
            expected += len(strangers) + 1
            sent += len(strangers)
        ingest.take(datagrams, now_s)
        neighbours += expected
        now_s += chance.choice((0, 1, 7, 10, -30, 3600))
        while events.encode_some():
            pass
        aggregator.cut(include_open=True)
        while (gathered := aggregator.take()) is not None:
            settled.append(gathered.values.samples)
            if gathered.context.name == "fuzzed.good.neighbour" and isinstance(gathered.values, Count):
                found += round(gathered.values.total)
        snapshot = account.snapshot()
        out = snapshot.held.items + sum(settled) + sum(amount.items for amount in snapshot.dropped.values())
        settled[:] = [sum(settled)]
        assert found == neighbours, f"seed {seed}: {neighbours - found} neighbours lost"
        assert snapshot.accepted.items == out, f"seed {seed}: the account does not close: {snapshot}"
        assert "internal_error" not in snapshot.dropped, f"seed {seed}: a line raised"
    reasons = {reason: amount.items for reason, amount in account.snapshot().dropped.items()}
    return {"lines": sent, "neighbours": neighbours, "values taken": settled[0]} | reasons


def main(arguments: list[str]) -> int:
    lines = int(arguments[0]) if arguments else 1_000_000
    seed = int(arguments[1]) if len(arguments) > 1 else time.time_ns() % 1_000_000
    began = time.perf_counter()
    done = fuzz(lines, seed)
    print(f"seed {seed}, {time.perf_counter() - began:.0f} s:", ", ".join(f"{n:,} {what}" for what, n in done.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
