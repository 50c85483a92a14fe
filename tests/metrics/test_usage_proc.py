"""Files of /proc, real and broken ones, and a folder that plays a machine."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ddx_core.errors import MalformedInput
from ddx_metrics.usage import Cpu, Network, ProcReader
from ddx_metrics.usage.proc import parse_cpu, parse_network, parse_soft_limit, parse_uptime_ms

header = b"""Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0
"""
zeros = b"    0    0    0     0          0         0"
managed = header + b" Veth0:  9     9" + zeros + b"     8    8" + zeros + b"\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (header + b"vinternal_1:     180       3" + zeros + b"      254       4" + zeros + b"\n", Network(180, 254)),
        (header + b"  vint_runtime: 180 3" + zeros + b" 254 4" + zeros, Network(180, 254)),
        (managed + b" Ceth1:  309048     577" + zeros + b"    84870     696" + zeros, Network(309048, 84870)),
    ],
)
def test_the_functions_interface_tells_its_bytes(text: bytes, expected: Network) -> None:
    assert parse_network(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        header + b"vinternal_1:     180       3    0    0    0 ...\n",
        header + b"vinternal_1:     INVALID       3" + zeros + b"      254       4" + zeros,
        header + b"vinternal_1:     180       3" + zeros + b"      -254       4" + zeros,
        header + b"telemetry1_sb: 180 3" + zeros + b" 254 4" + zeros,
        header,
        managed,
        b"",
    ],
)
def test_no_bytes_are_read_from_anything_else(text: bytes) -> None:
    with pytest.raises(MalformedInput):
        parse_network(text)


stat = b"""cpu  2337 0 188 17838 8 0 16 181 0 0
cpu0 884 0 100 9188 5 0 10 99 0 0
cpu1 1453 0 87 8649 2 0 6 82 0 0
intr 2185 0 0
ctxt 1
"""


def test_ticks_become_milliseconds() -> None:
    assert parse_cpu(stat, 100) == Cpu(23370, 1880, 178380, {"cpu0": 91880, "cpu1": 86490})
    assert parse_cpu(stat, 1000).user_ms == 2337


@pytest.mark.parametrize(
    "text",
    [
        b"cpu  2337\n",
        b"cpu  2337 0 INVALID 17838 8\ncpu0 884 0 100 9188\n",
        b"cpu  INVALID 0 188 17838 8\ncpu0 884 0 100 9188\n",
        b"cpu  2337 0 188 17838 8\ncpu0 884 0 100 9188\ncpu1 884 0 ...\n",
        b"cpu  2337 0 188 17838 8 0 16 181 0 0\n",
        b"cpu0 884 0 100 9188 5\n",
        b"",
    ],
)
def test_a_stat_file_without_all_of_it_tells_nothing(text: bytes) -> None:
    with pytest.raises(MalformedInput):
        parse_cpu(text, 100)


def test_the_uptime_becomes_milliseconds() -> None:
    assert parse_uptime_ms(b"3213103123 32131\n") == 3_213_103_123_000
    assert parse_uptime_ms(b"12.34 5.6") == pytest.approx(12340)


@pytest.mark.parametrize("text", [b"3213103123 INVALID", b"3213103123", b"", b"\n1 2", b"1_0 2", b"nan 1", b". 1"])
def test_an_uptime_is_two_numbers(text: bytes) -> None:
    with pytest.raises(MalformedInput):
        parse_uptime_ms(text)


limits = b"""Limit                     Soft Limit           Hard Limit           Units
Max processes             1024                 1024                 processes
Max open files            900                  1024                 files
Max file size             unlimited            unlimited            bytes
"""


@pytest.mark.parametrize(
    ("name", "expected"),
    [(b"Max open files", 900), (b"Max processes", 1024), (b"Max file size", None), (b"Max of nothing", None)],
)
def test_soft_limits_are_found_by_name(name: bytes, expected: int | None) -> None:
    assert parse_soft_limit(limits, name) == expected


proc_text = st.binary(max_size=200) | st.lists(
    st.sampled_from(
        [b"cpu", b"cpu0", b"cpu99999999", b"vinternal_1:", b"Max open files", b" ", b"\n", b"\0", b"\xff", b"-1", b"1.5",
         b"9" * 5000, b"0", b"17", b"nan", b"1_0", b"\xc2\xb2"]
    ),
    max_size=40,
).map(b"".join)  # fmt: skip


@given(proc_text)
@example(b"vinternal_1: " + b"9 " * 20)
def test_any_bytes_are_numbers_or_malformed_input(text: bytes) -> None:
    parsers: list[Callable[[bytes], object]] = [parse_network, lambda raw: parse_cpu(raw, 100), parse_uptime_ms]
    for parse in parsers:
        with suppress(MalformedInput):
            assert parse(text) is not None
    limit = parse_soft_limit(text, b"Max open files")
    assert limit is None or limit >= 0


# --- a folder that plays a machine ------------------------------------------------------------------------------------


def machine(root: Path, *pids: str) -> ProcReader:
    for pid in pids:
        (root / pid).mkdir(parents=True)
    return ProcReader(str(root), str(root), ticks_per_s=100)


def test_processes_are_folders_with_numbers(tmp_path: Path) -> None:
    reader = machine(tmp_path, "13", "142", "net", "self")
    (tmp_path / "99").write_text("no folder")
    assert sorted(reader.pids()) == ["13", "142"]
    assert ProcReader(str(tmp_path / "nowhere")).pids() == []


@pytest.mark.parametrize(
    ("of_13", "of_142", "expected"),
    [
        (limits, limits.replace(b"900", b"1024"), (900, 1024)),
        (b"Max open files            1024\nMax processes             1024\n", None, (1024, 1024)),
        (b"nothing of interest\n", b"Max open files            unlimited\n", (1024, 1024)),
        (b"Max open files            0\n", b"Max processes   5  5  processes\n", (0, 5)),
        (b"Max open files            2048\n", None, (1024, 1024)),
        (None, None, (1024, 1024)),
    ],
)
def test_the_lowest_limit_of_any_process_counts(
    tmp_path: Path, of_13: bytes | None, of_142: bytes | None, expected: tuple[int, int]
) -> None:
    reader = machine(tmp_path, "13", "142")
    for pid, text in (("13", of_13), ("142", of_142)):
        if text is not None:
            (tmp_path / pid / "limits").write_bytes(text)
    assert reader.limits(reader.pids()) == expected


def test_descriptors_and_threads_of_all_processes_are_counted(tmp_path: Path) -> None:
    reader = machine(tmp_path, "31", "142", "7")
    for pid, descriptors, threads in (("31", 3, 3), ("142", 2, 2)):
        for number in range(descriptors):
            (tmp_path / pid / "fd").mkdir(exist_ok=True)
            (tmp_path / pid / "fd" / str(number)).write_text("")
        for number in range(threads):
            (tmp_path / pid / "task" / str(number)).mkdir(parents=True)
    (tmp_path / "142" / "task" / "1999").write_text("a file is no thread")
    # 7 has ended in between: it costs itself.
    assert reader.descriptors(reader.pids()) == 5
    assert reader.threads(reader.pids()) == 5
    assert reader.threads(["7"]) is None
    assert reader.threads([]) is None
    assert reader.descriptors(["7"]) == 0


def test_what_cannot_be_read_is_none(tmp_path: Path) -> None:
    reader = ProcReader(str(tmp_path / "nowhere"), str(tmp_path / "nowhere"))
    assert (reader.network(), reader.cpu(), reader.uptime_ms(), reader.tmp()) == (None, None, None, None)
    reader = machine(tmp_path, "stat")
    (tmp_path / "uptime").write_text("soon")
    assert (reader.cpu(), reader.uptime_ms()) == (None, None)


def test_a_machines_files_are_read(tmp_path: Path) -> None:
    reader = machine(tmp_path, "net")
    (tmp_path / "net" / "dev").write_bytes(header + b"vinternal_1: 180 3" + zeros + b" 254 4" + zeros)
    (tmp_path / "stat").write_bytes(stat)
    (tmp_path / "uptime").write_bytes(b"10.5 3\n")
    assert reader.network() == Network(180, 254)
    cpu = reader.cpu()
    assert cpu is not None
    assert cpu.user_ms == 23370
    assert reader.uptime_ms() == 10500
    space = reader.tmp()
    assert space is not None
    assert 0 < space.used <= space.size


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="there is no /proc here")
def test_this_machine_can_be_read() -> None:
    reader = ProcReader()
    pids = reader.pids()
    assert pids
    assert reader.cpu() is not None
    assert reader.uptime_ms() is not None
    assert reader.descriptors(pids) > 0
    assert reader.threads(pids)
