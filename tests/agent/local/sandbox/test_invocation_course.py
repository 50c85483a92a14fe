"""The platform's measurements of one invocation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import trio

from ddx_agent.local.invocation import Answer, Invocation, InvokeRequest
from ddx_agent.local.sandbox.invocation_course import InvocationCourse
from tests.support.local_platform import make_function


async def test_the_response_is_measured_from_its_first_byte_to_its_last(tmp_path: Path) -> None:
    request = InvokeRequest(request_id="r", payload=b"{}", function_arn="arn", trace_header="Root=1-0-0")
    course = InvocationCourse(Invocation(request), make_function(tmp_path), init_s=None)
    course.begin_run()
    began = trio.current_time()
    course.invocation.answer_with(Answer(payload=b"1", at=began + 3.0, took_s=1.0, produced_bytes=1))
    course.runtime_done(began + 3.5)
    record: Any = msgspec.json.decode(msgspec.json.encode(course.runtime_done_record()))
    durations = {span["name"]: round(span["durationMs"], -2) for span in record["spans"]}
    assert durations == {"responseLatency": 2000, "responseDuration": 1000, "runtimeOverhead": 500}
