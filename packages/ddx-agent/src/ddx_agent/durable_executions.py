"""From traces to logs: which durable execution an invocation belongs to, as the span of the invocation says."""

from __future__ import annotations

from ddx_logs.durable import DurableContext
from ddx_logs.pipeline import LogsPipeline
from ddx_traces.span import Span, TracerPayload


class DurableExecutions:
    """An observer of the traces' chunks; they pass unchanged."""

    def __init__(self, logs: LogsPipeline) -> None:
        self._logs = logs

    def on_chunk(self, spans: list[Span], payload: TracerPayload) -> list[Span]:
        for span in spans:
            if span.name == "aws.lambda" and "aws.durable.execution_id" in span.meta:
                self._learn(span.meta)
        return spans

    def _learn(self, meta: dict[str, str]) -> None:
        request_id, name = meta.get("request_id"), meta.get("aws.durable.execution_name")
        if not request_id or name is None:
            return
        first = meta.get("aws.durable.first_invocation")
        context = DurableContext(
            execution_id=meta["aws.durable.execution_id"],
            execution_name=name,
            first_invocation=None if first is None else first == "true",
            execution_status=meta.get("aws.durable.execution_status"),
        )
        self._logs.learn_execution(request_id, context)
