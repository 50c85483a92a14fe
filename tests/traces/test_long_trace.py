"""A trace too long for one piece: whatever is decided for a whole trace is decided as if it had been one piece."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_core.http import Request
from ddx_core.http.message import Headers
from ddx_core.http.routes import Match
from ddx_core.pipeline import FlushKind
from ddx_traces import parts as parts_module
from ddx_traces.agent import decode_v04
from ddx_traces.agent.routes import TraceRoutes
from ddx_traces.process.context import find_root
from ddx_traces.process.outline import Outliner
from ddx_traces.rules import FilterSettings
from ddx_traces.rules.tag_filter import TagRule
from ddx_traces.settings import TracesSettings
from ddx_traces.span import Span

from .protobuf_reader import read_agent_payload
from .support import Rig, body_of, span, v04, v05, wire_span
from .test_computed_stats import groups
from .v1_writer import v1

Trace = list[dict[str, Any]]
Fields = dict[str, Any]

whole_trace_id: Final = 99
no_fields: Final[Fields] = {}


def encode_v07(trace: Trace, fields: Fields) -> bytes:
    return msgspec.msgpack.encode({"chunks": [{**fields, "spans": trace}]})


def encode_v1(trace: Trace, fields: Fields) -> bytes:
    """All that the chunk says stands behind its spans."""
    numbers = {"priority": 1, "origin": 2, "tags": 3, "dropped_trace": 5}
    return v1(
        {
            6: whole_trace_id.to_bytes(16, "big"),
            4: [
                {
                    1: each["service"],
                    2: each["name"],
                    3: each["resource"],
                    4: each["span_id"],
                    5: each["parent_id"],
                    6: each["start"],
                    7: each["duration"],
                    9: {**each["meta"], **each["metrics"]},
                }
                for each in trace
            ],
            **{numbers[key]: value for key, value in fields.items()},
        }
    )


forms: Final[dict[str, tuple[str, Callable[[Trace, Fields], bytes]]]] = {
    "v0.4": ("/v0.4/traces", lambda trace, _: v04(trace)),
    "json": ("/v0.3/traces", lambda trace, _: msgspec.json.encode([trace])),
    "v0.5": ("/v0.5/traces", lambda trace, _: v05(trace)),
    "v0.7": ("/v0.7/traces", encode_v07),
    "v1.0": ("/v1.0/traces", encode_v1),
}
all_forms = pytest.mark.parametrize("form", list(forms))
rejecting: Final = TracesSettings(filters=FilterSettings(reject=(TagRule("debug", "true"),)))
requiring: Final = TracesSettings(filters=FilterSettings(require=(TagRule("keep", "yes"),)))
computing: Final = TracesSettings(computes_stats=True)
usual: Final = TracesSettings()


def outcome(
    form: str,
    trace: Trace,
    settings: TracesSettings = usual,
    *,
    part_bytes: int,
    fields: Fields = no_fields,
    headers: tuple[tuple[str, str], ...] = (),
) -> dict[str, Any]:
    """What one request with this trace leads to: spans with what their chunk says, statistics, and what was dropped."""
    path, encode = forms[form]
    body = encode(trace, fields)
    rig = Rig(settings)

    async def take() -> None:
        store, stats = rig.pipeline._store, rig.pipeline._stats  # pyright: ignore[reportPrivateUsage]
        routes = TraceRoutes(settings, store, stats, trio.lowlevel.checkpoint).routes()
        found = routes.find("PUT", path)
        assert isinstance(found, Match)
        request = Request(method="PUT", path=path, query="", headers=Headers(list(headers)), body=body)
        assert (await found.route.handler(request)).status == 200
        rig.check()
        await rig.pipeline.flush(FlushKind.BLOCKING)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts_module, "max_part_bytes", part_bytes)
        trio.run(take)
    spans: list[Any] = []
    for payload in rig.intake.traces:
        for tracer in read_agent_payload(body_of(payload))["tracerPayloads"]:
            about = [tracer[key] for key in ("env", "appVersion", "hostname", "runtimeID")]
            for chunk in tracer["chunks"]:
                said = [chunk[key] for key in ("priority", "origin", "tags", "droppedTrace")]
                spans += [(each["spanID"], each, said, about) for each in chunk["spans"]]
    dropped = {reason: amount.items for reason, amount in rig.account.snapshot().dropped.items()}
    return {
        "spans": sorted(spans, key=lambda each: each[0]),
        "groups": sorted(groups(rig), key=repr),
        "dropped": dropped,
    }


# --- the same as in one piece --------------------------------------------------------------------------------------------

metas = st.fixed_dictionaries(
    {},
    optional={
        "_dd.origin": st.sampled_from(["rum", "synthetics"]),
        "env": st.sampled_from(["prod", "dev", "!!!"]),
        "version": st.sampled_from(["1", "2"]),
        "runtime-id": st.sampled_from(["a", "b"]),
        "debug": st.sampled_from(["true", "false"]),
        "keep": st.just("yes"),
        "span.kind": st.sampled_from(["client", "internal"]),
    },
)
numbers = st.fixed_dictionaries(
    {},
    optional={
        "_sampling_priority_v1": st.sampled_from([-1.0, 0.0, 1.0, 2.0]),
        "_dd.top_level": st.just(1.0),
        "_dd.span_sampling.mechanism": st.just(8.0),
    },
)


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    """Spans in any order, with parents before, behind, missing, or none."""
    ids = draw(st.lists(st.integers(1, 12), min_size=1, max_size=12, unique=True))
    parents = st.sampled_from([*ids, 77, 78] if draw(st.booleans()) else [0, *ids, 77])
    return [
        wire_span(
            trace_id=whole_trace_id,
            span_id=span_id,
            parent_id=draw(parents),
            service=draw(st.sampled_from(["web", "Web", "db"])),
            name=draw(st.sampled_from(["a", "b", "dns.lookup"])),
            meta=draw(metas),
            metrics=draw(numbers),
        )
        for span_id in ids
    ]


chunk_fields = st.fixed_dictionaries(
    {},
    optional={
        "priority": st.sampled_from([-1, 0, 2]),
        "origin": st.just("lambda"),
        "tags": st.just({"debug": "true", "keep": "yes"}),
        "dropped_trace": st.booleans(),
    },
)


@all_forms
@settings(max_examples=40, deadline=None)
@given(
    trace=traces(),
    chosen=st.sampled_from([usual, rejecting, requiring, computing]),
    fields=chunk_fields,
    headers=st.sampled_from([(), (("Datadog-Client-Computed-Top-Level", "yes"),)]),
)
def test_parts_come_to_the_same_as_the_whole(
    form: str, trace: Trace, chosen: TracesSettings, fields: Fields, headers: tuple[tuple[str, str], ...]
) -> None:
    whole = outcome(form, trace, chosen, part_bytes=1 << 20, fields=fields, headers=headers)
    for part_bytes in (1, 600):
        assert outcome(form, trace, chosen, part_bytes=part_bytes, fields=fields, headers=headers) == whole


@settings(max_examples=100)
@given(
    edges=st.lists(
        st.tuples(st.integers(1, 8), st.integers(0, 10)), min_size=1, max_size=12, unique_by=lambda each: each[0]
    ),
    cut=st.integers(1, 4),
)
def test_root_is_the_one_of_the_whole(edges: list[tuple[int, int]], cut: int) -> None:
    spans = [span(trace_id=99, span_id=span_id, parent_id=parent_id) for span_id, parent_id in edges]
    parts = [spans[at : at + cut] for at in range(0, len(spans), cut)]
    outliner = Outliner()
    for part in parts:
        outliner.look(part)
    for part in parts if not outliner.has_root else ():
        outliner.take_root(part)
    outline = outliner.finish()
    assert outline is not None
    assert outline.root == find_root(spans)


# --- one by one ----------------------------------------------------------------------------------------------------------


def family(root: dict[str, Any] | None = None, *, root_last: bool = False) -> Trace:
    """A root and 20 children of the same service."""
    meta = {"text": "x" * 100}
    children = [
        wire_span(trace_id=whole_trace_id, span_id=number, parent_id=1, meta=dict(meta)) for number in range(2, 22)
    ]
    first = wire_span(**{"trace_id": whole_trace_id, "span_id": 1, **(root or {})})
    return [*children, first] if root_last else [first, *children]


def taken(form: str, trace: Trace, settings: TracesSettings = usual, **more: Any) -> dict[str, Any]:
    return outcome(form, trace, settings, part_bytes=1000, **more)


@all_forms
def test_filter_judges_every_part_by_the_root(form: str) -> None:
    assert taken(form, family({"meta": {"debug": "true"}}), rejecting)["dropped"] == {"rejected": 21}
    assert len(taken(form, family({"meta": {"keep": "yes"}}, root_last=True), requiring)["spans"]) == 21
    assert taken(form, family(), requiring)["dropped"] == {"rejected": 21}


@all_forms
def test_children_of_another_part_enter_no_service(form: str) -> None:
    found = taken(form, family(), computing)
    assert [span_id for span_id, each, *_ in found["spans"] if "_top_level" in each["metrics"]] == [1]
    assert sorted((group["IsTraceRoot"], group["Hits"], group["TopLevelHits"]) for group in found["groups"]) == [
        (1, 1, 1)
    ]


@all_forms
def test_every_part_has_the_roots_priority_and_origin(form: str) -> None:
    root = {"meta": {"_dd.origin": "rum"}, "metrics": {"_sampling_priority_v1": 2.0}}
    for root_last in (False, True):
        found = taken(form, family(root, root_last=root_last))
        assert {(priority, origin) for _, _, (priority, origin, *_), _ in found["spans"]} == {(2, "rum")}


@all_forms
def test_what_is_not_sampled_is_left_out_of_every_part(form: str) -> None:
    trace = family({"metrics": {"_sampling_priority_v1": 0.0}}, root_last=True)
    assert taken(form, trace, computing)["dropped"] == {"not_sampled": 21}


@pytest.mark.parametrize("form", ["v0.7", "v1.0"])
def test_what_a_chunk_says_is_told_by_the_root_alone(form: str) -> None:
    found = taken(form, family(root_last=True), fields={"tags": {"team": "shop"}, "priority": 2})
    assert [span_id for span_id, each, *_ in found["spans"] if "team" in each["meta"]] == [1]
    assert {(priority, tags["team"]) for _, _, (priority, _, tags, _), _ in found["spans"]} == {(2, "shop")}


def test_spans_of_another_trace_are_judged_by_themselves() -> None:
    stray = wire_span(trace_id=7, span_id=1, service="db")
    found = taken("v0.4", [*family({"meta": {"debug": "true"}}), stray], rejecting)
    assert [each["traceID"] for _, each, *_ in found["spans"]] == [7]
    assert found["dropped"] == {"rejected": 21}


def test_trace_in_which_no_span_can_be_read_is_malformed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_module, "max_part_bytes", 200)
    parts = list(decode_v04(v04([wire_span(trace_id=-1)] * 5)))
    assert sum(part.read.malformed for part in parts) == 5
    assert all(part.outline is None for part in parts)


def test_others_have_their_turn_while_a_trace_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_module, "max_part_bytes", 1000)
    body = v04(family())
    traces = decode_v04(body)
    spans: list[Span] = []
    looked_at = size = 0
    for part in traces:
        looked_at += part.looked_at
        size += part.size
        spans += part.read.spans
        assert traces.left == 21 - len(spans)
    assert size <= looked_at < len(body)
    assert len(spans) == 21
