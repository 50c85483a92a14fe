"""`Report`: the document that `ddx local --json` prints. Pure: values in, values out. `text.py` writes the same for people."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ..function import Function
from ..intake import Store
from ..sandbox.sandbox import LifeEnd
from .accounts import Accounts
from .arrived import Arrived, what_arrived
from .played import Played


class FunctionFacts(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    handler: str
    runtime: str
    memory_mb: int
    timeout_s: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    function: FunctionFacts
    extension: tuple[str, ...] | None
    """The extension's command; `None` when there was none."""
    cpu_share: float | None
    cpu_share_unavailable: str | None
    invocations: tuple[Played, ...]
    lives: tuple[LifeEnd, ...]
    arrived: Arrived
    accounts: Accounts | None
    """`None` when the extension writes none: another one than ours, or no extension at all."""
    accounts_close: bool | None
    extension_output: tuple[str, ...]
    """The last lines that extensions printed."""
    ok: bool


def make_report(
    function: Function,
    *,
    extension: Sequence[str] | None,
    cpu_share: float | None,
    cpu_share_unavailable: str | None,
    invocations: Sequence[Played],
    lives: Sequence[LifeEnd],
    store: Store,
    accounts: Accounts | None,
    extension_output: Sequence[str],
) -> Report:
    close = None if accounts is None else accounts.close
    return Report(
        function=_facts_of(function),
        extension=None if extension is None else tuple(extension),
        cpu_share=cpu_share,
        cpu_share_unavailable=cpu_share_unavailable,
        invocations=tuple(invocations),
        lives=tuple(lives),
        arrived=what_arrived(store),
        accounts=accounts,
        accounts_close=close,
        extension_output=tuple(extension_output),
        ok=close is not False and all(each.as_expected for each in invocations),
    )


def _facts_of(function: Function) -> FunctionFacts:
    return FunctionFacts(
        name=function.name,
        handler=function.handler,
        runtime=function.runtime,
        memory_mb=function.memory_mb,
        timeout_s=function.timeout_s,
    )
