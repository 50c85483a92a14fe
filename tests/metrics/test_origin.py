"""Origin metadata by name and platform."""

from __future__ import annotations

import pytest

from ddx_metrics.origin import (
    Origin,
    app_service,
    azure_function,
    cloud_run,
    container_app,
    is_enhanced,
    lambda_function,
    origin_of,
)


@pytest.mark.parametrize(
    ("name", "category", "expected"),
    [
        ("runtime.memory.used", lambda_function, Origin(1, 38, 474)),
        ("jvm.memory.used", lambda_function, Origin(1, 38, 474)),
        ("aws.lambda.enhanced.invocations", lambda_function, Origin(1, 38, 473)),
        ("my.custom.metric", lambda_function, Origin(1, 38, 472)),
        ("gcp.run.enhanced.cold_start", cloud_run, Origin(1, 36, 473)),
        ("my.custom.metric", cloud_run, Origin(1, 36, 472)),
        ("my.custom.metric", app_service, Origin(1, 35, 472)),
        ("my.custom.metric", container_app, Origin(1, 37, 472)),
        ("azure.functions.enhanced.instance", azure_function, Origin(1, 71, 473)),
        ("datadog.agent.running", lambda_function, None),
        ("unknown.metric", None, None),
    ],
)
def test_a_metric_has_its_origin(name: str, category: int | None, expected: Origin | None) -> None:
    assert origin_of(name, category) == expected


def test_two_words_make_a_metric_the_platforms() -> None:
    assert is_enhanced("aws.lambda.enhanced.errors")
    assert not is_enhanced("aws.lambdas.enhanced")
    assert not is_enhanced("aws")
