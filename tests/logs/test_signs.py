from __future__ import annotations

import pytest

from ddx_logs.signs import tells_out_of_memory


@pytest.mark.parametrize(
    "text",
    [
        "fatal error: runtime: out of memory",
        'Exception in thread "main" java.lang.OutOfMemoryError: Java heap space',
        "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
        "RequestId: 1 Error: Runtime exited with error: signal: killed",
        "[ERROR] MemoryError\nTraceback (most recent call last):",
        "handler.rb:3:in `*': failed to allocate memory (NoMemoryError)",
        "System.OutOfMemoryException: Exception of type",
    ],
)
def test_each_runtimes_sign_is_seen(text: str) -> None:
    assert tells_out_of_memory(text)


@pytest.mark.parametrize(
    "text", ["", "all is well", "out of memory", "memoryerror", "signal: killed", "I forgot: poor memory"]
)
def test_other_lines_are_no_sign(text: str) -> None:
    assert not tells_out_of_memory(text)
