"""Card numbers; vectors of libdatadog, libdd-trace-obfuscation (credit_cards.rs)."""

from __future__ import annotations

import pytest

from ddx_traces.obfuscate.credit_cards import CardObfuscator, is_card_number
from ddx_traces.span import ArrayValue, AttributeValue, ScalarValue, SpanEvent

from .support import span


@pytest.mark.parametrize(
    "text",
    ["378282246310005", "  3782-8224-6310-005 ", "30569309025904", "6011 1111 1111 1117", " 3530111333--300000  ",
     "422222 2222222", "5019717010103742", "2223003122003222", "620000000000000", "1354 1001 4004 955"],
)  # fmt: skip
def test_card_numbers_are_known(text: str) -> None:
    assert is_card_number(text, luhn=False)


@pytest.mark.parametrize(
    "text",
    ["37828224631000521389798", "37828224631", "3714djkkkksii31", "x371413321323331", "", "7712378231899", "   -  "],
)
def test_other_texts_are_none(text: str) -> None:
    assert not is_card_number(text, luhn=False)


@pytest.mark.parametrize(("text", "valid"), [("378282246310005", True), ("378282246310006", False)])
def test_the_check_digit_counts_when_asked_for(text: str, valid: bool) -> None:
    assert is_card_number(text, luhn=True) is valid
    assert is_card_number(text, luhn=False)


def test_tags_numbers_and_events_lose_card_numbers() -> None:
    number = "378282246310005"
    event = SpanEvent(
        attributes={
            "text": AttributeValue(string_value=number),
            "int": AttributeValue(type=2, int_value=int(number)),
            "bool": AttributeValue(type=1, bool_value=True),
            "list": AttributeValue(
                type=4,
                array_value=ArrayValue(values=[ScalarValue(string_value=number), ScalarValue(type=2, int_value=5)]),
            ),
            "error.msg": AttributeValue(string_value=number),
        }
    )
    changed = span(
        meta={"card.number": number, "account_id": number, "_own": number, "mine": number, "other": "378"},
        metrics={
            "paid_with": float(number),
            "amount": 12.5,
            "_dd.n": float(number),
            "nan": float("nan"),
            "inf": float("inf"),
        },
        span_events=[event],
    )
    CardObfuscator(keep=["mine"]).apply(changed)
    assert changed.meta == {
        "card.number": "?",
        "account_id": number,
        "_own": number,
        "mine": number,
        "other": "378",
        "paid_with": "?",
    }
    assert set(changed.metrics) == {"amount", "_dd.n", "nan", "inf"}
    hidden = AttributeValue(string_value="?")
    assert event.attributes == {
        "text": hidden,
        "int": hidden,
        "bool": AttributeValue(type=1, bool_value=True),
        "list": AttributeValue(
            type=4, array_value=ArrayValue(values=[ScalarValue(string_value="?"), ScalarValue(type=2, int_value=5)])
        ),
        "error.msg": AttributeValue(string_value=number),
    }
