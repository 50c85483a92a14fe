"""How the agent's own log lines look on standard output: one JSON object each, as tools for the vendor's extension expect.

The level is in `status`, not `level`: Lambda's own log-level filter drops JSON lines by `level`, and these must pass.
"""

from __future__ import annotations

import logging
import os

from ddx_core import log

_levels = {
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": logging.DEBUG,
}
_names = {logging.ERROR: "ERROR", logging.WARNING: "WARN", logging.INFO: "INFO", logging.DEBUG: "DEBUG"}
_escapes = {ord('"'): '\\"', ord("\\"): "\\\\", ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"} | {
    number: f"\\u{number:04X}" for number in range(0x20) if chr(number) not in "\n\r\t"
}


def format_line(level: str, text: str) -> str:
    return f'{{"status":"{level}","message":"DD_EXTENSION | {level} | {text.translate(_escapes)}"}}\n'


class _StandardOutput(logging.Handler):
    """Writes each line with one system call, so that lines of several processes never mix."""

    def emit(self, record: logging.LogRecord) -> None:
        level = _names.get(record.levelno, "ERROR")
        try:
            os.write(1, format_line(level, record.getMessage()).encode("utf-8", "backslashreplace"))
        except OSError:
            # Nobody reads standard output any more: there is no better place to say so.
            return


def start_own_log(level: str) -> None:
    """Send what `ddx_core.log` writes to standard output, from `level` up."""
    log.logger.handlers = [_StandardOutput()]
    log.logger.propagate = False
    log.logger.setLevel(_levels[level])
    logging.lastResort = None
