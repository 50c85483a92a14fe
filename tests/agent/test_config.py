"""Any environment gives a configuration; a bad value costs itself and one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddx_agent.config import Config, docs, explain, load_config, model, schema
from ddx_core.flush import Strategy, StrategyKind

root = Path(__file__).parent.parent.parent


def load(**environ: str) -> Config:
    loaded = load_config(environ)
    assert not loaded.complaints
    return loaded.config


def complaint(**environ: str) -> str:
    loaded = load_config(environ)
    assert loaded.config == Config()
    (only,) = loaded.complaints
    return str(only)


def test_nothing_set_gives_the_defaults() -> None:
    config = load()
    assert config.general.site == "datadoghq.com"
    assert config.flushing.strategy == Strategy(StrategyKind.DEFAULT)
    assert config.logs.enabled
    assert config == Config()


@pytest.mark.parametrize(
    ("written", "kept"),
    [("1.10", "1.10"), ("007", "007"), ("true", "true"), ("  1.0 ", "1.0"), ("[1]", "[1]")],
)
def test_a_version_stays_what_was_written(written: str, kept: str) -> None:
    assert load(DD_VERSION=written).general.version == kept


@pytest.mark.parametrize(
    ("environ", "enabled"),
    [
        ({}, True),
        ({"DD_SERVERLESS_LOGS_ENABLED": "false"}, False),
        ({"DD_SERVERLESS_LOGS_ENABLED": "false", "DD_LOGS_ENABLED": "true"}, True),
        ({"DD_LOGS_ENABLED": "true"}, True),
        ({"DD_LOGS_ENABLED": "false"}, False),
        ({"DD_SERVERLESS_LOGS_ENABLED": "false", "DD_LOGS_ENABLED": "false"}, False),
    ],
)
def test_either_logs_switch_turns_logs_on(environ: dict[str, str], enabled: bool) -> None:
    assert load(**environ).logs.enabled is enabled


@pytest.mark.parametrize("word", ["true", "True", "1", "t", "YES", "on"])
def test_booleans_are_read_in_any_common_form(word: str) -> None:
    assert load(DD_ENHANCED_METRICS=word).metrics.enhanced is True
    assert load(DD_SKIP="x").metrics.enhanced is True


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("https://a.example/", "https://a.example"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("agent-http-intake-pci.logs.datadoghq.com:443", "https://agent-http-intake-pci.logs.datadoghq.com:443"),
        ("https://gateway.example/datadog/", "https://gateway.example/datadog"),
    ],
)
def test_urls_lose_trailing_slashes_and_gain_a_scheme(written: str, url: str) -> None:
    assert load(DD_APM_DD_URL=written).intakes.traces_url == url
    assert load(DD_LOGS_CONFIG_LOGS_DD_URL=written).intakes.logs_url == url


def test_the_first_of_two_variables_wins() -> None:
    assert load(DD_DD_URL="http://a", DD_URL="http://b").intakes.metrics_url == "http://a"
    assert load(DD_URL="http://b").intakes.metrics_url == "http://b"
    assert load(DD_COMPRESSION_LEVEL="7", DD_APM_CONFIG_COMPRESSION_LEVEL="9").traces.compression_level == 9
    assert load(DD_COMPRESSION_LEVEL="7", DD_APM_CONFIG_COMPRESSION_LEVEL="9").logs.compression_level == 7


def test_names_count_in_any_letter_case_and_datadog_is_an_alias_that_yields() -> None:
    assert load(dd_site="datadoghq.eu").general.site == "datadoghq.eu"
    assert load(DATADOG_SITE="datadoghq.eu").general.site == "datadoghq.eu"
    assert load(DATADOG_SITE="datadoghq.eu", DD_SITE="us5.datadoghq.com").general.site == "us5.datadoghq.com"


def test_tags_are_split_at_commas_and_spaces_and_keep_their_colons() -> None:
    tags = load(DD_TAGS="team:web, env:prod url:https://x.example/a:b alone").general.tags
    assert tags == (("team", "web"), ("env", "prod"), ("url", "https://x.example/a:b"), ("alone", ""))


def test_bytes_that_are_no_text_do_not_get_into_the_configuration() -> None:
    config = load(DD_SERVICE="caf\udce9", DD_TAGS="a:\udcff\udcfe b:\ud800")
    assert repr(config.general).encode()
    assert config.general.service is not None
    assert config.general.service.startswith("caf\ufffd")


def test_white_space_in_an_api_key_is_cut() -> None:
    assert load(DD_API_KEY=" 32alxcxf\n").general.api_key == "32alxcxf"


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (
            {"DD_FLUSH_TIMEOUT": "5s"},
            "DD_FLUSH_TIMEOUT: expected seconds as a number from 0.1 to 900; the default is used",
        ),
        (
            {"DD_SERVERLESS_FLUSH_STRATEGY": "periodically,0"},
            "DD_SERVERLESS_FLUSH_STRATEGY: the interval is a whole number",
        ),
        ({"DD_SERVERLESS_FLUSH_STRATEGY": "5"}, "DD_SERVERLESS_FLUSH_STRATEGY: expected default, end"),
        ({"DD_API_KEY": "k\u00e9y"}, "DD_API_KEY: expected printable ASCII characters; the default is used"),
        ({"DD_SITE": "no site!"}, "DD_SITE: expected a Datadog site like datadoghq.com"),
        ({"DD_DD_URL": "ftp://x"}, "DD_DD_URL: expected a URL like https://host"),
        ({"DD_STATSD_METRIC_NAMESPACE": "1myapp"}, "DD_STATSD_METRIC_NAMESPACE: expected a letter"),
        (
            {"DD_LOGS_CONFIG_COMPRESSION_LEVEL": "23"},
            "DD_LOGS_CONFIG_COMPRESSION_LEVEL: expected a whole number from 0 to 22",
        ),
    ],
)
def test_a_bad_value_is_named_and_the_default_is_used(environ: dict[str, str], said: str) -> None:
    assert complaint(**environ).startswith(said)


def test_one_bad_value_affects_that_setting_alone() -> None:
    loaded = load_config({"DD_FLUSH_TIMEOUT": "x", "DD_SITE": "datadoghq.eu", "DD_SERVERLESS_FLUSH_STRATEGY": "end"})
    assert loaded.config.general.site == "datadoghq.eu"
    assert loaded.config.flushing.strategy == Strategy(StrategyKind.END)
    assert [each.variable for each in loaded.complaints] == ["DD_FLUSH_TIMEOUT"]


settings = [each for kind in schema.section_types.values() for each in kind.settings.values()]
variables = sorted({name for each in settings for name in each.variables})


@given(st.dictionaries(st.sampled_from(variables) | st.text(max_size=30), st.text(max_size=200), max_size=12))
def test_any_environment_gives_a_configuration_and_no_value_is_repeated(environ: dict[str, str]) -> None:
    loaded = load_config(environ)
    model.validate(loaded.config)
    for each in loaded.complaints:
        written = next(value for name, value in environ.items() if name.upper().endswith(each.variable[3:]))
        assert len(written) < 4 or written not in each.problem


def test_explaining_the_configuration_masks_secrets() -> None:
    loaded = load_config({"DD_API_KEY": "0123456789abcdef0123456789abcdef"})
    for as_json in (False, True):
        text = explain.explain(loaded, as_json=as_json)
        assert "0123456789abcdef0123" not in text
        assert "cdef" in text


def test_the_documentation_is_current() -> None:
    assert (root / "docs" / "configuration.md").read_text(encoding="utf-8") == docs.render()
