"""What came of a sample event, against what it expects."""

from __future__ import annotations

from typing import Any

import pytest

from ddx_agent.local.function import Sample
from ddx_agent.local.report.played import played
from tests.support.local_platform import make_result


@pytest.mark.parametrize(
    ("expect", "status", "as_expected"),
    [
        ("success", "success", True),
        ("success", "timeout", False),
        ("error", "error", True),
        ("error", "success", False),
    ],
)
def test_outcome_is_compared_with_what_the_sample_says(expect: Any, status: str, as_expected: bool) -> None:
    each = played(Sample(name="s", payload=b"{}", expect=expect), make_result(status=status))
    assert each.as_expected is as_expected


def test_failure_of_an_extension_is_never_what_a_sample_expects() -> None:
    result = make_result(status="error", function_error="Unhandled", error_type="Extension.Crash")
    each = played(Sample(name="s", payload=b"{}", expect="error"), result)
    assert (each.outcome, each.as_expected) == ("failure", False)


def test_error_is_named_as_the_function_names_it() -> None:
    result = make_result(
        status="error", function_error="Unhandled", error_type="Runtime.Unknown", payload=b'{"errorType":"NoStock"}'
    )
    assert played(Sample(name="s", payload=b"{}"), result).error_type == "NoStock"
