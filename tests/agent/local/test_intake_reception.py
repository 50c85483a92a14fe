"""Whatever is sent to whatever endpoint: the intake judges it, keeps a record, and never fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_agent.local.intake import Script, Store
from ddx_agent.local.intake.endpoints import Endpoint, anything_else, endpoints
from ddx_agent.local.intake.reception import receive
from ddx_core.http import Headers, Request

names = st.sampled_from(
    [
        "series", "metric", "points", "tags", "type", "timestamp", "value", "interval", "metadata", "origin", "message",
        "ddtags", "lambda", "request_id", "service", "name", "Stats", "Start", "Duration", "Service", "Hits", "OkSummary",
        "PeerTags", "trace_id", "span_id", "start", "meta", "metrics", "span_links", "attributes", "_sampling_priority_v1",
        "resources", "host", "unit",
    ]
)  # fmt: skip
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 63), (1 << 64) - 1),
    st.floats(),
    st.text(max_size=4),
    st.binary(max_size=6),
)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | st.integers(0, 3), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    store = Store()
    yield store
    store.close()


def as_json(value: Any) -> bytes:
    return msgspec.json.encode(value)


def as_series(value: Any) -> bytes:
    return msgspec.json.encode({"series": [value]})


def as_stats(value: Any) -> bytes:
    return msgspec.msgpack.encode({"Stats": [{"Stats": [{"Start": 1, "Duration": 1, "Stats": [value]}]}]})


def as_spans(value: Any) -> bytes:
    return msgspec.msgpack.encode([[value]])


@pytest.mark.parametrize("endpoint", [*endpoints, anything_else], ids=lambda endpoint: endpoint.path)
def test_every_endpoint_survives_anything(endpoint: Endpoint, store: Store) -> None:
    @given(
        st.binary(max_size=60)
        | documents.flatmap(
            lambda value: st.sampled_from([as_json, as_series, as_stats, as_spans, msgspec.msgpack.encode]).map(
                lambda encode: encode(value)
            )
        ),
        st.sampled_from([None, "gzip", "zstd", "deflate", "nonsense"]) | st.none(),
        st.sampled_from([None, "application/json", "application/x-protobuf", "text/plain", "\xff"]),
    )
    @settings(max_examples=10, deadline=None)
    def check(body: bytes, encoding: str | None, content_type: str | None) -> None:
        given_headers = {"dd-api-key": "k", "content-encoding": encoding, "content-type": content_type}
        headers = Headers([(name, value) for name, value in given_headers.items() if value is not None])
        request = Request(method="POST", path=endpoint.path, query="a=%ff&ddtags", headers=headers, body=body)
        received = receive(request, endpoint, Script(), store, now_s=1.0, keep_spans=True)
        assert received.response.status in (200, 202, 400, 413)
        record = received.keep()
        assert record.accepted == (received.response.status < 300)
        assert store.requests(limit=1) == [record]

    check()


def test_all_that_was_kept_can_be_read_again(store: Store) -> None:
    store.logs()
    store.metrics()
    store.spans()
    store.stats()
    store.raw()
    assert store.totals().requests
