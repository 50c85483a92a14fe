"""URLs without credentials, queries and digits; vectors of libdatadog, libdd-trace-obfuscation (http.rs)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddx_traces.obfuscate.http import obfuscate_url

foo = "http://foo.com"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"{foo}/", f"{foo}/"),
        (f"{foo}/123", f"{foo}/123"),
        (f"{foo}/id/123/page/1?search=bar&page=2", f"{foo}/id/123/page/1?"),
        (f"{foo}/id/123/page/1?search=bar&page=2#fragment", f"{foo}/id/123/page/1?#fragment"),
        (f"{foo}/id/123/pa%3Fge/1?blabla", f"{foo}/id/123/pa%3Fge/1?"),
        ("http://user:password@foo.com/1/2/3?q=james", f"{foo}/1/2/3?"),
        ("%30ჸ", "0%E1%83%B8"),
        ("this is not a valid url", "this%20is%20not%20a%20valid%20url"),
    ],
)
def test_queries_are_removed(url: str, expected: str) -> None:
    assert obfuscate_url(url, removes_query=True) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"{foo}/name?query=search", f"{foo}/name?query=search"),
        (f"{foo}/id/123/page/1?search=bar&page=2", f"{foo}/id/?/page/??search=bar&page=2"),
        (
            f"{foo}/id/a1/page/1qwe233?search=bar&page=2#fragment-123",
            f"{foo}/id/?/page/??search=bar&page=2#fragment-123",
        ),
        (f"{foo}/123/name/abcd9", f"{foo}/?/name/?"),
        (f"{foo}/1%3F3/nam%3Fe/abcd9", f"{foo}/?/nam%3Fe/?"),
        ("?ჸ", "?ჸ"),
        ("ჸ?#", "%E1%83%B8?"),
    ],
)
def test_segments_with_digits_are_removed(url: str, expected: str) -> None:
    assert obfuscate_url(url, removes_digits=True) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"{foo}/id/123/page/q?search=bar&page=2", f"{foo}/id/?/page/q?"),
        ("", ""), ("#", ""), ("%", "?"), (".", "."), ("0", "?"), (":", "?"), ("!", "!"),
        ("ჸ", "%E1%83%B8"), ("!ჸ", "%21%E1%83%B8"), ("[ჸ", "%5B%E1%83%B8"), ("\\", "%5C"), ("<!", "%3C%21"), ('"!', "%22%21"),
        ("##", "#%23"), ("#%", "?"), ("#ჸ", "#%E1%83%B8"), ("#'ჸ", "#%27%E1%83%B8"), ("#!ჸ", "#!%E1%83%B8"),
        ("ჸ#0", "%E1%83%B8#0"), (".#", "."), ("#\x01", "#%01"), ("\x10ჸ", "?"),
        ("C:#", "c:"), ("A:ჸ", "a:ჸ"), ("../ჸ", "../%E1%83%B8"), ("!?ჸ", "!?"), (" ჸ", "%20%E1%83%B8"), ("ჸ?%", "%E1%83%B8?"),
        # What datadog-serverless-compat 0.19.0 makes of these.
        ("http://[::1]:80/a1/b", "http://[::1]:80/?/b"), ("http://[::1]:80/{x}", "?"), ("http://-a:b/x", "?"), ("#[x]", "?"),
    ],
)  # fmt: skip
def test_both_are_removed(url: str, expected: str) -> None:
    assert obfuscate_url(url, removes_query=True, removes_digits=True) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://user:password@foo.com/1/2/3?q=james", f"{foo}/1/2/3?q=james"),
        ("https://user@foo.com:8080/", "https://foo.com:8080/"),
        ("HTTPS://FOO.com/", "https://FOO.com/"),
        (f"{foo}/foo%20bar/", f"{foo}/foo%20bar/"),
        ("this is not a valid url", "this%20is%20not%20a%20valid%20url"),
        (":", ":"),
        ("%", "%"),
        ("\x10", "\x10"),
        ("C:\x01", "C:\x01"),
    ],
)
def test_only_credentials_go_unless_more_is_asked_for(url: str, expected: str) -> None:
    assert obfuscate_url(url) == expected


urls = st.one_of(
    st.text(max_size=60),
    st.lists(
        st.sampled_from(["http://", "a:b@", "foo.com", ":80", "/", "//", "1", "?", "#", "%41", "%", "é", " ", "[", "{", "'"]),
        max_size=10,
    ).map("".join),
)  # fmt: skip


@given(urls, st.booleans(), st.booleans())
def test_any_text_gives_a_text_that_stays_as_it_is(text: str, query: bool, digits: bool) -> None:
    once = obfuscate_url(text, removes_query=query, removes_digits=digits)
    if query or digits:
        assert "\x00" not in once.partition("#")[0].partition("?")[0]
    if query and "#" not in once:
        assert once.partition("?")[2].strip("?/") == "" or not digits


@given(st.text("abcdefg", min_size=1, max_size=8), st.text("0123456789", min_size=6, max_size=8), urls)
def test_credentials_and_numbers_never_come_through(name: str, secret: str, rest: str) -> None:
    written = obfuscate_url(
        f"https://{name}:{secret}x@foo.com/{secret}/y?{secret}", removes_query=True, removes_digits=True
    )
    assert written == "https://foo.com/?/y?"
    assert f"{secret}x@" not in obfuscate_url(f"https://{name}:{secret}x@foo.com/{secret}", removes_query=False)
