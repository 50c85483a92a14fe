"""Stage 0 of a cold start: bind the sockets, register, fork the agent, and stay behind as its keeper.

Rule: nothing is imported here that costs milliseconds. Lambda starts the function's runtime only when every extension has
registered, so each one spent before that is paid by every user. The standard library's `socket` alone costs five.
"""

from __future__ import annotations

import _socket
import os
import sys
import time

from ddx_core.loopback import render_request, split_host_port

TYPE_CHECKING = False  # `typing` costs a millisecond
if TYPE_CHECKING:
    from collections.abc import Mapping

extension_name = "datadog-agent"
managed_instances = "lambda-managed-instances"

# As much as the kernel gives an unprivileged process (it caps at net.core.rmem_max): bursts must not be lost while the
# agent is still being imported, or busy.
datagram_buffer_bytes = 8 << 20


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


class Port:
    """One listener: its purpose, default number, the variables that may change number and host (the first that is set)."""

    __slots__ = ("default", "host", "is_datagram", "purpose", "variables")

    def __init__(self, purpose: str, default: int, variables: tuple[str, ...], host: str, *, is_datagram: bool) -> None:
        self.purpose = purpose
        self.default = default
        self.variables = variables
        self.host = host
        self.is_datagram = is_datagram


loopback = "127.0.0.1"
# In lower case; the configuration reads switches by the same words.
yes = frozenset(("1", "1.0", "t", "true", "y", "yes", "on"))
no = frozenset(("0", "0.0", "f", "false", "n", "no", "off"))


def unquoted(value: str) -> str:
    """Without the double quotes around all of it: tools that write environments leave them there, and the vendor's extension
    takes them off."""
    text = value.strip()
    inner = text[1:-1]
    return inner if len(text) > 1 and text[0] == text[-1] == '"' and '"' not in inner else value


def says(variable: str, words: frozenset[str], environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a switch is one of these words."""
    return unquoted(environ.get(variable, "")).strip().lower() in words


traces_host = "0.0.0.0" if says("DD_APM_NON_LOCAL_TRAFFIC", yes) else loopback  # noqa: S104
# Lambda posts telemetry to the sandbox's own address (sandbox.localdomain), which need not be the loopback one.
telemetry_host = os.environ.get("DDX_TELEMETRY_HOST") or "0.0.0.0"  # noqa: S104
statsd_host = os.environ.get("DDX_DOGSTATSD_HOST") or loopback
if says("DD_DOGSTATSD_NON_LOCAL_TRAFFIC", yes):
    statsd_host = "::" if ":" in statsd_host else "0.0.0.0"  # noqa: S104
ports = (
    Port("lifecycle", 8124, ("DDX_LIFECYCLE_PORT",), loopback, is_datagram=False),
    Port("dogstatsd", 8125, ("DD_DOGSTATSD_PORT",), statsd_host, is_datagram=True),
    Port("traces", 8126, ("DD_APM_RECEIVER_PORT",), traces_host, is_datagram=False),
    Port("telemetry", 8999, ("DDX_TELEMETRY_PORT",), telemetry_host, is_datagram=False),
)


def port_number(port: Port, environ: Mapping[str, str] = os.environ) -> tuple[int, str | None]:
    """The number to bind, and a complaint when a variable's value is no port."""
    for variable in port.variables:
        text = environ.get(variable, "").strip()
        if not text:
            continue
        if text.isascii() and text.isdigit() and int(text) < 65536:
            return int(text), None
        return port.default, f"{variable} is no port number (0 to 65535): {port.default} is used"
    return port.default, None


def bind(port: Port, number: int) -> _socket.socket:
    """A bound (and listening) socket. Raises OSError."""
    kind = _socket.SOCK_DGRAM if port.is_datagram else _socket.SOCK_STREAM
    family = _socket.AF_INET6 if ":" in port.host else _socket.AF_INET
    sock = _socket.socket(family, kind | _socket.SOCK_CLOEXEC)
    try:
        if port.is_datagram:
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVBUF, _datagram_buffer())
        else:
            # After a timeout the sockets of the process before may still linger.
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        sock.bind((port.host, number))
        if not port.is_datagram:
            sock.listen(512)
    except BaseException:
        sock.close()
        raise
    return sock


def is_off(port: Port, number: int) -> bool:
    """Whether one of the documented ways to do without it was taken."""
    switch = {"traces": "DD_APM_ENABLED", "dogstatsd": "DD_USE_DOGSTATSD"}.get(port.purpose)
    return switch is not None and (not number or says(switch, no))


def _datagram_buffer() -> int:
    # Judged, and a bad value told, when the configuration is read.
    text = os.environ.get("DD_DOGSTATSD_SO_RCVBUF", "").strip()
    wanted = int(text) if text.isascii() and text.isdigit() and len(text) < 11 else 0
    return min(wanted, 1 << 30) or datagram_buffer_bytes


def bind_all(boot: Boot) -> None:
    for port in ports:
        number, complaint = port_number(port)
        if complaint:
            boot.complaints.append(complaint)
        if not is_off(port, number):
            _bind_for(boot, port, number)


def bind_again(boot: Boot) -> None:
    """Try once more what could not be bound."""
    for port in ports:
        if port.purpose in boot.unbound:
            _bind_for(boot, port, port_number(port)[0])


def _bind_for(boot: Boot, port: Port, number: int) -> None:
    try:
        boot.sockets[port.purpose] = bind(port, number)
    except (OSError, ValueError, OverflowError, TypeError) as error:
        why = getattr(error, "strerror", None) or "the host's name cannot be used"
        boot.unbound[port.purpose] = f"port {number} ({port.purpose}) cannot be bound: {why}; going on without it"
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
