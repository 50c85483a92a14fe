"""Stage 0 of a cold start: bind the sockets, register, fork the agent, and stay behind as its keeper.

Rule: nothing is imported here that costs milliseconds. Lambda starts the function's runtime only when every extension has
registered, so each one spent before that is paid by every user. The standard library's `socket` alone costs five.
"""

from __future__ import annotations

import _socket
import os
import sys
import time

from ddx_agent.ports import CannotBind, Port, bind, ports
from ddx_agent.variables import read_environment
from ddx_core.loopback import render_request, split_host_port

TYPE_CHECKING = False  # `typing` costs a millisecond
if TYPE_CHECKING:
    from collections.abc import Mapping

extension_name = "datadog-agent"
managed_instances = "lambda-managed-instances"


class Boot:
    """What stage 0 hands to the agent.

    `sockets` are bound, by purpose (`lifecycle`, `telemetry`, `traces`, `dogstatsd`); `unbound` says, by the same, why one is
    missing. `complaints` are about variables. `link` is the agent's end of the link to its keeper. `lives` counts the agents
    that this sandbox had before; `has_telemetry` tells whether one of them subscribed, `is_init_over` whether it is too late
    for that. `is_serving` once start-up is over.
    """

    __slots__ = (
        "complaints",
        "has_telemetry",
        "is_init_over",
        "is_serving",
        "link",
        "lives",
        "sockets",
        "started_ns",
        "unbound",
    )

    def __init__(self) -> None:
        self.started_ns = time.time_ns()
        self.sockets: dict[str, _socket.socket] = {}
        self.unbound: dict[str, str] = {}
        self.complaints: list[str] = []
        self.link: _socket.socket | None = None
        self.lives = 0
        self.has_telemetry = False
        self.is_init_over = False
        self.is_serving = False

    @property
    def troubles(self) -> list[str]:
        """All that went wrong, in words for the user."""
        return [*self.complaints, *self.unbound.values()]


def bind_all(boot: Boot) -> None:
    variables = read_environment(os.environ)
    for port in ports:
        complaint = port.number(variables)[1]
        if complaint:
            boot.complaints.append(complaint)
        if not port.is_off(variables):
            _bind_for(boot, port, variables)


def bind_again(boot: Boot) -> None:
    """Try once more what could not be bound."""
    variables = read_environment(os.environ)
    for port in ports:
        if port.purpose in boot.unbound:
            _bind_for(boot, port, variables)


def _bind_for(boot: Boot, port: Port, variables: Mapping[str, str]) -> None:
    try:
        boot.sockets[port.purpose] = bind(port, variables)
    except CannotBind as error:
        number = port.number(variables)[0]
        boot.unbound[port.purpose] = f"port {number} ({port.purpose}) cannot be bound: {error}; going on without it"
    else:
        boot.unbound.pop(port.purpose, None)


def registration_request(address: str) -> bytes:
    is_managed = os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == managed_instances
    body = b'{"events":["SHUTDOWN"]}' if is_managed else b'{"events":["INVOKE","SHUTDOWN"]}'
    headers = {
        "Lambda-Extension-Name": extension_name,
        "Lambda-Extension-Accept-Feature": "accountId",
        "Content-Type": "application/json",
    }
    return render_request("POST", address, "/2020-01-01/extension/register", headers, body)


def run_extension() -> int:
    """The whole life of `ddx extension`: of the keeper, and of the agent in the forked process.

    Both end without tidying up (`os._exit`): at shutdown each millisecond belongs to the last flush, and the kernel closes
    what is open.
    """
    boot = Boot()
    address = os.environ.get("AWS_LAMBDA_RUNTIME_API", "")
    if not address:
        sys.stderr.write(
            "ddx extension: AWS_LAMBDA_RUNTIME_API is not set. Lambda starts this command itself from /opt/extensions; "
            "on a laptop use `ddx local FOLDER`.\n"
        )
        return 2
    # A user's PYTHONDONTWRITEBYTECODE is meant for the function: without cached byte-code every start here takes twice as long.
    sys.dont_write_bytecode = False
    _hold_standard_streams()
    bind_all(boot)
    registering = send_request(address, registration_request(address))
    from ddx_agent.keeper import Keeper

    os._exit(Keeper(boot, address, registering).run())


def _hold_standard_streams() -> None:
    """Where one of the first three descriptors is closed, the next socket would get its number, and our own lines with it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def send_request(address: str, request: bytes) -> _socket.socket | None:
    """A connection to the Lambda APIs with the request on its way, or None when nobody takes it there."""
    host, number = split_host_port(address)
    family = _socket.AF_INET6 if ":" in host else _socket.AF_INET
    sock: _socket.socket | None = None
    try:
        sock = _socket.socket(family, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        sock.connect((host, number))
        sock.sendall(request)
    except (OSError, ValueError, OverflowError):
        if sock is not None:
            sock.close()
        return None
    return sock
