"""Numbers of payment cards in tags. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from ..span import ArrayValue, AttributeValue, ScalarValue, Span

_digits_and_separators: Final = re.compile(r"[0-9 -]{12,}")
_separators: Final = re.compile(r"[ -]+")
# The issuers' ranges, as far as they are known: the first digits tell.
_prefix: Final = re.compile(r"[146]|5[0-8]|3[4-9]|30[0-59]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720")

# Numbers there are no card's, whatever they look like; keys that begin with `_` are the tracers' own.
_never: Final = frozenset((
    "account_id", "aws_account", "config.spark_app_startTime", "config.spark_databricks_job_parentRunId",
    "databricks_job_id", "databricks_job_run_id", "databricks_task_run_id", "env", "error", "error.msg", "error.stack",
    "error.type", "graphql.field", "graphql.operation.name", "graphql.query", "graphql.type", "grpc.code", "grpc.method",
    "grpc.request", "http.method", "http.status_code", "out.host", "out.port", "runtime-id", "sampling.priority", "service",
    "service.name", "span.name", "span.type", "sql.query", "version",
))  # fmt: skip
_array: Final = 4


def is_card_number(text: str, *, luhn: bool) -> bool:
    """12 to 16 digits, spaces and dashes anywhere, of a known issuer. `luhn`: with a correct check digit."""
    if len(text) < 12 or _digits_and_separators.fullmatch(text) is None:
        return False
    digits = _separators.sub("", text)
    if not 12 <= len(digits) <= 16 or _prefix.match(digits) is None:
        return False
    return not luhn or _has_check_digit(digits)


class CardObfuscator:
    """Puts `?` for card numbers in the tags of spans and of their events. `keep`: keys that are not looked at."""

    def __init__(self, *, luhn: bool = False, keep: Iterable[str] = ()) -> None:
        self._luhn = luhn
        self._never = _never.union(keep)

    def apply(self, span: Span) -> None:
        """Change `span`. A number among its metrics becomes a text among its meta."""
        meta = span.meta
        for key, value in meta.items():
            # Digits come first in nearly no tag.
            if len(value) >= 12 and value[0] in "0123456789 -" and self._hides(key, value):
                meta[key] = "?"
        for key in [
            key for key, number in span.metrics.items() if number >= 1e11 and self._hides(key, _text_of(number))
        ]:
            del span.metrics[key]
            meta[key] = "?"
        if span.span_events:
            for event in span.span_events:
                for key, value in event.attributes.items():
                    if self._looks_at(key):
                        event.attributes[key] = self._event_value(value)

    def _looks_at(self, key: str) -> bool:
        return not key.startswith("_") and key not in self._never

    def _hides(self, key: str, text: str) -> bool:
        return self._looks_at(key) and is_card_number(text, luhn=self._luhn)

    def _event_value(self, value: AttributeValue) -> AttributeValue:
        if value.type == _array and value.array_value is not None:
            values = value.array_value.values
            return AttributeValue(
                type=_array,
                array_value=ArrayValue(
                    values=[ScalarValue(string_value="?") if self._is_card(each) else each for each in values]
                ),
            )
        return AttributeValue(string_value="?") if self._is_card(value) else value

    def _is_card(self, value: AttributeValue | ScalarValue) -> bool:
        match value.type:
            case 0:
                text = value.string_value
            case 2:
                text = str(value.int_value)
            case 3:
                text = _text_of(value.double_value)
            case _:
                return False
        return is_card_number(text, luhn=self._luhn)


def _text_of(number: float) -> str:
    # Infinity and what is not a number have no digits; above 16 digits nothing is a card.
    return str(int(number)) if 0 <= number < 1e17 and number == int(number) else ""


def _has_check_digit(digits: str) -> bool:
    """The last digit makes the sum a multiple of ten (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, character in enumerate(reversed(digits)):
        digit = int(character)
        if place & 1:
            digit = digit * 2 - 9 if digit > 4 else digit * 2
        total += digit
    return total % 10 == 0
