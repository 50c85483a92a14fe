"""A function, the platform, an extension and the embedded intake, wired together: what `ddx local` runs and tests use.

async with open_local("examples/orders", ports=Ports()) as local:
    result = await local.invoke({"order": 7})
    accounts = await local.finish()
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from .faults import Faults
from .function import Function
from .function_folder import load_function
from .intake import Intake, Script, ScriptLike, open_intake
from .invocation import InvokeResult
from .platform.opening import open_platform, our_extension, our_extension_name
from .platform.platform import Platform
from .ports.extension import Ports, check_ports, effective_ports
from .report.accounts import Accounts, read_accounts
from .sandbox.invocation_log import OnLine
from .sandbox.plan import Limits

# Datadog's keys have 32 hexadecimal digits; the intake takes any.
local_api_key = "0" * 32

impatient = Limits(async_retry_delays_s=(1.0, 1.0))
"""Lambda's times, but nobody waits minutes at a laptop for an event to be tried again."""


class Local:
    """What `open_local` gives: the `platform` and the `intake` are there for all that has no shortcut here."""

    def __init__(self, platform: Platform, intake: Intake, ports: Ports, accounts_file: Path, *, is_ours: bool) -> None:
        self.platform = platform
        self.intake = intake
        self.ports = ports
        """Where the extension listens."""
        self._accounts_file = accounts_file
        self._is_ours = is_ours

    async def invoke(self, event: object = None, *, payload: bytes | None = None) -> InvokeResult:
        """Run one invocation to its very end, extension included. `payload` is the event's JSON as it is."""
        return await self.platform.invoke(event, payload=payload)

    async def finish(self) -> Accounts | None:
        """End the sandbox, as Lambda does with one that is not needed any more, and sum up the accounts of all its lives.

        `None`: another extension than ours, which wrote none. The next invocation is a cold start.
        """
        await self.platform.shutdown("spindown")
        lines = self._lines()
        if not self._is_ours and not lines:
            return None
        lives = len(self.platform.life_ends) if self._is_ours else len(lines)
        return read_accounts(lines, lives=lives, totals=self.intake.store.totals())

    def statuses(self) -> list[dict[str, Any]]:
        """The last status document (`GET /ddx/status`) of each life that is over."""
        return [msgspec.json.decode(line, type=dict[str, Any]) for line in self._lines()]

    def _lines(self) -> list[bytes]:
        return self._accounts_file.read_bytes().splitlines() if self._accounts_file.exists() else []


@asynccontextmanager
async def open_local(
    function: Function | Path | str,
    *,
    ports: Ports | None = None,
    environment: Mapping[str, str] | None = None,
    script: Script | ScriptLike | None = None,
    faults: Faults | None = None,
    limits: Limits = impatient,
    freeze: bool = True,
    cpu_share: bool = True,
    extension_command: Sequence[str] | None = our_extension,
    extension_name: str | None = our_extension_name,
    extension_environment: Mapping[str, str] | None = None,
    port: int = 0,
    intake_port: int = 0,
    on_line: OnLine | None = None,
) -> AsyncGenerator[Local]:
    """Run a function (or the folder of one) with the extension, whose every endpoint is the embedded intake.

    `ports`: where the extension listens. By default four free ones, of which the function's environment tells
    (DD_DOGSTATSD_PORT, DD_TRACE_AGENT_PORT); `Ports()` are the fixed ones, which some libraries have built in.
    `environment` adds variables to the function's, which the extension shares, as on Lambda; `extension_environment`
    reaches the extension alone. `script` makes the intake misbehave, `faults` the platform. The rest is as in
    `open_platform`. Raises ConfigError for a folder that is no function, PortsTaken, and OSError when `port` (of the
    invoke endpoint) or `intake_port` cannot be had.
    """
    if not isinstance(function, Function):
        function = load_function(Path(function))
    if ports is None:
        ports = Ports.free()
    shared = {**function.environment, **(environment or {})}
    if ports != effective_ports(shared):
        shared |= ports.environment()
    if extension_command is not None:
        check_ports(ports)
    work = Path(tempfile.mkdtemp(prefix="ddx-local-"))
    accounts_file = work / "accounts.jsonl"
    try:
        async with (
            open_intake(port=intake_port, script=script) as intake,
            open_platform(
                msgspec.structs.replace(function, environment=shared),
                extension_command=extension_command,
                extension_name=extension_name,
                extension_environment={
                    **_extension_settings(intake.url, accounts_file, work / "spool"),
                    **(extension_environment or {}),
                },
                port=port,
                freeze=freeze,
                cpu_share=cpu_share,
                limits=limits,
                faults=faults,
                on_line=on_line,
            ) as platform,
        ):
            is_ours = extension_command is not None and tuple(extension_command) == our_extension
            yield Local(platform, intake, ports, accounts_file, is_ours=is_ours)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _extension_settings(intake_url: str, accounts_file: Path, spool: Path) -> Mapping[str, str]:
    """What makes any Datadog agent send to the embedded intake, and ours account for it."""
    return {
        "DD_API_KEY": local_api_key,
        "DD_SITE": "datadoghq.com",
        "DD_DD_URL": intake_url,
        "DD_LOGS_CONFIG_LOGS_DD_URL": intake_url,
        "DD_APM_DD_URL": intake_url,
        "DD_APM_PROFILING_DD_URL": intake_url,
        "DDX_PROXIED_URL": intake_url,
        "DDX_ACCOUNTS_FILE": str(accounts_file),
        "DDX_SPOOL_DIR": str(spool),
        # On a laptop there are other people's machines on the network; the local platform posts to loopback.
        "DDX_TELEMETRY_HOST": "127.0.0.1",
    }
