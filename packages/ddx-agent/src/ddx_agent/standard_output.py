"""What the commands print: always UTF-8, whatever the locale says, and for as long as somebody reads it."""

from __future__ import annotations

import os
import sys
from typing import TextIO


def write_out(text: str) -> None:
    """Write at once. When the reader (`| head`) has gone, this and all that follows goes nowhere, and the command goes on."""
    stdout: TextIO | None = sys.stdout
    if stdout is None:
        return  # closed from the outset: `>&-`
    try:
        stdout.buffer.write(text.encode("utf-8", "replace"))
        stdout.buffer.flush()
    except BrokenPipeError:
        # What is still buffered is written again when the interpreter ends: that must not fail either.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stdout.fileno())
        os.close(nowhere)
