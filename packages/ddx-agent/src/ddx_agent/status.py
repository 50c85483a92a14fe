"""The status document: what `GET /ddx/status` shows, what the log says at shutdown, what DDX_ACCOUNTS_FILE receives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from ddx_core import log
from ddx_core.pipeline import Pipeline
from ddx_core.stats import AccountSnapshot

Part = Callable[[], Any]


class Status:
    """`parts` adds facts of other places under their names."""

    def __init__(self, *, version: str, mode: str, pipelines: Sequence[Pipeline], parts: dict[str, Part]) -> None:
        self._version = version
        self._mode = mode
        self._pipelines = pipelines
        self._parts = parts
        self.state = "starting"

    def accounts(self) -> dict[str, AccountSnapshot]:
        return {account.name: account.snapshot() for pipeline in self._pipelines for account in pipeline.accounts}

    def document(self) -> dict[str, Any]:
        return {
            "version": self._version,
            "mode": self._mode,
            "state": self.state,
            "signals": self.accounts(),
            **{name: part() for name, part in self._parts.items()},
        }


def report_accounts(status: Status, accounts_file: str | None) -> None:
    """The last word: one warning for each reason for which data was lost, and the whole document for those who ask."""
    for name, account in status.accounts().items():
        for reason, amount in account.dropped.items():
            if amount.items and reason not in intended:
                log.warning("data_dropped", about=f"{name}/{reason}", items=amount.items, bytes=amount.bytes)
        if account.held.items:
            log.warning(
                "data_not_sent",
                about=name,
                items=account.held.items,
                bytes=account.held.bytes,
                spooled=account.spooled.items,
            )
        if not account.closes:
            log.error("account_does_not_close", about=name, accepted=account.accepted.items)
    document = msgspec.json.encode(status.document())
    log.debug("final_accounts", document=document.decode())
    if accounts_file:
        try:
            with open(accounts_file, "ab") as file:
                file.write(document + b"\n")
        except OSError as error:
            log.warning("accounts_file_not_written", variable="DDX_ACCOUNTS_FILE", error=error.strerror)


# Dropped because somebody wanted it so: counted, but no loss.
intended = frozenset({"filtered", "rejected", "not_sampled", "duplicate", "own_line", "repeated_event", "merged"})
