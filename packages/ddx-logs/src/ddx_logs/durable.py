"""Durable functions: which execution a line belongs to, and the lines that wait until that is known. Pure.

The durable SDK's own lines name their execution. For all others a tracer's `aws.lambda` span tells it, usually after the
lines were written; so the lines of the last `max_invocations` request ids wait for it. Rules: a line is never dropped here:
what cannot wait any longer goes out without its execution, in the order in which it came; only the lines of functions that
are durable, or may be, wait at all.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ddx_core.stats import Account, Amount

from .record import Execution, LogRecord

max_contexts = 500
_separator = "/durable-execution/"
_marks = ("START RequestId:", "END RequestId:", "REPORT RequestId:")

Ready = list[tuple[LogRecord, str | None]]
"""Records that wait no longer, each with its request id, oldest first."""


class DurableContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a span tells of one invocation. None: the span does not say."""

    execution_id: str
    execution_name: str
    first_invocation: bool | None = None
    execution_status: str | None = None


def execution_in(arn: str) -> Execution | None:
    """The execution in `…/durable-execution/{name}/{id}`; None when the ARN names none."""
    _, found, rest = arn.partition(_separator)
    name, _, execution_id = rest.partition(_separator)[0].partition("/")
    return Execution(execution_id, name) if found and name and execution_id else None


def is_durable_runtime(runtime_version: str | None) -> bool:
    return runtime_version is not None and "DurableFunction" in runtime_version


class _Held(msgspec.Struct):
    records: list[LogRecord]
    size: int = 0


class DurableLines:
    """Sorts records into those that go on at once and those that wait for their execution.

    Every method gives back what is now ready. With `max_invocations` 0 nothing ever waits and no span is heeded.
    """

    def __init__(
        self, account: Account, *, max_invocations: int, max_bytes: int, max_items: int, is_managed: bool = False
    ) -> None:
        self._max_invocations = max_invocations
        self._max_bytes = max_bytes
        self._max_items = max_items
        self._is_managed = is_managed
        self._is_durable: bool | None = None
        self._contexts: dict[str, DurableContext] = {}
        self._held: dict[str, _Held] = {}
        self._items = 0
        self._bytes = 0
        account.held_by(self._amount)

    def __len__(self) -> int:
        return self._items

    def sort(self, record: LogRecord, request_id: str | None) -> Ready:
        """One record whose request id is settled."""
        if not self._max_invocations or request_id is None or record.execution is not None or self._is_durable is False:
            return [(record, request_id)]
        if self._is_durable and (context := self._contexts.get(request_id)) is not None:
            return [(self._enrich(record, context), request_id)]
        return self._hold(record, request_id)

    def learn_kind(self, *, is_durable: bool) -> Ready:
        """The platform has said whether this function is durable."""
        if not self._max_invocations:
            return []
        self._is_durable = is_durable
        return self._take(
            list(self._held) if not is_durable else [each for each in self._held if each in self._contexts]
        )

    def learn(self, request_id: str, context: DurableContext) -> Ready:
        """A span has told the execution of one invocation. The first one told of it counts."""
        if not self._max_invocations or request_id in self._contexts:
            return []
        self._contexts[request_id] = context
        if len(self._contexts) > max_contexts:
            del self._contexts[next(iter(self._contexts))]
        return self._take([request_id]) if self._is_durable and request_id in self._held else []

    def take_all(self) -> Ready:
        """Everything, for when no span can come any more."""
        return self._take(list(self._held))

    def _hold(self, record: LogRecord, request_id: str) -> Ready:
        ready: Ready = []
        held = self._held.get(request_id)
        if held is None:
            if len(self._held) >= self._max_invocations:
                ready = self._take([next(iter(self._held))])
            held = self._held[request_id] = _Held([])
        size = record.size
        held.records.append(record)
        held.size += size
        self._items += 1
        self._bytes += size
        while self._held and (self._bytes > self._max_bytes or self._items > self._max_items):
            ready += self._take([next(iter(self._held))])
        return ready

    def _take(self, request_ids: Iterable[str]) -> Ready:
        ready: Ready = []
        for request_id in request_ids:
            held = self._held.pop(request_id)
            self._items -= len(held.records)
            self._bytes -= held.size
            context = self._contexts.get(request_id) if self._is_durable else None
            ready += [(self._enrich(each, context) if context else each, request_id) for each in held.records]
        return ready

    def _enrich(self, record: LogRecord, context: DurableContext) -> LogRecord:
        is_mark = record.text.startswith(_marks)
        tells_status = record.text.startswith(_marks[1:] if self._is_managed else _marks[1])
        return msgspec.structs.replace(
            record,
            execution=Execution(
                context.execution_id,
                context.execution_name,
                context.first_invocation if is_mark else None,
                context.execution_status if tells_status else None,
            ),
        )

    def _amount(self) -> Amount:
        return Amount(self._items, self._bytes)
