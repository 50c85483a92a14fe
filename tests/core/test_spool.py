"""The spool: what could not be sent, for the next process of the same sandbox; bounded, private, and never in the way."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ddx_core.intake import Fanout, IntakeClient, Payload, SpooledPayload, open_fanout
from ddx_core.spool import Spool, WriteResult, not_spooled, queue_spooled, spool_queues
from ddx_core.stats import Account, Amount
from tests.support.builders import KeyRing, a_payload, an_endpoint

big = 1 << 20


def spooled(body: bytes = b"{}", *, items: int = 1, signal: str = "logs", uncertain: bool = False) -> SpooledPayload:
    return SpooledPayload(signal=signal, endpoint="main", payload=a_payload(body, items=items), uncertain=uncertain)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "nested" / "spool"


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def test_what_is_written_is_taken_once_in_order(folder: Path) -> None:
    payload = Payload(
        path="/api/v2/logs",
        content_type="application/json",
        body=bytes(range(256)),
        items=7,
        encoding="zstd",
        headers=(("X-Datadog-Trace-Count", "7"),),
    )
    payloads = [
        SpooledPayload(signal="logs", endpoint="main", payload=payload, uncertain=True),
        spooled(b"2"),
        spooled(),
    ]
    result = Spool(folder, max_bytes=big).write(payloads)
    assert list(result.kept) == payloads
    assert result.kept_amount == Amount(9, 259)
    assert result.left_out_amount == Amount()
    next_process = Spool(folder, max_bytes=big)
    assert next_process.take() == payloads
    assert next_process.take() == []
    assert files(folder) == []
    assert next_process.troubles == 0


def test_nobody_else_can_read_it(folder: Path) -> None:
    before = os.umask(0)
    try:
        Spool(folder, max_bytes=big).write([spooled()])
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(file.stat().st_mode) for file in files(folder)] == [0o600]


def test_a_folder_that_was_too_open_is_closed(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o755)
    folder.chmod(0o777)
    Spool(folder, max_bytes=big).write([spooled()])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_no_key_reaches_the_disk(folder: Path) -> None:
    """A payload has no key; this holds the whole way from a queue to the file."""
    account = Account("logs")
    fanout = open_fanout(
        account, [an_endpoint("http://x", key=KeyRing("0123456789abcdef"))], IntakeClient(), max_bytes=big
    )
    account.accept(1, 2)
    fanout.put(a_payload())
    spool_queues(Spool(folder, max_bytes=big), {"logs": fanout})
    (file,) = files(folder)
    assert b"0123456789abcdef" not in file.read_bytes()


def test_its_size_is_bounded_over_several_writes(folder: Path) -> None:
    first, second = Spool(folder, max_bytes=3000), Spool(folder, max_bytes=3000)
    assert len(first.write([spooled(b"x" * 1000)] * 2).kept) == 2
    result = second.write([spooled(b"y" * 1000), spooled(b"small")])
    assert [each.payload.body for each in result.left_out] == [b"y" * 1000]
    assert [each.payload.body for each in result.kept] == [b"small"]
    assert sum(file.stat().st_size for file in files(folder)) <= 3000
    assert len(Spool(folder, max_bytes=3000).take()) == 3


def test_zero_turns_it_off(folder: Path) -> None:
    spool = Spool(folder, max_bytes=0)
    assert len(spool.write([spooled()]).left_out) == 1
    assert spool.take() == []
    assert not folder.exists()


def test_nothing_to_write_leaves_no_trace(folder: Path) -> None:
    assert Spool(folder, max_bytes=big).write([]) == WriteResult()
    assert not folder.exists()


def test_nothing_to_take_is_no_trouble(folder: Path) -> None:
    spool = Spool(folder, max_bytes=big)
    assert spool.take() == []
    assert spool.troubles == 0


def test_the_result_can_be_logged_without_the_payloads(folder: Path) -> None:
    result = Spool(folder, max_bytes=200).write([spooled(b"secret body"), spooled(b"x" * 1000, items=3)])
    assert str(result) == "kept:1 items,11 bytes;left_out:3 items,1000 bytes"


# --- what else may lie there ------------------------------------------------------------------------------------------


def write_one(folder: Path) -> Path:
    Spool(folder, max_bytes=big).write([spooled()])
    (file,) = files(folder)
    return file


@pytest.mark.parametrize("keep", [0, 5, 13, 20, -1])
def test_a_file_cut_short_is_left_out_and_deleted(folder: Path, keep: int, caplog: pytest.LogCaptureFixture) -> None:
    file = write_one(folder)
    file.write_bytes(file.read_bytes()[:keep])
    spool = Spool(folder, max_bytes=big)
    assert spool.take() == []
    assert files(folder) == []
    assert spool.troubles == 1


def test_a_changed_bit_is_noticed(folder: Path) -> None:
    file = write_one(folder)
    content = bytearray(file.read_bytes())
    for position in range(len(content)):
        content[position] ^= 4
        file.write_bytes(content)
        assert Spool(folder, max_bytes=big).take() == []
        content[position] ^= 4


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200))
def test_any_content_is_survived(folder: Path, content: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"ddx-{1:020d}-1-000001.payload").write_bytes(content)
    assert Spool(folder, max_bytes=big).take() == []
    assert files(folder) == []


def test_other_peoples_files_are_left_alone(folder: Path) -> None:
    write_one(folder)
    (folder / "notes.txt").write_text("mine")
    (folder / "ddx-1.payload").write_text("not quite our name")
    assert len(Spool(folder, max_bytes=big).take()) == 1
    assert [file.name for file in files(folder)] == ["ddx-1.payload", "notes.txt"]


def test_an_oversized_file_is_not_read_but_deleted(folder: Path) -> None:
    folder.mkdir(parents=True)
    huge = folder / f"ddx-{1:020d}-1-000001.payload"
    with huge.open("wb") as file:
        file.truncate(1 << 40)
    spool = Spool(folder, max_bytes=big)
    assert spool.take() == []
    assert files(folder) == []
    assert spool.troubles == 1


def test_a_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    original = write_one(folder)
    target = tmp_path / "elsewhere"
    original.rename(target)
    # So long a way to it that the link is no shorter than what it leads to.
    original.symlink_to(f"{tmp_path}/{'./' * 200}elsewhere")
    assert Spool(folder, max_bytes=big).take() == []
    assert target.exists()
    assert files(folder) == []


def test_a_file_with_a_second_name_is_not_ours(folder: Path, tmp_path: Path) -> None:
    file = write_one(folder)
    os.link(file, tmp_path / "second name")
    assert Spool(folder, max_bytes=big).take() == []
    assert files(folder) == []


def test_a_pipe_holds_nobody_up(folder: Path) -> None:
    folder.mkdir(parents=True)
    os.mkfifo(folder / f"ddx-{1:020d}-1-000001.payload")
    assert Spool(folder, max_bytes=big).take() == []
    assert files(folder) == []


def test_a_folder_under_our_name_is_survived(folder: Path) -> None:
    write_one(folder)
    (folder / f"ddx-{1:020d}-1-000001.payload").mkdir()
    spool = Spool(folder, max_bytes=big)
    assert len(spool.take()) == 1
    assert spool.troubles


def test_half_written_files_of_a_killed_process_are_swept_away(folder: Path) -> None:
    file = write_one(folder)
    file.rename(folder / f".{file.name}")
    spool = Spool(folder, max_bytes=big)
    assert spool.take() == []
    assert files(folder) == []


@pytest.mark.parametrize("make", ["link", "file"])
def test_a_folder_that_is_none_keeps_nothing_and_raises_nothing(
    folder: Path, tmp_path: Path, make: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder.parent.mkdir(parents=True)
    if make == "link":
        (tmp_path / "real").mkdir()
        folder.symlink_to(tmp_path / "real")
    else:
        folder.write_text("in the way")
    spool = Spool(folder, max_bytes=big)
    assert len(spool.write([spooled()]).left_out) == 1
    assert spool.take() == []
    assert spool.troubles == 2
    assert "spool_failed" in caplog.text
    assert not list((tmp_path / "real").iterdir()) if make == "link" else True


def test_a_folder_of_another_user_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_one(folder)
    uid = os.geteuid()
    monkeypatch.setattr("os.geteuid", lambda: uid + 1)
    spool = Spool(folder, max_bytes=big)
    assert len(spool.write([spooled()]).left_out) == 1
    assert spool.take() == []
    assert len(files(folder)) == 1


# --- a disk that fails ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["open", "write", "rename", "listdir", "mkdir"])
@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_a_disk_that_fails_at_any_call_keeps_what_it_could(
    folder: Path, call: str, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    payloads = [spooled(b"a"), spooled(b"b"), spooled(b"c")]
    real: Any = getattr(os, call)
    calls = 0

    def failing(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at + 1:
            raise OSError(errno.ENOSPC, "no space left on device")
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing)
        result = Spool(folder, max_bytes=big).write(payloads)
    assert len(result.kept) + len(result.left_out) == 3
    if folder.exists():
        assert Spool(folder, max_bytes=big).take() == list(result.kept)
        assert files(folder) == []


def test_what_cannot_be_deleted_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or every process of this sandbox would deliver it again."""
    write_one(folder)

    def read_only(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.EROFS, "read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", read_only)
        assert Spool(folder, max_bytes=big).take() == []
    assert len(Spool(folder, max_bytes=big).take()) == 1


def test_short_writes_are_continued(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write

    def short(file: int, data: memoryview) -> int:
        return real(file, data[:7])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", short)
        Spool(folder, max_bytes=big).write([spooled(b"x" * 100)])
    assert Spool(folder, max_bytes=big).take()[0].payload.body == b"x" * 100


# --- between queues and spool -----------------------------------------------------------------------------------------


def a_fanout(name: str, *endpoints: str) -> tuple[Account, Fanout]:
    account = Account(name)
    fanout = open_fanout(
        account, [an_endpoint("http://x", name=each) for each in endpoints], IntakeClient(), max_bytes=big
    )
    return account, fanout


def test_from_queues_to_queues_every_account_closes(folder: Path) -> None:
    logs, logs_out = a_fanout("logs", "main", "second")
    traces, traces_out = a_fanout("traces", "main")
    logs.accept(5, 2)
    logs_out.put(a_payload(b"{}", items=5))
    traces.accept(2, 1000)
    traces_out.put(a_payload(b"t" * 1000, items=2))
    result = spool_queues(Spool(folder, max_bytes=500), {"logs": logs_out, "traces": traces_out})
    assert result.kept_amount == Amount(10, 4)
    second = logs_out.accounts[0]
    for account, kept in ((logs, 5), (second, 5), (traces, 0)):
        snapshot = account.snapshot()
        assert snapshot.closes
        assert snapshot.spooled.items == snapshot.held.items == kept
    assert traces.dropped(not_spooled) == Amount(2, 1000)

    account, fanout = a_fanout("logs", "main", "second")
    assert queue_spooled(Spool(folder, max_bytes=500), {"logs": fanout}.get) == Amount(10, 4)
    for each in (account, *fanout.accounts):
        assert each.snapshot().closes
        assert each.snapshot().held.items == each.snapshot().accepted.items == each.snapshot().restored.items == 5


def test_a_doubt_is_remembered_over_the_process(folder: Path) -> None:
    Spool(folder, max_bytes=big).write([spooled(uncertain=True), spooled()])
    _, fanout = a_fanout("logs", "main")
    queue_spooled(Spool(folder, max_bytes=big), {"logs": fanout}.get)
    assert [each.uncertain for each in fanout.primary.take_spoolable("logs")] == [True, False]


@pytest.mark.parametrize("known", ["traces", "logs"])
def test_a_payload_whose_endpoint_is_gone_is_reported(
    folder: Path, known: str, caplog: pytest.LogCaptureFixture
) -> None:
    Spool(folder, max_bytes=big).write([spooled()])
    _, fanout = a_fanout(known, "renamed")
    assert queue_spooled(Spool(folder, max_bytes=big), {known: fanout}.get) == Amount()
    assert "spooled_payload_without_endpoint signal=logs endpoint=main" in caplog.text


def test_the_format_is_told_by_its_first_line(folder: Path) -> None:
    """A later version which writes another format must not be misread by this one."""
    content = write_one(folder).read_bytes()
    assert content.startswith(b"ddxspool1\n")
    assert msgspec.msgpack.decode(content[14:], type=SpooledPayload) == spooled()
