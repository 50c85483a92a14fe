"""What is known of one invocation, in whatever order it became known."""

from __future__ import annotations

from ..events import Report, RuntimeDone


class Invocation:
    """One run of one request id. Fields are None until the event that tells them has come; times are Unix ns.

    `invoked_ns` is when `next` returned INVOKE (None while only telemetry spoke of it), `start_ns` is platform.start's.
    `is_first` marks the first invocation of this sandbox; `cold_start` and `proactive` are decided with it, once, when
    its beginning is first heard of. `has_begun` is false for a run of which only the end was heard: it belongs to the
    life of the sandbox before this process. `earlier` is the run before this one under the same id, while its report
    may still come: Lambda tries a failed asynchronous event again under the id it had.
    """

    __slots__ = (
        "arn",
        "cold_start",
        "deadline_ms",
        "earlier",
        "has_begun",
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
        self.has_begun = True
        self.earlier: Invocation | None = None
        self.arn: str | None = None
        self.deadline_ms: int | None = None
        self.invoked_ns: int | None = None
        self.start_ns: int | None = None
        self.runtime_done: RuntimeDone | None = None
        self.report: Report | None = None

    @property
    def is_running(self) -> bool:
        return self.runtime_done is None and self.report is None
