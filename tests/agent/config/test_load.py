"""Any environment gives a configuration; a bad value costs itself and one line."""

from __future__ import annotations

from typing import Any

import pytest

from ddx_agent.config import Config, load_config
from ddx_agent.config.file import ConfigFile
from ddx_agent.config.load import Source
from ddx_agent.config.schema import section_types
from ddx_core.flush import Strategy, StrategyKind
from ddx_core.intake.compress import Coding

no_file = ConfigFile()


def load(**environ: str) -> Config:
    loaded = load_config(environ, file=no_file)
    assert not loaded.complaints
    return loaded.config


def complaint(**environ: str) -> str:
    loaded = load_config(environ, file=no_file)
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


@pytest.mark.parametrize(
    ("file", "environ", "enabled"),
    [
        ({"serverless_logs_enabled": "false"}, {}, False),
        ({"logs_enabled": "true", "serverless_logs_enabled": "false"}, {}, True),
        # A source that says anything of them is heard alone.
        ({"logs_enabled": "true"}, {"DD_SERVERLESS_LOGS_ENABLED": "false"}, False),
        ({"serverless_logs_enabled": "false"}, {"DD_LOGS_ENABLED": "true"}, True),
        ({"serverless_logs_enabled": "false"}, {"DD_LOGS_ENABLED": "maybe"}, False),
    ],
)
def test_the_environment_s_logs_switches_stand_in_place_of_the_file_s(
    file: dict[str, Any], environ: dict[str, str], enabled: bool
) -> None:
    assert load_config(environ, file=ConfigFile("f", file)).config.logs.enabled is enabled


@pytest.mark.parametrize(
    ("environ", "types"),
    [
        ({}, ("platform", "function", "extension")),
        ({"DD_LOGS_CONFIG_LAMBDA_LOGS_TYPE": "function"}, ("platform", "function")),
        ({"DD_LOGS_CONFIG_LAMBDA_LOGS_TYPE": "Platform extension"}, ("platform", "extension")),
        ({"DD_LOGS_CONFIG_LAMBDA_LOGS_TYPE": "platform,function,nonsense"}, ("platform", "function")),
        ({"DD_LOGS_CONFIG_LAMBDA_LOGS_TYPE": "nonsense"}, ("platform", "function", "extension")),
        ({"DD_LOGS_CONFIG_LAMBDA_LOGS_TYPE": " "}, ("platform", "function", "extension")),
        ({"DD_LOGS_CONFIG_LAMBDA_LOGS_TYPE": "function", "DD_LOGS_ENABLED": "false"}, ("platform",)),
    ],
)
def test_lines_are_subscribed_to_as_wanted_and_the_platform_always(
    environ: dict[str, str], types: tuple[str, ...]
) -> None:
    assert load_config(environ, file=no_file).config.logs.telemetry_types == types


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


@pytest.mark.parametrize(
    "address",
    [
        "https://a-b.c_d.example.:443/p%20q/r", "http://127.0.0.1:1", "http://[::1]:65535", "http://[fd00::1.2.3.4]",
        "http://agent", "https://xn--bcher-kva.example", "https://1.2.example", f"https://{'a' * 63}.example",
    ],
)  # fmt: skip
def test_addresses_that_can_exist_are_taken(address: str) -> None:
    assert load(DD_DD_URL=address).intakes.metrics_url == address


impossible_hosts = (
    "[::::]", "[1.2.3.4]", "[fe80::1%eth0]", "[]", "[::1", "::1", "a..b", ".a", ".", "999.1.1.1", "xn--",
    "a.XN--.b", "xn--a.b!", "b\u00fccher.example", f"{'a' * 64}.example", "a." * 127 + "a", "me@host",
)  # fmt: skip


@pytest.mark.parametrize("host", impossible_hosts)
def test_hosts_that_cannot_exist_are_refused(host: str) -> None:
    assert complaint(DD_DD_URL=f"https://{host}:1").startswith("DD_DD_URL: expected a URL like https://host")
    assert complaint(DD_SITE=host).startswith("DD_SITE: expected a Datadog site")
    endpoints = f'[{{"api_key": "k", "Host": "{host}"}}]'
    assert "entry 1: Host is" in complaint(DD_LOGS_CONFIG_ADDITIONAL_ENDPOINTS=endpoints)


@pytest.mark.parametrize("port", ["0", "65536", "99999", "123456", "-1", "", "a"])
def test_ports_that_cannot_exist_are_refused(port: str) -> None:
    assert complaint(DD_APM_DD_URL=f"http://127.0.0.1:{port}").startswith("DD_APM_DD_URL: expected a URL")
    assert complaint(DD_SITE=f"localhost:{port}").startswith("DD_SITE: expected a Datadog site")
    assert "entry 1: expected a URL" in complaint(DD_ADDITIONAL_ENDPOINTS=f'{{"http://a:{port}": ["k"]}}')


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


def test_a_path_that_every_payload_has_is_cut_off_an_intake_s_url() -> None:
    logs, traces = "https://logs.corp/api/v2/logs/", "trace.corp:8443/up/api/v0.2/traces"
    intakes = load(DD_LOGS_CONFIG_LOGS_DD_URL=logs, DD_APM_DD_URL=traces).intakes
    assert (intakes.logs_url, intakes.traces_url) == ("https://logs.corp", "https://trace.corp:8443/up")


@pytest.mark.parametrize(
    ("written", "kept"), [('"prod"', "prod"), (' "prod" ', "prod"), ('""', None), ('"a" "b"', '"a" "b"'), ('"', '"')]
)
def test_double_quotes_around_all_of_a_variable_are_taken_off(written: str, kept: str | None) -> None:
    assert load(DD_ENV=written).general.env == kept


def test_quotes_are_taken_off_before_a_value_is_read_by_its_type() -> None:
    config = load(DD_SITE='"datadoghq.eu"', DD_TAGS='"a:b,c:d"', DD_LOGS_ENABLED='"false"', DD_FLUSH_TIMEOUT='"5"')
    assert config.general.site == "datadoghq.eu"
    assert config.general.tags == (("a", "b"), ("c", "d"))
    assert config.logs.enabled is False
    assert config.network.flush_timeout_s == 5


def test_quotes_stay_where_they_mean_something() -> None:
    (only,) = load(DD_APM_IGNORE_RESOURCES='"GET /a{1,2}"').traces.ignore_resources
    assert only == "GET /a{1,2}"
    assert load_config({}, file=ConfigFile("f", {"env": '"prod"'})).config.general.env == '"prod"'


def test_white_space_in_an_api_key_is_cut() -> None:
    assert load(DD_API_KEY=" 32alxcxf\n").api_key.plain == "32alxcxf"


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
            "DD_LOGS_CONFIG_COMPRESSION_LEVEL: expected a whole number from -7 to 22",
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


def test_the_environment_is_stronger_than_the_file_and_the_file_than_the_default() -> None:
    file = ConfigFile("f", {"site": "datadoghq.eu", "version": "1.10", "log_level": "debug"})
    loaded = load_config({"DD_SITE": "us5.datadoghq.com"}, file=file)
    assert loaded.config.general.site == "us5.datadoghq.com"
    assert loaded.config.general.version == "1.10"
    assert loaded.config.general.log_level == "debug"
    assert loaded.sources["general.site"] == Source("environment", "DD_SITE")
    assert loaded.sources["general.version"] == Source("file", "version")
    assert "general.env" not in loaded.sources


def test_a_bad_variable_makes_room_for_the_file() -> None:
    loaded = load_config({"DD_SITE": "no site!"}, file=ConfigFile("f", {"site": "datadoghq.eu"}))
    assert loaded.config.general.site == "datadoghq.eu"
    (complaint,) = loaded.complaints
    assert str(complaint) == "DD_SITE: expected a Datadog site like datadoghq.com; site is used"


def test_a_secret_is_stronger_than_the_plain_variable() -> None:
    loaded = load_config({"DD_ENV": "plain"}, file=no_file, secrets={"DD_ENV": "hidden"})
    assert loaded.config.general.env == "hidden"
    assert loaded.sources["general.env"] == Source("secret", "DD_ENV")


def test_the_specific_compression_level_is_stronger_than_the_general_one_in_whatever_source() -> None:
    file = ConfigFile("f", {"logs_config": {"compression_level": "9"}, "compression_level": "5"})
    config = load_config({"DD_COMPRESSION_LEVEL": "1"}, file=file).config
    assert config.logs.compression_level == 9
    assert config.metrics.compression_level == 1
    assert load_config({}, file=file).config.traces.compression_level == 5


def test_an_empty_list_clears_what_the_file_says_and_blank_text_does_not() -> None:
    file = ConfigFile("f", {"tags": ["a:b"], "additional_endpoints": {"https://x": ["k"]}})
    assert load_config({"DD_TAGS": "[]"}, file=file).config.general.tags == ()
    assert load_config({"DD_TAGS": " "}, file=file).config.general.tags == (("a", "b"),)
    assert load_config({"DD_ADDITIONAL_ENDPOINTS": "{}"}, file=file).config.intakes.more_metrics == ()


def test_extra_tags_add_to_the_tags_and_yield_to_them() -> None:
    general = load(DD_TAGS="a:1 b:2", DD_EXTRA_TAGS="b:3 c:4").general
    assert general.all_tags == (("a", "1"), ("b", "2"), ("c", "4"))


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({"DD_PROXY_HTTPS": "my-proxy:3128"}, "http://my-proxy:3128"),
        ({"HTTPS_PROXY": "http://user:pa%40ss@proxy:3128/"}, "http://user:pa%40ss@proxy:3128"),
        ({"https_proxy": "proxy:1"}, "http://proxy:1"),
        ({"HTTPS_PROXY": "http://general", "DD_PROXY_HTTPS": "http://own"}, "http://own"),
    ],
)
def test_proxies_come_from_our_variables_or_from_everybodys(environ: dict[str, str], proxy: str) -> None:
    assert load(**environ).network.proxy_https == proxy


@pytest.mark.parametrize("written", ["a b,c", "a, b  c"])
def test_no_proxy_is_split_at_commas_and_spaces(written: str) -> None:
    assert load(DD_PROXY_NO_PROXY=written, NO_PROXY="d").network.no_proxy == ("a", "b", "c")
    assert load(DD_PROXY_NO_PROXY=written, NO_PROXY="d").network.shared_no_proxy == ("d",)


def test_settings_cannot_be_changed_or_misspelled() -> None:
    general = load().general
    with pytest.raises(AttributeError, match="read only"):
        general.site = "x"
    with pytest.raises(TypeError, match="no setting"):
        type(general)(cite="x")
    assert "0123456789" not in repr(load(DD_API_KEY="0123456789abcdef").api_key)


def test_every_variable_has_one_setting_and_every_path_of_the_file_too() -> None:
    settings = [each for kind in section_types.values() for each in kind.settings.values()]
    for names in (
        [name for each in settings for name in each.variables],
        [each.yaml for each in settings if each.yaml],
    ):
        assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"DD_TAGS": "env:a,x:y", "DD_ENV": "b"}, "DD_TAGS: its tag `env` differs from DD_ENV; DD_ENV is used"),
        ({"DD_EXTRA_TAGS": "service:a", "DD_SERVICE": "b"}, "DD_TAGS: its tag `service` differs from DD_SERVICE"),
        ({"DD_SKIP_SSL_VALIDATION": "1", "DD_TLS_CERT_FILE": "/x"}, "DD_TLS_CERT_FILE: DD_SKIP_SSL_VALIDATION is on"),
    ],
)
def test_settings_that_contradict_one_another_are_told(environ: dict[str, str], said: str) -> None:
    (only,) = load_config(environ, file=no_file).complaints
    assert str(only).startswith(said)


good_rule = {"type": "mask_sequences", "name": "n", "pattern": "x", "replace_placeholder": "y"}


@pytest.mark.parametrize("written", ['[{"type":', "7", "{}", '[{"type": "mask_sequences"}]'])
def test_a_typo_in_a_variable_does_not_switch_off_the_masks_of_the_file(written: str) -> None:
    file = ConfigFile("f", {"logs_config": {"processing_rules": [good_rule]}})
    loaded = load_config({"DD_LOGS_CONFIG_PROCESSING_RULES": written}, file=file)
    assert [rule.name for rule in loaded.config.logs.rules] == ["n"]
    (told,) = loaded.complaints
    assert str(told).startswith("DD_LOGS_CONFIG_PROCESSING_RULES: ")
    assert str(told).endswith("; logs_config.processing_rules is used")


@pytest.mark.parametrize(
    ("variable", "written", "path", "good"),
    [
        ("DD_APM_REPLACE_TAGS", "[", "apm_config.replace_tags",
         [{"name": "a", "pattern": "b", "repl": "c"}]),
        ("DD_HISTOGRAM_PERCENTILES", "7", "histogram_percentiles", "0.9"),
        ("DD_ADDITIONAL_ENDPOINTS", '{"https://a.example": 7}', "additional_endpoints",
         {"https://b.example": ["key"]}),
    ],
)  # fmt: skip
def test_what_has_no_usable_entry_makes_room_for_the_next_source(
    variable: str, written: str, path: str, good: object
) -> None:
    tree: Any = good
    for key in reversed(path.split(".")):
        tree = {key: tree}
    loaded = load_config({variable: written}, file=ConfigFile("f", tree))
    (told,) = loaded.complaints
    assert str(told).endswith(f"; {path} is used")
    assert any(source == Source("file", path) for source in loaded.sources.values())


def test_an_empty_list_clears_what_the_file_says() -> None:
    file = ConfigFile("f", {"logs_config": {"processing_rules": [good_rule]}})
    assert load_config({"DD_LOGS_CONFIG_PROCESSING_RULES": "[]"}, file=file).config.logs.rules == ()


def test_a_defect_in_reading_one_setting_costs_that_setting_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(raw: object) -> object:
        raise LookupError(raw)

    monkeypatch.setattr(section_types["general"].settings["env"], "parse", broken)
    loaded = load_config({"DD_ENV": "S3CR3T", "DD_SERVICE": "web"}, file=no_file)
    assert (loaded.config.general.env, loaded.config.general.service) == (None, "web")
    (told,) = loaded.complaints
    assert str(told) == "DD_ENV: reading it failed with LookupError, which is a defect of ddx; the default is used"


def test_thousands_of_bad_entries_make_few_lines() -> None:
    loaded = load_config({"DD_LOGS_CONFIG_PROCESSING_RULES": f"[{','.join(['7'] * 5000)}]"}, file=no_file)
    assert len(loaded.complaints) == 21
    assert "4980 more" in str(loaded.complaints[-1])


def test_compression_may_be_none_or_fast() -> None:
    assert load(DD_LOGS_CONFIG_COMPRESSION_KIND="none").logs.compression_kind == Coding.IDENTITY
    fast = load(DD_COMPRESSION_LEVEL="-7")
    levels = {fast.logs.compression_level, fast.metrics.compression_level, fast.traces.compression_level}
    assert levels == {-7}


@pytest.mark.parametrize("written", ['["one", "two"]', ' [ "one","two" ] ', "one,two", "one two"])
def test_lists_may_be_written_as_json(written: str) -> None:
    loaded = load_config({"DD_APM_OBFUSCATION_ELASTICSEARCH_KEEP_VALUES": written}, file=ConfigFile())
    assert loaded.config.traces.elasticsearch_keep == ("one", "two")
    assert loaded.complaints == ()


@pytest.mark.parametrize(
    "written",
    ["[team:web, env:prod]", "[team:web env:prod]", "['team:web', \"env:prod\"]", ' ["team:web","env:prod"] '],
)
def test_brackets_about_tags_make_a_list(written: str) -> None:
    assert load(DD_TAGS=written).general.tags == (("team", "web"), ("env", "prod"))


def test_quotes_within_a_tag_in_brackets_are_part_of_it() -> None:
    assert load(DD_TAGS="[env:'prod', 'team:web']").general.tags == (("env", "'prod'"), ("team", "web"))


@pytest.mark.parametrize("written", ["[1, one]", "[1,one]", '["1", "one"]'])
def test_brackets_about_names_make_a_list(written: str) -> None:
    assert load(DD_LAMBDA_CUSTOMER_METRICS_EXCLUDE_TAGS=written).metrics.exclude_tags == ("1", "one")


@pytest.mark.parametrize("written", ['[{"team": "web"}]', "[[a:b]]", "[a:b][c:d]"])
def test_lists_of_lists_or_maps_are_no_tags(written: str) -> None:
    assert complaint(DD_TAGS=written).startswith("DD_TAGS: expected tags like key:value")


def test_brackets_in_patterns_stay() -> None:
    filters = load(DD_APM_FILTER_TAGS_REGEX_REJECT="[k]:[a-z]").traces.filters
    assert [str(rule) for rule in filters.reject_regex] == ["[k]:[a-z]"]
