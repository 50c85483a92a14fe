"""Origin metadata: which product, platform and kind of metric a series comes from. Pure.

The numbers are the intake's (DataDog/datadog-agent, pkg/serializer and the serverless agents' origin enums). The platform
is told by who assembles the pipeline, never guessed from tags: a user may exclude the tag it would be guessed from.
"""

from __future__ import annotations

from typing import Final

import msgspec

serverless_product: Final = 1

app_service: Final = 35
cloud_run: Final = 36
container_app: Final = 37
lambda_function: Final = 38
azure_function: Final = 71

_custom: Final = 472
_enhanced: Final = 473
_runtime: Final = 474

_enhanced_platforms: Final = frozenset(["aws.lambda", "gcp.run", "azure.functions"])


class Origin(msgspec.Struct, frozen=True):
    product: int
    category: int
    service: int


def is_enhanced(name: str) -> bool:
    """Whether the platform is what the metric tells of."""
    return ".".join(name.split(".", 2)[:2]) in _enhanced_platforms


def origin_of(name: str, category: int | None) -> Origin | None:
    """None for what Datadog's own software tells of itself, and where the platform has no number."""
    if category is None or name.startswith("datadog."):
        return None
    return Origin(serverless_product, category, _service_of(name))


def _service_of(name: str) -> int:
    if name.startswith(("jvm.", "runtime.")):
        return _runtime
    return _enhanced if is_enhanced(name) else _custom
