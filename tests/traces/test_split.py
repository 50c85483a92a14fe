"""A payload that the intake finds too large goes in halves: every span once, with its chunk and tracer, and the sums right."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from ddx_core.intake import Coding, Compressor, Payload
from ddx_core.pipeline import FlushKind
from ddx_traces.span import Tracer, TracerPayload
from ddx_traces.split import split_stats, split_traces
from ddx_traces.stats import decode_client_stats

from .protobuf_reader import read_agent_payload
from .support import Rig, body_of, span, spans_in
from .test_stats_payload import client_stats, group

compressor = Compressor(Coding.ZSTD, 1)


async def packed(traces: list[int], languages: int = 1) -> Payload:
    """One payload with a trace of so many spans each, from tracers of different languages in turn."""
    rig = Rig(compressor=Compressor(Coding.GZIP, 1))
    tracers = [
        TracerPayload(tracer=Tracer(language=f"l{number}"), dropped_p0_traces=2, dropped_p0_spans=3)
        for number in range(languages)
    ]
    for number, count in enumerate(traces):
        spans = [span(trace_id=number + 1, span_id=1000 * (number + 1) + each) for each in range(count)]
        rig.pipeline.add_chunks([spans], tracers[number % languages])
    await rig.pipeline.flush(FlushKind.FINAL)
    (payload,) = rig.intake.traces
    return payload


def told(payload: Payload) -> list[tuple[str, int, int, list[int]]]:
    """Language, priority, trace and spans of every chunk."""
    return [
        (tracer["languageName"], chunk["priority"], chunk["spans"][0]["traceID"], [each["spanID"] for each in chunk["spans"]])
        for tracer in read_agent_payload(body_of(payload))["tracerPayloads"]
        for chunk in tracer["chunks"]
    ]  # fmt: skip


def down_to_the_end(payload: Payload, split: Callable[[Payload, Compressor], list[Payload]]) -> list[Payload]:
    parts = split(payload, compressor)
    if not parts:
        return [payload]
    assert len(parts) == 2
    assert sum(part.items for part in parts) == payload.items
    assert all(part.items for part in parts)
    return [each for part in parts for each in down_to_the_end(part, split)]


async def test_the_halves_have_all_chunks_as_they_were() -> None:
    payload = await packed([3, 1, 4, 1, 5], languages=2)
    first, second = split_traces(payload, compressor)
    assert sorted(told(first) + told(second)) == sorted(told(payload))
    assert read_agent_payload(body_of(second))["targetTPS"] == read_agent_payload(body_of(payload))["targetTPS"]
    assert (first.path, first.content_type, first.encoding) == (payload.path, payload.content_type, "zstd")


async def test_a_single_trace_is_split_between_its_spans() -> None:
    payload = await packed([5])
    first, second = split_traces(payload, compressor)
    ((language, priority, trace, some),) = told(first)
    assert told(second) == [(language, priority, trace, [1000 + each for each in range(len(some), 5)])]
    assert 1 <= len(some) <= 4


async def test_what_tracers_left_out_is_told_once() -> None:
    payload = await packed([1, 1])
    first, second = split_traces(payload, compressor)
    assert dict(first.headers)["Datadog-Client-Dropped-P0-Spans"] == "3"
    assert not {name for name, _ in second.headers if "Dropped" in name}
    assert {name for name, _ in second.headers} == {name for name, _ in payload.headers if "Dropped" not in name}


@given(st.lists(st.integers(1, 6), min_size=1, max_size=8), st.integers(1, 3))
def test_down_to_single_spans_each_is_there_once(traces: list[int], languages: int) -> None:
    import trio

    payload = trio.run(packed, traces, languages)
    parts = down_to_the_end(payload, split_traces)
    assert [part.items for part in parts] == [1] * sum(traces)
    assert sorted(each["spanID"] for part in parts for each in spans_in(part)) == sorted(
        each["spanID"] for each in spans_in(payload)
    )


async def test_statistics_are_split_between_tracers() -> None:
    rig = Rig()
    for number in range(3):
        stats = decode_client_stats(msgspec.msgpack.encode({**client_stats, "RuntimeID": f"r{number}"}))
        assert rig.pipeline._stats.add(stats, 100)  # pyright: ignore[reportPrivateUsage]
    await rig.pipeline.flush(FlushKind.FINAL)
    (payload,) = rig.intake.stats
    parts = down_to_the_end(payload, split_stats)
    documents = [msgspec.msgpack.decode(body_of(part)) for part in parts]
    assert [[each["RuntimeID"] for each in document["Stats"]] for document in documents] == [["r0"], ["r1"], ["r2"]]
    assert all(document["ClientComputed"] for document in documents)


async def test_each_part_of_statistics_counts_the_groups_that_are_in_it() -> None:
    rig = Rig()
    for number, groups in enumerate((5, 0, 1, 1)):
        bucket = {**client_stats["Stats"][0], "Stats": [group] * groups}
        stats = decode_client_stats(
            msgspec.msgpack.encode({**client_stats, "RuntimeID": f"r{number}", "Stats": [bucket]})
        )
        assert rig.pipeline._stats.add(stats, 100)  # pyright: ignore[reportPrivateUsage]
    await rig.pipeline.flush(FlushKind.FINAL)
    (payload,) = rig.intake.stats
    parts = down_to_the_end(payload, split_stats)
    assert [part.items for part in parts] == [5, 1, 1]
    documents = [msgspec.msgpack.decode(body_of(part)) for part in parts]
    assert [[each["RuntimeID"] for each in document["Stats"]] for document in documents] == [["r0"], ["r2"], ["r3"]]


@given(st.binary(max_size=40), st.sampled_from([None, "zstd", "gzip"]))
def test_what_is_none_of_ours_is_not_split(body: bytes, encoding: str | None) -> None:
    payload = Payload(path="/", content_type="x", body=body, items=2, encoding=encoding)
    for split in (split_traces, split_stats):
        assert sum(part.items for part in split(payload, compressor)) in (0, 2)
