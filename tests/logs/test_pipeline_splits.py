"""Batches that an intake finds too large, on their way through the whole pipeline."""

from __future__ import annotations

import msgspec
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_core.intake import Coding, Compressor, Endpoint, Outcome, Payload, Sent, StaticKey
from ddx_core.pipeline import FlushKind
from ddx_logs.encode import array, split_array
from ddx_logs.settings import LogsSettings
from tests.support.cancel import cancel_at_every_step

from .support import Rig, ScriptedIntake, body_of, event, start


class NarrowIntake(ScriptedIntake):
    """Answers 413 to bodies above `most` bytes, uncompressed."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    async def send(self, endpoint: Endpoint, payload: Payload, **_: object) -> Sent:
        if len(body_of(payload)) > self.most:
            await trio.lowlevel.checkpoint()
            return Sent(outcome=Outcome.REFUSED, status=413, attempts=1)
        return await super().send(endpoint, payload)


@pytest.mark.parametrize("coding", list(Coding))
async def test_batch_that_is_too_large_arrives_in_parts_and_once(coding: Coding) -> None:
    intake = NarrowIntake(2000)
    rig = Rig(client=intake, compressor=Compressor(coding))
    rig.observe(start(), *(event("function", f"line {number}") for number in range(50)))
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert sorted(text for text, _ in intake.lines) == sorted(
        ["START RequestId: test-request-id Version: test-version", *(f"line {number}" for number in range(50))]
    )
    assert {(it.encoding, it.path, it.headers) for it in intake.payloads} == {
        (None if coding is Coding.IDENTITY else coding.value, "/api/v2/logs", (("DD-PROTOCOL", "agent-json"),))
    }
    assert (rig.delivered, rig.held) == (51, 0)
    rig.check()


async def test_line_that_is_too_large_by_itself_is_the_only_one_lost_and_is_counted() -> None:
    intake = NarrowIntake(2000)
    rig = Rig(client=intake)
    rig.observe(start(), event("function", "a"), event("function", "x" * 3000), event("function", "b"))
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert {text for text, _ in intake.lines if len(text) == 1} == {"a", "b"}
    assert rig.account.dropped("refused_413").items == 1
    assert (rig.delivered, rig.held) == (3, 0)
    rig.check()


async def test_split_cancelled_at_any_step_loses_nothing_and_repeats_nothing() -> None:
    intake = NarrowIntake(0)
    rig = Rig()

    async def operation() -> None:
        nonlocal intake, rig
        intake = NarrowIntake(1000)
        rig = Rig(LogsSettings(max_batch_items=6), client=intake)
        rig.observe(start(), *(event("function", f"line {number}") for number in range(11)))
        await rig.pipeline.flush(FlushKind.BLOCKING)

    async def check(completed: bool) -> None:
        rig.check()
        assert rig.delivered + rig.held == 12
        assert not completed or not rig.held
        await rig.pipeline.flush(FlushKind.FINAL)
        assert len(set(intake.lines)) == len(intake.lines) == rig.delivered == 12
        rig.check()

    assert await cancel_at_every_step(operation, check) > 5


items = st.lists(st.recursive(st.integers() | st.text(max_size=9), lambda it: st.lists(it, max_size=3)), max_size=9)


@settings(deadline=None)
@given(items)
def test_parts_of_an_array_are_its_items_in_their_order(values: list[object]) -> None:
    body = array([msgspec.json.encode(value) for value in values])
    parts = split_array(body)
    if len(values) < 2:
        assert parts == []
        return
    decoded = [msgspec.json.decode(part, type=list[object]) for part, _ in parts]
    assert [item for part in decoded for item in part] == values
    assert [len(part) for part in decoded] == [count for _, count in parts]
    assert all(decoded)


def test_parts_are_about_the_same_in_bytes() -> None:
    parts = split_array(array([b"1"] * 300 + [b'"%b"' % (b"x" * 600)]))
    assert [count for _, count in parts] == [300, 1]


@pytest.mark.parametrize(
    "payload",
    [
        Payload(path="", content_type="", body=b"{}", items=2),
        Payload(path="", content_type="", body=b"[1,2", items=2),
        Payload(path="", content_type="", body=b"nonsense", items=2, encoding="zstd"),
        Payload(path="", content_type="", body=b"nonsense", items=2, encoding="gzip"),
        Payload(path="", content_type="", body=b"[1,2]", items=2, encoding="br"),
        # Another number of items than is accounted for: nothing may be made up.
        Payload(path="", content_type="", body=b"[1,2]", items=3),
    ],
)
async def test_what_is_no_batch_of_ours_is_dropped_and_counted(payload: Payload) -> None:
    class Refusing:
        carrier = None

        async def send(self, endpoint: Endpoint, payload: Payload, **_: object) -> Sent:
            return await ScriptedIntake([413]).send(endpoint, payload)

        def wall_clock(self) -> int:
            return 0

    rig = Rig(client=Refusing(), endpoints=[Endpoint(name="e", base_url="http://e", key=StaticKey("k"))])
    rig.account.accept(payload.items, payload.size)
    rig.fanout.put(payload)
    await rig.pipeline.flush(FlushKind.BLOCKING)
    assert rig.account.dropped("refused_413").items == payload.items
    rig.check()
