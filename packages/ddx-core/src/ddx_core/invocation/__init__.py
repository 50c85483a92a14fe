"""What is known of each invocation, and who is told."""

from .observer import InvocationObserver
from .record import Invocation
from .tracker import InvocationTracker

__all__ = ["Invocation", "InvocationObserver", "InvocationTracker"]
