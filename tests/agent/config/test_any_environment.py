"""Any environment gives a configuration: no exception, the right types, and no value in any message."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ddx_agent.config import load_config, model
from ddx_agent.config.explain import all_complaints, explain_text
from ddx_agent.config.file import ConfigFile
from ddx_agent.config.other_names import not_yet, without_effect
from ddx_agent.config.schema import known_variables

ours = st.sampled_from(sorted(known_variables() | not_yet.keys() | without_effect.keys()))
names = ours | ours.map(str.lower) | ours.map(lambda name: name.replace("DD_", "DATADOG_", 1)) | st.text(max_size=30)
# The characters of a process's environment: lone surrogates stand for bytes that are no UTF-8.
values = st.text(st.characters(exclude_characters="\0"), max_size=60) | st.sampled_from(
    [
        "true",
        "[]",
        "{}",
        "[1]",
        '{"a":1}',
        "1.10",
        "007",
        "-5",
        "null",
        '[{"api_key":5}]',
        "a:b",
        "\udcff\udcfe",
        "x" * 1_000_000,
    ]
)


@given(st.dictionaries(names, values, max_size=10))
def test_any_environment_gives_a_configuration(environ: dict[str, str]) -> None:
    loaded = load_config(environ, file=ConfigFile())
    model.validate(loaded.config)
    explain_text(loaded, environ, width=100)


marked = st.from_regex(r"[ -~]{0,10}S3CR3T[ -~]{0,10}", fullmatch=True)


# A filter is told by the key of its tag, which is no secret; its pattern is not told.
unnamed = ours.filter(lambda name: "FILTER_TAGS_REGEX" not in name)


@given(st.dictionaries(unnamed, marked, max_size=10))
def test_no_message_repeats_a_value(environ: dict[str, str]) -> None:
    loaded = load_config(environ, file=ConfigFile())
    assert all("S3CR3T" not in str(complaint) for complaint in all_complaints(loaded, environ))


trees = st.recursive(
    st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(
    ["site", "tags", "logs_config", "apm_config", "proxy", "additional_endpoints", "version", "api_key"]
)


@given(
    st.dictionaries(
        keys, trees | st.dictionaries(st.sampled_from(["additional_endpoints", "https", "no_proxy"]), trees), max_size=6
    )
)
def test_any_tree_in_the_file_gives_a_configuration(tree: dict[str, object]) -> None:
    model.validate(load_config({}, file=ConfigFile("f", tree)).config)
