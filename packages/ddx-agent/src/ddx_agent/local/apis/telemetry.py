"""`PUT /2022-07-01/telemetry`, and the older Logs API, which this platform does not offer."""

from __future__ import annotations

from collections.abc import Sequence

from ddx_core.http import Request, Response, Route, json

from ..faults import Faults
from ..refusal import Refusal
from ..telemetry.subscription import SCHEMAS, parse_subscription
from .answers import error_body, refuse
from .control import CurrentControl


def telemetry_routes(current: CurrentControl, faults: Faults) -> Sequence[Route]:
    async def subscribe(request: Request) -> Response:
        control = current()
        extension = control.extensions.find(request.headers.get("lambda-extension-identifier"))
        if isinstance(extension, Refusal):
            return refuse(extension)
        if faults.telemetry_unsupported:
            return _not_supported("Telemetry")
        schemas = SCHEMAS if faults.telemetry_schemas is None else faults.telemetry_schemas
        subscription = parse_subscription(request.body, schemas=schemas)
        if isinstance(subscription, Refusal):
            return refuse(subscription)
        refusal = control.telemetry.subscribe(extension.identifier, extension.name or "", subscription)
        return refuse(refusal) if refusal is not None else json("OK")

    async def subscribe_logs(_: Request) -> Response:
        return _not_supported("Logs")

    return (
        Route(("PUT",), "/2022-07-01/telemetry", subscribe),
        Route(("PUT",), "/2020-08-15/logs", subscribe_logs),
    )


def _not_supported(api: str) -> Response:
    body = error_body(f"{api}.NotSupported", f"{api} API is not supported")
    return Response(status=202, body=body, content_type="application/json")
