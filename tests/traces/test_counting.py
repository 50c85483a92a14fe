"""Which spans count, and as what."""

from __future__ import annotations

from typing import Any

import pytest

from ddx_traces.stats.counting import is_counted, read_key
from ddx_traces.stats.counting import peer_tags as peer_tag_keys

from .support import span


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, False),
        ({"metrics": {"_top_level": 1.0}}, True),
        ({"metrics": {"_top_level": 0.0}}, False),
        ({"metrics": {"_dd.top_level": 1.0}}, True),
        ({"metrics": {"_dd.measured": 1.0}}, True),
        ({"meta": {"span.kind": "client"}}, True),
        ({"meta": {"span.kind": "SERVER"}}, True),
        ({"meta": {"span.kind": "Consumer"}}, True),
        ({"meta": {"span.kind": "producer"}}, True),
        ({"meta": {"span.kind": "internal"}}, False),
        ({"metrics": {"_top_level": 1.0, "_dd.partial_version": 0.0}}, False),
        ({"metrics": {"_top_level": 1.0, "_dd.partial_version": -1.0}}, True),
    ],
)
def test_entries_measured_spans_and_calls_count(fields: dict[str, Any], expected: bool) -> None:
    assert is_counted(span(**fields)) is expected


def test_what_a_span_says_makes_its_key() -> None:
    key = read_key(
        span(
            type="web",
            parent_id=3,
            meta={
                "span.kind": "Server",
                "http.method": "GET",
                "http.route": "/users/:id",
                "_dd.svc_src": "m",
                "http.status_code": "404",
                "_dd.origin": "synthetics-browser",
                "rpc.grpc.status_code": "NOT_FOUND",
                "_dd.base_service": "orders",
                "db.name": "not a peer of a server",
            },
        )
    )
    assert key == (
        "web", "request", "GET /", "web", "Server", 404, "5", "GET", "/users/:id", "m", True, 2, ("_dd.base_service:orders",),
    )  # fmt: skip
    assert read_key(span(meta={"http.endpoint": "/users/{}", "http.route": "/x"})).http_endpoint == "/users/{}"
    assert read_key(span()).trace_root == 1


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 0),
        ({"meta": {"http.status_code": "200"}}, 200),
        ({"meta": {"http.status_code": "abc"}}, 0),
        ({"meta": {"http.status_code": "9" * 30}}, 0),
        ({"meta": {"http.status_code": "200"}, "metrics": {"http.status_code": 404.9}}, 404),
        ({"metrics": {"http.status_code": -1.0}}, 0),
        ({"metrics": {"http.status_code": float("nan")}}, 0),
        ({"metrics": {"http.status_code": 1e300}}, 0),
    ],
)
def test_http_status(fields: dict[str, Any], expected: int) -> None:
    assert read_key(span(**fields)).http_status_code == expected


@pytest.mark.parametrize(
    ("meta", "metrics", "expected"),
    [
        ({}, {}, ""),
        ({"grpc.code": "0"}, {}, "0"),
        ({"grpc.code": "255"}, {}, "255"),
        ({"grpc.code": "256"}, {}, ""),
        ({"grpc.code": "Canceled"}, {}, "1"),
        ({"grpc.code": "CANCELLED"}, {}, "1"),
        ({"grpc.code": "StatusCode.UNAVAILABLE"}, {}, "14"),
        ({"grpc.code": "DeadlineExceeded"}, {}, "4"),
        ({"grpc.code": "deadline_exceeded"}, {}, "4"),
        ({"grpc.status.code": "UNAUTHENTICATED"}, {}, "16"),
        ({"rpc.grpc.status_code": "nonsense", "rpc.grpc.status.code": "7"}, {}, "7"),
        ({}, {"grpc.status.code": 13.0}, "13"),
        ({}, {"grpc.status.code": 13.5}, ""),
        ({}, {"grpc.status.code": 256.0}, ""),
        ({"grpc.code": "OK"}, {"rpc.grpc.status_code": 2.0}, "0"),
    ],
)
def test_grpc_status(meta: dict[str, str], metrics: dict[str, float], expected: str) -> None:
    assert read_key(span(meta=meta, metrics=metrics)).grpc_status_code == expected


def test_peers_are_told_in_the_order_of_the_list_and_without_addresses() -> None:
    meta = {
        "out.host": "10.0.0.1:5432",
        "db.system": "postgres",
        "db.instance": "",
        "span.kind": "CLIENT",
        "other": "x",
    }
    assert read_key(span(meta=meta)).peer_tags == (
        "db.instance",
        "db.system:postgres",
        "out.host:blocked-ip-address:5432",
    )
    every = dict.fromkeys(reversed(peer_tag_keys), "v") | {"span.kind": "producer"}
    assert read_key(span(meta=every)).peer_tags == tuple(f"{key}:v" for key in peer_tag_keys)


def test_long_texts_are_cut() -> None:
    key = read_key(span(resource="é" * 5000, meta={"http.method": "m" * 5000}))
    assert (len(key.resource.encode()), len(key.http_method)) == (5000, 1000)
