"""Span pointers; hashes as published for Datadog's span pointers to S3 objects."""

from __future__ import annotations

import json

import pytest

from ddx_traces.process import SpanPointer, attach_pointers, hash_components

from .support import span


@pytest.mark.parametrize(
    ("components", "expected"),
    [
        (("some-bucket", "some-key.data", "ab12ef34"), "e721375466d4116ab551213fdea08413"),
        (("some-bucket", "some-key.你好", "ab12ef34"), "d1333a04b9928ab462b5c6cadfa401f4"),
        (("some-bucket", "some-key.data", "ab12ef34-5"), "2b90dffc37ebc7bc610152c3dc72af9f"),
    ],
)
def test_components_are_hashed_as_published(components: tuple[str, ...], expected: str) -> None:
    assert hash_components(*components) == expected


@pytest.mark.parametrize(
    ("before", "kept"), [(None, []), ('[{"trace_id":1}]', [{"trace_id": 1}]), ("no list", []), ("{}", [])]
)
def test_pointers_join_the_links_that_are_there(before: str | None, kept: list[object]) -> None:
    changed = span(meta={} if before is None else {"_dd.span_links": before})
    attach_pointers(changed, [SpanPointer(kind="aws.s3.object", hash="abc")])
    *others, pointer = json.loads(changed.meta["_dd.span_links"])
    assert others == kept
    assert pointer == {
        "trace_id": 0,
        "trace_id_high": 0,
        "span_id": 0,
        "attributes": {"link.kind": "span-pointer", "ptr.dir": "u", "ptr.hash": "abc", "ptr.kind": "aws.s3.object"},
        "tracestate": "",
        "flags": 0,
    }


def test_no_pointers_change_nothing() -> None:
    changed = span()
    attach_pointers(changed, [])
    assert changed.meta == {}
