"""What `ddx local` prints while it runs and at its end: lines for people, or JSON for programs."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import msgspec

from ddx_agent.standard_output import write_out

from ..platform.platform import Platform
from ..report import text
from ..report.played import Played
from ..report.report import Report
from ..wiring import Local


class Output:
    """With `as_json` nothing is printed but the report, and where to invoke what is served."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def heading(self, platform: Platform) -> None:
        if not self._as_json:
            _say(text.heading(platform.function, platform.cpu_share, platform.cpu_share_unavailable))

    def invocation(self, each: Played) -> None:
        if not self._as_json:
            _say(text.invocation_lines(each, _width()))

    def line(self, source: str, line: str) -> None:
        """One that the function, an extension or the platform has just printed."""
        if not self._as_json:
            _say([f"{source:<14} {text.plain(line)}"])

    def how_to_invoke(self, local: Local) -> None:
        url, name, intake_url = local.platform.invoke_url, local.platform.function.name, local.intake.url
        if self._as_json:
            _say([msgspec.json.encode({"invoke_url": url, "function": name, "intake_url": intake_url}).decode()])
            return
        _say(
            [
                f"{name} is up. Invoke it:",
                f"  curl -d '{{}}' {url}/2015-03-31/functions/{name}/invocations",
                f"  aws lambda invoke --endpoint-url {url} --function-name {name} /dev/stdout",
                f"  boto3.client('lambda', endpoint_url='{url}').invoke(FunctionName='{name}', Payload=b'{{}}')",
                "AWS's tools want a region and credentials, which may be anything:",
                "  export AWS_DEFAULT_REGION=us-east-1 AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x",
                f"What arrives: {intake_url}/    Stop with Ctrl-C.",
                "",
            ]
        )

    def report(self, report: Report) -> None:
        if self._as_json:
            _say([msgspec.json.format(msgspec.json.encode(report), indent=2).decode()])
        else:
            _say(text.summary(report, _width()))


def _say(lines: Sequence[str]) -> None:
    write_out("\n".join(lines) + "\n")


def _width() -> int:
    return max(60, min(shutil.get_terminal_size((100, 24)).columns, 120))
