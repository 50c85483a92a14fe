"""Lines that mean something to other parts of the agent. Pure."""

from __future__ import annotations

from typing import Final

# How each runtime says that memory ran out (bottlecap `logs/lambda/processor.rs`).
_out_of_memory: Final = (
    "fatal error: runtime: out of memory",  # Go
    "java.lang.OutOfMemoryError",
    "JavaScript heap out of memory",  # Node.js
    "Runtime exited with error: signal: killed",  # Node.js
    "MemoryError",  # Python
    "failed to allocate memory (NoMemoryError)",  # Ruby
    "OutOfMemoryException",  # .NET
)


def tells_out_of_memory(text: str) -> bool:
    # Every sign but one has the first of these in it: two searches settle nearly every line.
    if "emory" not in text and "signal: killed" not in text:
        return False
    return any(sign in text for sign in _out_of_memory)
