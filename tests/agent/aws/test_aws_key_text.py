"""The API key in the text of a secret."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddx_agent.aws import AwsError, api_key_in


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{"dd_api_key":"abc123"}', "abc123"),
        ('{"apiKey":"abc123","apiKeyId":"some-uuid"}', "abc123"),
        ('{"dd_api_key":"abc123","apiKey":"def456"}', "abc123"),
        ('{"other_key":"abc123"}', '{"other_key":"abc123"}'),
        ("abc123", "abc123"),
        ('{"dd_api_key":"abc123"', '{"dd_api_key":"abc123"'),
        (" 32alxcxf\r\n\t", "32alxcxf"),
        ('{"dd_api_key":" abc\\n"}', "abc"),
        ("12345", "12345"),
    ],
)
def test_the_key_in_a_secret(text: str, key: str) -> None:
    assert api_key_in(text) == key


@pytest.mark.parametrize("text", ["", "   \n", '{"dd_api_key":""}', "k\u00e9y", "\x00"])
def test_what_is_no_key_is_refused_without_telling_it(text: str) -> None:
    with pytest.raises(AwsError, match="the secret is") as caught:
        api_key_in(text)
    assert "\u00e9" not in str(caught.value)


@given(st.text(max_size=40) | st.dictionaries(st.sampled_from(["dd_api_key", "apiKey"]), st.text()).map(repr))
def test_any_text_is_a_key_for_a_header_or_an_aws_error(text: str) -> None:
    try:
        key = api_key_in(text)
    except AwsError:
        return
    assert re.fullmatch(r"[!-~]+", key)
