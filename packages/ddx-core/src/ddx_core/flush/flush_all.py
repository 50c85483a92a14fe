"""flush_all: every pipeline at once, one deadline."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import trio

from .. import log
from ..pipeline import FlushKind, Pipeline


class FlushResult(msgspec.Struct, frozen=True, kw_only=True):
    """`in_time` is false when the deadline cut the flush short; what was not sent is still held."""

    seconds: float
    in_time: bool
    failed: tuple[str, ...] = ()


async def flush_all(
    pipelines: Sequence[Pipeline], kind: FlushKind, *, seconds: float, shield: bool = True
) -> FlushResult:
    """Flush all signals side by side for at most `seconds` (none left: 0). One signal's failure does not touch the others.

    Unless `shield` is false the caller's cancellation does not cut it short.
    """
    began = trio.current_time()
    failed: list[str] = []

    async def flush_one(pipeline: Pipeline) -> None:
        try:
            await pipeline.flush(kind)
        except* Exception as failures:
            # `except*`: a failure may come in one group with the cancellation at the deadline, which must pass on alone.
            failed.append(pipeline.name)
            log.error("flush_failed", about=pipeline.name, exc_info=failures)

    with trio.move_on_after(max(0.0, seconds), shield=shield) as scope:
        async with trio.open_nursery() as nursery:
            for pipeline in pipelines:
                nursery.start_soon(flush_one, pipeline)
    return FlushResult(
        seconds=trio.current_time() - began, in_time=not scope.cancelled_caught, failed=tuple(sorted(failed))
    )
