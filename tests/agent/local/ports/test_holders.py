"""Who holds a port, as the kernel's tables and each process's descriptors tell."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from ddx_agent.local.ports.holders import SocketRow, holder_of, listen_error, parse_table

heading = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

addresses = st.sampled_from(
    ["0100007F", "00000000", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"]
)
rows = st.builds(
    SocketRow,
    port=st.integers(0, 65535),
    state=st.integers(1, 12),
    uid=st.integers(0, 2**32 - 1),
    inode=st.integers(0, 2**32 - 1),
)


def written(number: int, address: str, row: SocketRow) -> str:
    """As the kernel writes it."""
    return (
        f"{number:4}: {address}:{row.port:04X} 00000000:0000 {row.state:02X} 00000000:00000000 00:00000000 00000000"
        f" {row.uid:5}        0 {row.inode} 1 0000000000000000 100 0 0 10 0\n"
    )


@given(st.lists(st.tuples(addresses, rows), max_size=20))
@settings(max_examples=40)
def test_each_row_of_a_table_is_read_back(table: list[tuple[str, SocketRow]]) -> None:
    text = heading + "".join(written(number, address, row) for number, (address, row) in enumerate(table))
    assert parse_table(text) == [row for _, row in table]


@given(st.text(alphabet="0123456789ABCDEFG: -_\n\t\x00é", max_size=400), rows)
@settings(max_examples=40)
def test_what_is_no_row_is_passed_over(noise: str, row: SocketRow) -> None:
    assert parse_table(f"{noise}\n{written(0, '0100007F', row)}")[-1] == row


@given(rows, st.integers(0, 200))
@settings(max_examples=40)
def test_a_row_that_is_cut_short_breaks_nothing(row: SocketRow, length: int) -> None:
    assert len(parse_table(written(0, "0100007F", row)[:length])) <= 1


def test_the_listener_is_named_and_not_a_connection_to_it() -> None:
    program = (
        "import socket, sys; client = socket.create_connection(('127.0.0.1', int(sys.argv[1])));"
        "print(client.getsockname()[1], flush=True); input()"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
        command = [sys.executable, "-S", "-c", program, str(number)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
            assert client.stdout is not None
            client_port = int(client.stdout.readline())
            assert holder_of(number, is_datagram=False).startswith(f"pid {os.getpid()} (")
            # A port is taken by a connection from it, too.
            assert holder_of(client_port, is_datagram=False).startswith(f"pid {client.pid} (")
            client.communicate("\n")
        assert holder_of(number, is_datagram=True) == "a process that /proc does not tell of"


def test_a_holders_command_is_shown_without_what_a_terminal_obeys() -> None:
    program = (
        "import socket; holder = socket.create_server(('127.0.0.1', 0));"
        "print(holder.getsockname()[1], flush=True); input()"
    )
    command = [sys.executable, "-S", "-c", program, "\x1b[31mred\x07", "x" * 500]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = holder_of(int(process.stdout.readline()), is_datagram=False)
        process.communicate("\n")
    assert told.startswith(f"pid {process.pid} (")
    assert told.isprintable()
    assert len(told) < 140


def test_an_address_that_cannot_be_had_has_no_holder() -> None:
    error = listen_error(OSError(errno.EADDRNOTAVAIL, "no such address"), "192.0.2.1", 9, "the intake")
    assert (error.errno, error.strerror) == (
        errno.EADDRNOTAVAIL,
        "cannot listen on 192.0.2.1:9 (the intake): no such address",
    )
