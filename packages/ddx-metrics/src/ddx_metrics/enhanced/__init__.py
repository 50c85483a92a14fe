"""Enhanced metrics: what the platform tells of invocations, as distributions named aws.lambda.enhanced.*."""

from .invocation import EnhancedMetrics, EnhancedSettings

__all__ = ["EnhancedMetrics", "EnhancedSettings"]
