"""How often the function is invoked: the times of the last invocations. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

look_back: Final = 20


class Cadence:
    """Remembers when the last `look_back` invocations began, in ms of any monotonic scale."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: deque[int] = deque(maxlen=look_back)

    def record(self, now_ms: int) -> None:
        self._times.append(now_ms)

    def span_ms(self) -> int | None:
        """From the oldest to the newest; None until `look_back` invocations were seen."""
        if len(self._times) < look_back:
            return None
        return max(0, self._times[-1] - self._times[0])

    def mean_gap_ms(self) -> float:
        span = self.span_ms()
        return (span or 0) / (look_back - 1)
