"""Answers of the Lambda APIs in the shape AWS's own code gives them: `{"status":"OK"}`, error bodies, refusals."""

from __future__ import annotations

import msgspec

from ddx_core.http import Response

from ..refusal import Refusal

type_json = "application/json"

_html_sensitive = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def error_body(error_type: str, message: str) -> bytes:
    """One JSON object and a newline; `<`, `>` and `&` escaped, as Go's encoder does."""
    text = msgspec.json.encode({"errorMessage": message, "errorType": error_type}).decode()
    for plain, escaped in _html_sensitive.items():
        text = text.replace(plain, escaped)
    return text.encode() + b"\n"


def refuse(refusal: Refusal) -> Response:
    return Response(status=refusal.status, body=error_body(refusal.error_type, refusal.message), content_type=type_json)


def accepted() -> Response:
    return Response(status=202, body=b'{"status":"OK"}\n', content_type=type_json)
