"""What invocations use of the machine: readers of /proc and statvfs, the values made of them, and who looks for peaks."""

from .proc import Cpu, Network
from .read import ProcReader, Space
from .sampler import UsageSampler
from .values import Reading, Usage

__all__ = ["Cpu", "Network", "ProcReader", "Reading", "Space", "Usage", "UsageSampler"]
