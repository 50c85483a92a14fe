"""What is known of one invocation, in whatever order it became known."""

from __future__ import annotations

from ..lifecycle.events import Report, RuntimeDone


class Invocation:
    """One request id. Fields are None until the event that tells them has come; times are Unix ns.

    `invoked_ns` is when `next` returned INVOKE (None while only telemetry spoke of it), `start_ns` is platform.start's.
    `is_first` marks the first invocation of this sandbox; `cold_start` and `proactive` are decided once, when the
    invocation is first heard of, and never change.
    """

    __slots__ = (
        "arn",
        "cold_start",
        "deadline_ms",
        "invoked_ns",
        "is_first",
        "proactive",
        "report",
        "request_id",
        "runtime_done",
        "start_ns",
    )

    def __init__(self, request_id: str, *, is_first: bool, cold_start: bool, proactive: bool) -> None:
        self.request_id = request_id
        self.is_first = is_first
        self.cold_start = cold_start
        self.proactive = proactive
        self.arn: str | None = None
        self.deadline_ms: int | None = None
        self.invoked_ns: int | None = None
        self.start_ns: int | None = None
        self.runtime_done: RuntimeDone | None = None
        self.report: Report | None = None

    @property
    def is_running(self) -> bool:
        return self.runtime_done is None and self.report is None
