"""The Extensions API, version 2020-01-01, on top of `ExtensionTable`. A handler only reads headers and writes answers."""

from __future__ import annotations

from collections.abc import Sequence

from ddx_core.http import Hangup, Request, Response, Route, json

from ..refusal import Refusal
from .answers import accepted, refuse
from .control import Control, CurrentControl, Fatal
from .extension_table import Extension, feature_account_id
from .states import ExtensionState

_base = "/2020-01-01/extension"
_unknown_in_errors = "Unknown Lambda-Extension-Identifier"


def extension_routes(current: CurrentControl) -> Sequence[Route]:
    async def register(request: Request) -> Response:
        control = current()
        extension = control.extensions.register(request.headers.get("lambda-extension-name", ""), request.body)
        if isinstance(extension, Refusal):
            return refuse(extension)
        control.changed()
        features = request.headers.get("lambda-extension-accept-feature", "")
        return json(_registered(control, features), headers=(("Lambda-Extension-Identifier", extension.identifier),))

    async def next_event(request: Request) -> Response:
        control = current()
        extension = control.extensions.find(request.headers.get("lambda-extension-identifier"))
        if isinstance(extension, Refusal):
            return refuse(extension)
        event = await control.next_event(extension)
        if event is None:
            raise Hangup
        if isinstance(event, Refusal):
            return refuse(event)
        return Response(body=event.body, content_type=event.content_type, headers=event.headers)

    async def init_error(request: Request) -> Response:
        return _error(current(), request, ExtensionState.INIT_ERROR)

    async def exit_error(request: Request) -> Response:
        return _error(current(), request, ExtensionState.EXIT_ERROR)

    return (
        Route(("POST",), f"{_base}/register", register),
        Route(("GET",), f"{_base}/event/next", next_event),
        Route(("POST",), f"{_base}/init/error", init_error),
        Route(("POST",), f"{_base}/exit/error", exit_error),
    )


def _registered(control: Control, features: str) -> dict[str, str]:
    facts = control.facts
    answer = {"functionName": facts.name, "functionVersion": facts.version, "handler": facts.handler}
    if facts.account_id and feature_account_id in [feature.strip() for feature in features.split(",")]:
        answer["accountId"] = facts.account_id
    return answer


def _error(control: Control, request: Request, to: ExtensionState) -> Response:
    extension: Extension | Refusal = control.extensions.find(
        request.headers.get("lambda-extension-identifier"), unknown=_unknown_in_errors
    )
    if isinstance(extension, Refusal):
        return refuse(extension)
    error_type = request.headers.get("lambda-extension-function-error-type")
    refusal = control.extensions.fail(extension, to, error_type)
    if refusal is not None:
        return refuse(refusal)
    control.fail(Fatal(f"Extension.{to}", f"extension {extension.name} reported {extension.error_type}"))
    return accepted()
