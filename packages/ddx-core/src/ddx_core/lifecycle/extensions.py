"""ExtensionsClient: register, next, init/error, exit/error and the telemetry subscription, over plain loopback HTTP.

Rules: never a proxy, never a timeout on `next` (the process may be frozen inside it for hours), one connection per call.
Source: AWS Lambda Developer Guide, "Lambda Extensions API" and "Lambda Telemetry API".
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import trio

from ..errors import LifecycleError
from ..events import Invoke, Shutdown, parse_next
from ..loopback import Answer, AnswerReader, LoopbackError, render_request, split_host_port

api_path = "/2020-01-01/extension"


class Registration(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What Lambda says of the function. `identifier` must accompany every later call; `account_id` may be unknown."""

    function_name: str = ""
    function_version: str = ""
    handler: str = ""
    account_id: str | None = None
    identifier: str = ""


class _ErrorBody(msgspec.Struct, rename="camel"):
    error_type: str = ""
    error_message: str = ""


def read_registration(answer: Answer) -> Registration:
    """The answer to register. Raises LifecycleError unless it is 200 with an identifier and a JSON body."""
    if answer.status != 200:
        raise refusal("register", answer)
    identifier = answer.headers.get("lambda-extension-identifier", "")
    if not identifier:
        raise LifecycleError("register was answered without Lambda-Extension-Identifier")
    try:
        body = msgspec.json.decode(answer.body, type=Registration)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise LifecycleError(f"the answer to register makes no sense: {error}") from error
    return msgspec.structs.replace(body, identifier=identifier, account_id=body.account_id or None)


def refusal(call: str, answer: Answer) -> LifecycleError:
    """An error that says what Lambda's error body says."""
    try:
        body = msgspec.json.decode(answer.body, type=_ErrorBody)
    except (msgspec.MsgspecError, RecursionError):
        body = _ErrorBody()
    reason = f"{body.error_type} {body.error_message}".strip() or "no reason given"
    return LifecycleError(
        f"{call} was refused with status {answer.status}: {reason}",
        status=answer.status,
        error_type=body.error_type or None,
    )


class ExtensionsClient:
    """Speaks for one extension. `address` is AWS_LAMBDA_RUNTIME_API: `host:port`."""

    def __init__(self, address: str, *, identifier: str = "") -> None:
        self._address = address
        self._identifier = identifier

    async def register(self, name: str, events: Sequence[str] = ("INVOKE", "SHUTDOWN")) -> Registration:
        """Register under `name` (the file's base name in /opt/extensions); keeps the identifier for later calls."""
        headers = {
            "Lambda-Extension-Name": name,
            "Lambda-Extension-Accept-Feature": "accountId",
            "Content-Type": "application/json",
        }
        body = msgspec.json.encode({"events": list(events)})
        registration = read_registration(await self.call("POST", f"{api_path}/register", headers, body))
        self._identifier = registration.identifier
        return registration

    async def next(self) -> Invoke | Shutdown:
        """Wait for the next event; the first call tells Lambda that this extension's init has finished."""
        answer = await self.call("GET", f"{api_path}/event/next", self._identified())
        if not 200 <= answer.status < 300:
            raise refusal("next", answer)
        return parse_next(answer.body)

    async def init_error(self, error_type: str, message: str) -> None:
        """Report that init failed (`error_type` like `Extension.ConfigInvalid`); the process must exit afterwards."""
        await self._report(f"{api_path}/init/error", error_type, message)

    async def exit_error(self, error_type: str, message: str) -> None:
        """Report that the extension cannot go on; the process must exit afterwards."""
        await self._report(f"{api_path}/exit/error", error_type, message)

    async def _report(self, path: str, error_type: str, message: str) -> None:
        headers = {**self._identified(), "Lambda-Extension-Function-Error-Type": error_type}
        body = msgspec.json.encode({"errorMessage": message, "errorType": error_type, "stackTrace": []})
        answer = await self.call("POST", path, headers, body)
        if answer.status != 202:
            raise refusal(path.removeprefix(f"{api_path}/"), answer)

    def _identified(self) -> dict[str, str]:
        return {"Lambda-Extension-Identifier": self._identifier}

    async def call(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> Answer:
        """One exchange, under the caller's deadline if there is one. Raises LifecycleError when the API cannot be reached."""
        host, port = split_host_port(self._address)
        try:
            # The name of the loopback host needs no resolver; `open_tcp_stream` would start a thread for one.
            sock = trio.socket.socket(trio.socket.AF_INET6 if ":" in host else trio.socket.AF_INET)
            with sock:
                await sock.connect((host, port))
                stream = trio.SocketStream(sock)
                await stream.send_all(render_request(method, self._address, path, headers, body))
                reader = AnswerReader()
                while True:
                    answer = reader.feed(await stream.receive_some(65536))
                    if answer is not None:
                        return answer
        except (OSError, ValueError, OverflowError, trio.BrokenResourceError, LoopbackError) as error:
            # ValueError and OverflowError: an address that no resolver takes, a port above 65535.
            raise LifecycleError(f"{method} {path} failed: {error}") from error

    async def subscribe(self, body: bytes, path: str) -> Answer:
        """PUT a telemetry subscription; the caller judges the answer."""
        return await self.call("PUT", path, {**self._identified(), "Content-Type": "application/json"}, body)
