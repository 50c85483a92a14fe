"""What an answer means and how long to wait before the next attempt. Pure: clock and chance are arguments.

Source of the statuses: Datadog API reference, "Send logs" and "Submit metrics": 408, 425, 429 and 5xx may be tried again;
any other refusal would be repeated for the same payload.
"""

from __future__ import annotations

from enum import Enum, auto

import msgspec


class Verdict(Enum):
    DELIVERED = auto()
    RETRY = auto()
    KEY_REFUSED = auto()
    """401 or 403: another key may help, the same one will not."""
    PERMANENT = auto()


def judge(status: int) -> Verdict:
    if 200 <= status < 300:
        return Verdict.DELIVERED
    if status in (401, 403):
        return Verdict.KEY_REFUSED
    if status in (408, 425, 429) or status >= 500:
        return Verdict.RETRY
    return Verdict.PERMANENT


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Up to `max_attempts` in one send; after the n-th failure a pause of half to all of base·2ⁿ⁻¹, at most `cap_s`.

    A server that asks for a longer pause gets it; when it asks for more than `patience_s`, the send ends there and its
    caller learns how long the pause is.
    """

    max_attempts: int = 4
    base_s: float = 0.1
    cap_s: float = 5.0
    patience_s: float = 30.0

    def delay_s(self, failures: int, *, chance: float, retry_after_s: float | None = None) -> float:
        """Seconds to wait after the `failures`-th failure; `chance` is in [0, 1). Never less than the server asked for."""
        backoff = min(self.cap_s, self.base_s * 2.0 ** min(failures - 1, 64))
        jittered = backoff * (0.5 + 0.5 * chance)
        return max(jittered, retry_after_s or 0.0)


def parse_retry_after(value: str | None, *, now_s: float) -> float | None:
    """Seconds from now that a Retry-After header asks for (delta or HTTP date); None when absent or unreadable."""
    if not value:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(min(int(value[:9]), 86_400))
    # Servers that write a date are rare, and this import is 4 ms of every cold start.
    from email.utils import parsedate_to_datetime

    try:
        return min(max(0.0, parsedate_to_datetime(value).timestamp() - now_s), 86_400.0)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
