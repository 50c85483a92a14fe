"""The vectors of the vendor's agents (libdatadog, libdd-trace-normalization; datadog-agent, pkg/trace/traceutil/normalize)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddx_traces.process import Normalizer
from ddx_traces.process.normalize import is_status_code, normalize_name, normalize_service, normalize_tag
from ddx_traces.span import Span

from .support import now, span


def normalized(**fields: Any) -> Span:
    changed = span(**fields)
    Normalizer(lambda: now).apply(changed)
    return changed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#test_starting_hash", "test_starting_hash"),
        ("TestCAPSandSuch", "testcapsandsuch"),
        ("Test Conversion Of Weird !@#$%^&**() Characters", "test_conversion_of_weird_characters"),
        ("$#weird_starting", "weird_starting"),
        ("allowed:c0l0ns", "allowed:c0l0ns"),
        ("1love", "love"),
        ("ünicöde:metäl", "ünicöde:metäl"),
        ("Data🐨dog🐶 繋がっ⛰てて", "data_dog_繋がっ_てて"),
        (" spaces   ", "spaces"),
        (" #hashtag!@#spaces #__<>#  ", "hashtag_spaces"),
        (":testing", ":testing"),
        ("_foo", "foo"),
        (":::test", ":::test"),
        ("contiguous_____underscores", "contiguous_underscores"),
        ("foo_", "foo"),
        ("ſodd_ſcaseſ", "ſodd_ſcaseſ"),
        ("", ""),
        (" ", ""),
        ("™Ö™Ö™™Ö™", "ö_ö_ö"),
        ("AlsO:ök", "also:ök"),
        ("___trim", "trim"),
        ("12.:trim@", ":trim"),
        ("12.:trim@@", ":trim"),
        ("fun:ky__tag/1", "fun:ky_tag/1"),
        ("fun:ky@@@tag/3", "fun:ky_tag/3"),
        ("tag:1/2.3", "tag:1/2.3"),
        ("---fun:k####y_ta@#g/1_@@#", "fun:k_y_ta_g/1"),
        ("AlsO:œ#@ö))œk", "also:œ_ö_œk"),
        ("a" * 888, "a" * 200),
        ("a" + "🐶" * 799, "a"),
        ("a\ufffd", "a"),
        ("a\ufffd\ufffd", "a"),
        ("a\ufffd\ufffdb", "a_b"),
        ("A" + "0" * 197 + " " + "0" * 12, "a" + "0" * 197 + "_0"),
    ],
)
def test_tags_are_normalized_as_published(text: str, expected: str) -> None:
    assert normalize_tag(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "unnamed-service"),
        ("good", "good"),
        ("Too$Long$." * 20, "too_long_." * 10),
        ("bad&service", "bad_service"),
        ("retargeting(api-Staging ", "retargeting_api-staging"),
    ],
)
def test_services_are_normalized_as_published(text: str, expected: str) -> None:
    assert normalize_service(text) == normalized(service=text).service == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "unnamed_operation"),
        ("good", "good"),
        ("Too-Long-." * 20, "Too_Long." * 10),
        ("bad-name", "bad_name"),
        ("&***", "unnamed_operation"),
        ("&&&&&&&_test-name-", "test_name"),
        ("pylons.controller", "pylons.controller"),
        ("trace-api.request", "trace_api.request"),
        ("/", "unnamed_operation"),
        ("aé1", "a_1"),
    ],
)
def test_names_are_normalized_as_published(text: str, expected: str) -> None:
    assert normalize_name(text) == normalized(name=text).name == expected


@pytest.mark.parametrize(
    ("start", "duration", "expected"),
    [
        (-(2**63), 1, (now - 1, 1)),
        (2**63 - 1, 1, (2**63 - 1, 0)),
        (42, 10, (now - 10, 10)),
        (42, 2 * now, (now, 2 * now)),
        (now, 2**63 - 1, (now, 0)),
        (now, -50, (now, 0)),
        (946_684_800_000_000_000, 1, (946_684_800_000_000_000, 1)),
        (946_684_799_999_999_999, 0, (now, 0)),
    ],
)
def test_times_that_cannot_be_are_mended(start: int, duration: int, expected: tuple[int, int]) -> None:
    changed = normalized(start=start, duration=duration)
    assert (changed.start, changed.duration) == expected


@pytest.mark.parametrize("text", ["100", "200", "599", "0200"])
def test_status_codes_within_range_are_kept(text: str) -> None:
    assert is_status_code(text)
    assert normalized(meta={"http.status_code": text}).meta == {"http.status_code": text}


@pytest.mark.parametrize("text", ["", "99", "600", "Invalid status code", "-200", "2 0", "٢٠٠", "9" * 5000])
def test_other_status_codes_are_removed(text: str) -> None:
    assert not is_status_code(text)
    assert normalized(meta={"http.status_code": text, "kept": "1"}).meta == {"kept": "1"}


def test_parent_equal_to_both_ids_is_no_parent() -> None:
    assert normalized(trace_id=42, span_id=42, parent_id=42).parent_id == 0
    assert normalized(trace_id=41, span_id=42, parent_id=42).parent_id == 42


def test_empty_resource_becomes_the_normalized_name() -> None:
    assert normalized(name="bad-name", resource="").resource == "bad_name"


def test_type_is_cut_at_a_hundred_bytes_between_characters() -> None:
    assert normalized(type="t" * 300).type == "t" * 100
    assert normalized(type="a" + "é" * 100).type == "a" + "é" * 49
    assert normalized(type="").type == ""


def test_environment_passes_the_tag_rule() -> None:
    assert normalized(meta={"env": "DEVELOPMENT"}).meta == {"env": "development"}


def test_remembered_results_are_the_same_and_bounded() -> None:
    normalizer = Normalizer(lambda: now)
    for number in range(5000):
        for _ in range(2):
            changed = span(service=f"Service {number}", name=f"name-{number}")
            normalizer.apply(changed)
            assert (changed.service, changed.name) == (f"service_{number}", f"name_{number}")
    assert len(normalizer._services) <= 2048  # pyright: ignore[reportPrivateUsage]


@given(st.text(max_size=500))
def test_normalized_texts_are_fixed_points_within_the_limits(text: str) -> None:
    tag = normalize_tag(text)
    assert normalize_tag(tag) == tag
    assert len(tag) <= 200
    name = normalize_name(text)
    assert normalize_name(name) == name
    assert name.isascii()
    assert len(name) <= 100
    service = normalize_service(text)
    assert service
    assert len(service.encode()) <= 200


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x" * 5000, "x" * 5000),
        ("x" * 5001, "x" * 5000),
        ("é" * 2501, "é" * 2500),
        ("x" + "é" * 2500, "x" + "é" * 2499),
    ],
)
def test_long_resources_are_cut_between_characters(text: str, expected: str) -> None:
    assert normalized(resource=text).resource == expected


def test_long_keys_and_values_are_cut_and_marked() -> None:
    changed = normalized(
        meta={"k" * 201: "v", "plain": "v" * 25_001, "kept": "v" * 25_000, "é" * 100: "x"},
        metrics={"m" * 201: 1.0, "short": 2.0},
    )
    assert changed.meta == {
        "k" * 200 + "...": "v",
        "plain": "v" * 25_000 + "...",
        "kept": "v" * 25_000,
        "é" * 100: "x",
    }
    assert changed.metrics == {"m" * 200 + "...": 1.0, "short": 2.0}


@pytest.mark.parametrize("key", ["_dd.span_links", "_dd.appsec.json", "events"])
def test_documents_in_tags_are_not_cut_to_pieces(key: str) -> None:
    assert normalized(meta={key: "v" * 30_000}).meta[key] == "v" * 30_000
