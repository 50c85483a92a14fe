"""What invocations use of the machine: readers of /proc and statvfs, the values made of them, and who looks for peaks."""

from .proc import Cpu, Network, parse_cpu, parse_network, parse_soft_limit, parse_uptime_ms
from .read import ProcReader, Space
from .sampler import UsageSampler
from .values import Reading, Usage, cpu_time_values, network_values, utilization_values

__all__ = [
    "Cpu",
    "Network",
    "ProcReader",
    "Reading",
    "Space",
    "Usage",
    "UsageSampler",
    "cpu_time_values",
    "network_values",
    "parse_cpu",
    "parse_network",
    "parse_soft_limit",
    "parse_uptime_ms",
    "utilization_values",
]
