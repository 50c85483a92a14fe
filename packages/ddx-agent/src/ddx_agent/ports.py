"""The ports that the extension listens at: which there are, what moves them or does without one, and how one is bound.

They are bound in stage 0, before anything is imported that costs milliseconds and before the configuration is read.
`variables` are those of ours, as `read_environment` gives them.
"""

from __future__ import annotations

import _socket

from ddx_agent.variables import no, plain, says, yes

TYPE_CHECKING = False  # `typing` costs a millisecond
if TYPE_CHECKING:
    from collections.abc import Mapping

loopback = "127.0.0.1"
everywhere = "0.0.0.0"  # noqa: S104

# As much as the kernel gives an unprivileged process (it caps at net.core.rmem_max): bursts must not be lost while the
# agent is still being imported, or busy.
datagram_buffer_bytes = 8 << 20


class Port:
    """One listener. `variable` moves it, and `host_variable` to another address; `switch`, or port 0, does without it. Without
    a switch, 0 is any free port."""

    __slots__ = ("default", "host_variable", "is_datagram", "purpose", "switch", "variable")

    def __init__(
        self,
        purpose: str,
        default: int,
        variable: str,
        *,
        host_variable: str | None = None,
        switch: str | None = None,
        is_datagram: bool = False,
    ) -> None:
        self.purpose = purpose
        self.default = default
        self.variable = variable
        self.host_variable = host_variable
        self.switch = switch
        self.is_datagram = is_datagram

    def number(self, variables: Mapping[str, str]) -> tuple[int, str | None]:
        """The number to bind, and a complaint when the variable's value is no port."""
        text = plain(variables, self.variable)
        if not text:
            return self.default, None
        # Python refuses to read a number of thousands of digits.
        if text.isascii() and text.isdigit() and len(text) < 11 and int(text) < 65536:
            return int(text), None
        return self.default, f"{self.variable} is no port number (0 to 65535): {self.default} is used"

    def is_off(self, variables: Mapping[str, str]) -> bool:
        """Whether one of the documented ways to do without it was taken."""
        return self.switch is not None and (not self.number(variables)[0] or says(variables, self.switch, no))

    def host(self, variables: Mapping[str, str]) -> str:
        """The address to bind."""
        named = "" if self.host_variable is None else plain(variables, self.host_variable)
        if self.purpose == "telemetry":
            # Lambda posts telemetry to the sandbox's own address (sandbox.localdomain), which need not be the loopback one.
            return named or everywhere
        if self.purpose == "traces":
            return everywhere if says(variables, "DD_APM_NON_LOCAL_TRAFFIC", yes) else loopback
        if self.purpose == "dogstatsd":
            if says(variables, "DD_DOGSTATSD_NON_LOCAL_TRAFFIC", yes):
                return "::" if ":" in named else everywhere
            return named or loopback
        return loopback


ports = (
    Port("lifecycle", 8124, "DDX_LIFECYCLE_PORT"),
    Port(
        "dogstatsd",
        8125,
        "DD_DOGSTATSD_PORT",
        host_variable="DDX_DOGSTATSD_HOST",
        switch="DD_USE_DOGSTATSD",
        is_datagram=True,
    ),
    Port("traces", 8126, "DD_APM_RECEIVER_PORT", switch="DD_APM_ENABLED"),
    Port("telemetry", 8999, "DDX_TELEMETRY_PORT", host_variable="DDX_TELEMETRY_HOST"),
)


def bind(port: Port, variables: Mapping[str, str]) -> _socket.socket:
    """A bound (and listening) socket. Raises CannotBind."""
    host, (number, _) = port.host(variables), port.number(variables)
    kind = _socket.SOCK_DGRAM if port.is_datagram else _socket.SOCK_STREAM
    family = _socket.AF_INET6 if ":" in host else _socket.AF_INET
    try:
        sock = _socket.socket(family, kind | _socket.SOCK_CLOEXEC)
    except OSError as error:
        raise CannotBind(error) from error
    try:
        if port.is_datagram:
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVBUF, _datagram_buffer(variables))
        else:
            # After a timeout the sockets of the process before may still linger.
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        sock.bind((host, number))
        if not port.is_datagram:
            sock.listen(512)
    except (OSError, ValueError, OverflowError, TypeError) as error:
        sock.close()
        raise CannotBind(error) from error
    return sock


class CannotBind(Exception):
    """Its text says why; `errno` is the system's number, None when Python refused the host's name."""

    def __init__(self, error: Exception) -> None:
        super().__init__(getattr(error, "strerror", None) or "the host's name cannot be used")
        self.errno: int | None = getattr(error, "errno", None)


def _datagram_buffer(variables: Mapping[str, str]) -> int:
    # Judged, and a bad value told, when the configuration is read.
    text = plain(variables, "DD_DOGSTATSD_SO_RCVBUF")
    wanted = int(text) if text.isascii() and text.isdigit() and len(text) < 11 else 0
    return min(wanted, 1 << 30) or datagram_buffer_bytes
