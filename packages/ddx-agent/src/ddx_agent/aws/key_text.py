"""The API key in the text of a secret. Pure."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from .errors import AwsError


def api_key_in(text: str) -> str:
    """The key as text, or JSON with `dd_api_key` (ours) or `apiKey` (AWS's managed rotation). Raises AwsError for none.

    White space is never part of a key, though files and consoles like to add it.
    """
    key = re.sub(r"\s+", "", _lifted(text))
    if not key:
        raise AwsError("the secret is empty")
    if not re.fullmatch(r"[!-~]+", key):
        raise AwsError("the secret is no API key: it has characters that no key has")
    return key


def _lifted(text: str) -> str:
    try:
        document: Any = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(document, dict):
        for name in ("dd_api_key", "apiKey"):
            value: Any = document.get(name)  # type: ignore[misc]
            if isinstance(value, str):
                return value
    return text
