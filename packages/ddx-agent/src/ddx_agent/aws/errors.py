"""AwsError: why AWS gave nothing, and what to do. Its text never holds what was sent or answered."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from ddx_core.errors import DdxError

denied: Final = frozenset({"AccessDeniedException", "AccessDenied", "UnauthorizedOperation"})
_throttled: Final = re.compile(r"Throttl|TooManyRequests|RequestLimitExceeded|SlowDown")


class AwsError(DdxError):
    """`kind` is AWS's own name of the error where there is one. `may_pass`: trying again can help."""

    def __init__(self, text: str, *, kind: str = "", status: int | None = None, may_pass: bool = False) -> None:
        super().__init__(text)
        self.kind = kind
        self.status = status
        self.may_pass = may_pass


class _ErrorBody(msgspec.Struct):
    type: str = msgspec.field(name="__type", default="")
    code: str = ""
    message: Any = ""
    capital_message: Any = msgspec.field(name="Message", default="")


def error_kind(body: bytes) -> str:
    """AWS's name of an error: `{"__type": "com.amazonaws...#AccessDeniedException"}` → AccessDeniedException."""
    told = _read(body)
    # Some services put a namespace before it and an address behind it.
    kind = (told.type or told.code).partition(":")[0].rpartition("#")[2]
    # Letters alone: a key that an answer quotes in this place has digits.
    return kind if re.fullmatch(r"[A-Za-z.]{1,80}", kind) else ""


def is_throttled(kind: str) -> bool:
    """Services of this family throttle with status 400."""
    return _throttled.search(kind) is not None


def what_to_do(kind: str, action: str, body: bytes) -> str:
    """Advice to end an error's text with, or nothing. `action` is what was called, as IAM names it."""
    match kind:
        case _ if kind in denied:
            return f"; allow {_missing_action(body) or action} to the function's role"
        case "DecryptionFailure":
            return "; allow kms:Decrypt to the function's role, and see that the key is enabled"
        case "ResourceNotFoundException" | "ParameterNotFound" | "NotFoundException":
            return "; check the name: an ARN names region and account too"
        case "InvalidCiphertextException" | "IncorrectKeyException":
            return "; encrypt it anew in this region, without a context or in this function's console"
        case "InvalidSignatureException" | "RequestExpired":
            return "; check the secret access key and the clock"
        case "UnrecognizedClientException" | "InvalidClientTokenId" | "ExpiredTokenException":
            return "; check AWS_ACCESS_KEY_ID and AWS_SESSION_TOKEN, which Lambda sets where nobody else does"
        case _:
            return ""


def _missing_action(body: bytes) -> str:
    """The permission that AWS says is missing: to read an encrypted secret takes kms:Decrypt besides what was called."""
    told = _read(body)
    text = f"{told.message} {told.capital_message}"
    if "Access to KMS is not allowed" in text:
        return "kms:Decrypt"
    found = re.search(r"not authorized to perform:? ((?:kms|ssm|secretsmanager):[A-Za-z]{1,40})\b", text)
    return found[1] if found else ""


def _read(body: bytes) -> _ErrorBody:
    try:
        return msgspec.json.decode(body, type=_ErrorBody)
    except (ValueError, RecursionError):
        return _ErrorBody()
