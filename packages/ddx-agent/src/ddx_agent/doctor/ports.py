"""The extension's ports: free, its own already, or somebody else's."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping

import msgspec

from ddx_agent.aws import AwsError, HttpClient
from ddx_agent.ports import CannotBind, Port, bind, ports
from ddx_agent.variables import read_environment

from .findings import Finding, Findings


class PortState(msgspec.Struct, frozen=True):
    """`holder` is "" for a free port; `trouble` is why a port could not be tried at all, `wrong_host` the variable that names
    an address where none can be. `variable` moves it. One that `is_off` was not tried."""

    number: int
    purpose: str
    protocol: str
    variable: str
    holder: str = ""
    trouble: str = ""
    wrong_host: str = ""
    is_off: bool = False


class PortsSeen(msgspec.Struct, frozen=True):
    """`own_version` is that of an extension of ours that answers in this sandbox."""

    states: tuple[PortState, ...]
    own_version: str | None = None


class _Status(msgspec.Struct):
    version: str
    mode: str


async def look_at_ports(environ: Mapping[str, str]) -> PortsSeen:
    """Binds each port for a moment. Where one is taken, asks whether a running extension of ours has it."""
    variables = read_environment(environ)
    states = tuple(_look_at(port, variables) for port in ports)
    lifecycle = next(state for state in states if state.purpose == "lifecycle")
    return PortsSeen(states, await _own_version(lifecycle.number) if lifecycle.holder else None)


def judge_ports(seen: PortsSeen) -> list[Finding]:
    found = Findings("ports")
    lifecycle = next((state for state in seen.states if state.purpose == "lifecycle"), None)
    for state in seen.states:
        about = f"{state.number}/{state.protocol} ({state.purpose})"
        if state.is_off:
            found.note(f"{state.purpose}: switched off, nothing listens")
        elif state.wrong_host:
            found.warning(
                f"{about} cannot be bound at the address in {state.wrong_host}: {state.trouble}",
                f"set {state.wrong_host} to an address of this machine, or take it out",
            )
        elif state.trouble:
            found.warning(f"{about} cannot be bound: {state.trouble}", f"set {state.variable} to another port")
        elif not state.number:
            found.note(f"{state.purpose}: any free port ({state.variable} is 0)")
        elif not state.holder:
            found.ok(f"{about} is free")
        elif seen.own_version is not None and lifecycle is not None and _is_one_program(state.holder, lifecycle.holder):
            found.ok(f"{about} is held by the running ddx {seen.own_version}")
        else:
            found.warning(
                f"{about} is held by {state.holder}",
                f"end that process (a second agent or extension?), or set {state.variable} to another port, and the same "
                "for the libraries that send there",
            )
    return list(found)


def _look_at(port: Port, variables: Mapping[str, str]) -> PortState:
    number, _ = port.number(variables)
    state = PortState(number, port.purpose, "udp" if port.is_datagram else "tcp", port.variable)
    if port.is_off(variables):
        return msgspec.structs.replace(state, is_off=True)
    try:
        bind(port, variables).close()
    except CannotBind as error:
        if error.errno == errno.EADDRINUSE:
            return msgspec.structs.replace(state, holder=_holder(number, is_datagram=port.is_datagram))
        wrong_host = port.host_variable if _is_about_the_host(error) else None
        return msgspec.structs.replace(state, trouble=str(error).lower(), wrong_host=wrong_host or "")
    return state


def _is_about_the_host(error: CannotBind) -> bool:
    """Whether no port could be bound there: the name is none, or nobody's, or that of another machine."""
    is_no_name = error.errno is None or isinstance(error.__cause__, socket.gaierror)
    return is_no_name or error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def _holder(number: int, *, is_datagram: bool) -> str:
    try:
        from ddx_agent.local.ports.holders import holder_of
    except ImportError:
        # The Lambda layer leaves the local platform out.
        return "another process"
    return holder_of(number, is_datagram=is_datagram)


def _is_one_program(holder: str, other: str) -> bool:
    """The extension is two processes of one command; where the machine tells no command, nothing speaks against it."""
    commands = [text.partition("(")[2] for text in (holder, other)]
    return not all(commands) or commands[0] == commands[1]


async def _own_version(number: int) -> str | None:
    client = HttpClient()
    try:
        answer = await client.call("status", "GET", f"http://127.0.0.1:{number}/ddx/status", headers={})
        return msgspec.json.decode(answer.body, type=_Status).version if answer.status == 200 else None
    except (AwsError, msgspec.MsgspecError, RecursionError, UnicodeError):
        return None
    finally:
        await client.aclose()
