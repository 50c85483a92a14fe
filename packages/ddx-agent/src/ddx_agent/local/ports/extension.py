"""The extension's four ports: where libraries in functions send to.

Rule: what is taken is found out before anything is started. On Lambda a taken port costs that port alone; here it would
mean that another agent gets what the function sends.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Mapping, Sequence

import msgspec

from ddx_agent.ports import ports
from ddx_agent.variables import read_environment
from ddx_core.errors import DdxError

from .holders import held_port

# Below those that kernels hand out by themselves: no connection that somebody makes meanwhile can take one.
_lowest, _highest = 10_000, 32_000


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """Where the extension listens. The defaults are the numbers that Datadog's libraries have built in."""

    lifecycle: int = 8124
    dogstatsd: int = 8125
    traces: int = 8126
    telemetry: int = 8999

    @staticmethod
    def free() -> Ports:
        """Four that nobody uses, so that several functions can run at a time on one machine."""
        found: dict[str, int] = {}
        chance = random.SystemRandom()
        for port in ports:
            number = 0
            while not number or number in found.values() or not _is_free(number, is_datagram=port.is_datagram):
                number = chance.randrange(_lowest, _highest)
            found[port.purpose] = number
        return Ports(**found)

    def environment(self) -> dict[str, str]:
        """For the function, which shares it with the extension: what moves the listeners, and what tells libraries."""
        return {
            "DDX_LIFECYCLE_PORT": str(self.lifecycle),
            "DD_DOGSTATSD_PORT": str(self.dogstatsd),
            "DD_APM_RECEIVER_PORT": str(self.traces),
            "DD_TRACE_AGENT_PORT": str(self.traces),
            "DDX_TELEMETRY_PORT": str(self.telemetry),
        }


class PortsTaken(DdxError):
    """Somebody else holds ports of the extension. `numbers` are theirs; the text says what for, and who has them."""

    def __init__(self, numbers: Sequence[int], told: Sequence[str]) -> None:
        super().__init__("; ".join(told))
        self.numbers = tuple(numbers)


def effective_ports(environment: Mapping[str, str]) -> Ports:
    """Where an extension with this environment listens; as there, a value that is no port is passed over."""
    variables = read_environment(environment)
    return Ports(**{port.purpose: port.number(variables)[0] for port in ports})


def check_ports(wanted: Ports) -> None:
    """Raises PortsTaken when somebody holds a port. 0 asks the kernel for any free one."""
    numbers: Mapping[str, int] = msgspec.structs.asdict(wanted)
    taken = [
        port
        for port in ports
        if (number := numbers[port.purpose]) and not _is_free(number, is_datagram=port.is_datagram)
    ]
    if taken:
        told = [held_port(numbers[port.purpose], port.purpose, is_datagram=port.is_datagram) for port in taken]
        raise PortsTaken([numbers[port.purpose] for port in taken], told)


def _is_free(number: int, *, is_datagram: bool) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if is_datagram else socket.SOCK_STREAM) as sock:
        if not is_datagram:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", number))
            if not is_datagram:
                sock.listen(1)
        except OSError:
            return False
    return True
