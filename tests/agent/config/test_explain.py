"""What `ddx config` and the documentation show."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddx_agent.config import docs, load_config, model
from ddx_agent.config.command import show_config
from ddx_agent.config.env_file import parse_env_file
from ddx_agent.config.explain import all_complaints, explain_json, explain_text
from ddx_agent.config.file import ConfigFile
from ddx_agent.config.schema import known_paths, known_variables

root = Path(__file__).parent.parent.parent.parent
no_file = ConfigFile()
key = "0123456789abcdef0123456789abcdef"
secrets = {
    "DD_API_KEY": key,
    "DD_PROXY_HTTPS": f"http://me:{key}@proxy:1",
    "DD_ADDITIONAL_ENDPOINTS": json.dumps({"https://x.example": [key]}),
    "DD_LOGS_CONFIG_ADDITIONAL_ENDPOINTS": json.dumps([{"api_key": key, "Host": "y.example", "Port": 443}]),
}


def test_secrets_are_masked_everywhere() -> None:
    loaded = load_config(secrets, file=no_file, secrets={"DD_SERVICE": key})
    for text in (explain_text(loaded, secrets), explain_json(loaded, secrets), repr(vars(loaded.config)), repr(loaded)):
        assert key[:20] not in text
    assert "***cdef" in explain_text(loaded, secrets)
    assert "https://x.example" in explain_text(loaded, secrets)


def test_each_setting_is_shown_with_value_source_and_default() -> None:
    environ = {"DD_SITE": "datadoghq.eu", "DD_URL": "http://127.0.0.1:1"}
    loaded = load_config(environ, file=ConfigFile("/x/datadog.yaml", {"log_level": "debug", "tags": ["a:b", "c"]}))
    rows = {row["setting"]: row for row in json.loads(explain_json(loaded, environ))["settings"]}
    assert rows["general.site"]["value"] == "datadoghq.eu"
    assert (rows["general.site"]["source"], rows["general.site"]["default"]) == ("DD_SITE", "datadoghq.com")
    assert rows["intakes.metrics_url"]["source"] == "DD_URL"
    assert rows["general.log_level"]["source"] == "datadog.yaml: log_level"
    assert rows["general.tags"]["value"] == "a:b, c"
    assert rows["flushing.strategy"]["value"] == "default"
    text = explain_text(loaded, environ, width=140)
    assert "file: /x/datadog.yaml" in text
    assert any(line.startswith("* DD_SITE") and "datadoghq.eu" in line for line in text.splitlines())


arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:x"


def rows_of(environ: dict[str, str]) -> dict[str, tuple[str, str]]:
    rows = json.loads(explain_json(load_config(environ, file=no_file), environ))["settings"]
    return {row["setting"]: (row["value"], row["source"]) for row in rows}


def test_a_setting_that_a_secret_gives_names_the_secret_s_variable_and_no_value() -> None:
    environ = {
        "DD_TAGS": "a:b",
        "DD_TAGS_SECRET_ARN": arn,
        "DD_SITE_SECRET_ARN": "nonsense",
        "dd_url_kms_encrypted": "x",
    }
    rows = rows_of(environ)
    assert rows["general.tags"] == ("***", "DD_TAGS_SECRET_ARN")
    assert rows["general.site"] == ("***", "DD_SITE_SECRET_ARN")
    assert rows["intakes.metrics_url"] == ("***", "DD_URL_KMS_ENCRYPTED")
    text = explain_text(load_config(environ, file=no_file), environ)
    assert any(line.startswith("* DD_SITE") for line in text.splitlines())
    assert "a:b" not in text
    assert arn not in text


def test_a_general_setting_s_secret_gives_those_that_have_nothing_of_their_own() -> None:
    environ = {
        "DD_COMPRESSION_LEVEL": "3",
        "DD_COMPRESSION_LEVEL_SECRET_ARN": arn,
        "DD_LOGS_CONFIG_COMPRESSION_LEVEL": "7",
    }
    rows = rows_of(environ)
    assert rows["logs.compression_level"] == ("7", "DD_LOGS_CONFIG_COMPRESSION_LEVEL")
    assert rows["metrics.compression_level"] == ("***", "DD_COMPRESSION_LEVEL_SECRET_ARN")


def test_what_a_secret_gives_is_not_said_to_be_missing() -> None:
    worker = "DD_OBSERVABILITY_PIPELINES_WORKER_LOGS"
    environ = {f"{worker}_ENABLED": "true", f"{worker}_URL_SECRET_ARN": arn}
    assert all_complaints(load_config(environ, file=no_file), environ) == []


def test_ports_and_hosts_that_are_read_at_start_are_shown() -> None:
    rows = rows_of(
        {
            "DD_APM_RECEIVER_PORT": "9126",
            "DDX_LIFECYCLE_PORT": "8124",
            "DDX_DOGSTATSD_HOST": "::1",
            "DD_APM_NON_LOCAL_TRAFFIC": "Yes",
        }
    )
    assert rows["ports.apm_receiver_port"] == ("9126", "DD_APM_RECEIVER_PORT")
    assert rows["ports.lifecycle_port"] == ("8124", "DDX_LIFECYCLE_PORT")
    assert rows["ports.dogstatsd_host"] == ("::1", "DDX_DOGSTATSD_HOST")
    assert rows["ports.apm_non_local_traffic"] == ("true", "DD_APM_NON_LOCAL_TRAFFIC")
    assert rows["ports.dogstatsd_non_local_traffic"] == ("false", "default")
    assert rows["ports.telemetry_port"] == ("8999", "default")


@pytest.mark.parametrize("written", ["abc", "65536", "-1", "8125.0"])
def test_what_is_no_port_is_told(written: str) -> None:
    environ = {"DD_DOGSTATSD_PORT": written}
    assert rows_of(environ)["ports.dogstatsd_port"] == ("8125", "default")
    (complaint,) = all_complaints(load_config(environ, file=no_file), environ)
    assert str(complaint) == "DD_DOGSTATSD_PORT: expected a port number from 0 to 65535; 8125 is used"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("DD_STIE", "did you mean DD_SITE?"),
        ("DD_SERVERLESS_FLUSH_STRATGY", "did you mean DD_SERVERLESS_FLUSH_STRATEGY?"),
        ("DD_APM_WINDOWS_PIPE_NAME", "named pipes are for Windows"),
        ("DD_FLUSHING_STRATEGY", "use DD_SERVERLESS_FLUSH_STRATEGY"),
        ("datadog_logs_config_use_http", "logs always go over HTTP"),
    ],
)
def test_a_name_that_does_nothing_is_told(name: str, said: str) -> None:
    environ = {name: "x"}
    (complaint,) = all_complaints(load_config(environ, file=no_file), environ)
    assert said in str(complaint)


@pytest.mark.parametrize(
    "name", ["DD_TRACE_HTTPX_ENABLED", "DD_PROFILING_ENABLED", "DD_API_KEY_SECRET_ARN", "DD_TAGS_KMS_ENCRYPTED"]
)
def test_names_of_tracers_and_secrets_are_left_in_peace(name: str) -> None:
    environ = {name: "x"}
    assert all_complaints(load_config(environ, file=no_file), environ) == []


def documented_names() -> set[str]:
    return {
        word.strip("`")
        for word in (root / "docs" / "configuration.md").read_text(encoding="utf-8").replace(",", " ").split()
    }


def test_the_documentation_is_current_and_names_every_variable() -> None:
    assert (root / "docs" / "configuration.md").read_text(encoding="utf-8") == docs.render()
    assert known_variables() <= documented_names()


def test_the_schema_for_editors_knows_nested_keys() -> None:
    schema: Any = json.loads(model.json_schema())
    level = schema["properties"]["logs_config"]["properties"]["compression_level"]
    assert level["type"] == "integer"
    assert level["description"].startswith("Level of compression of log payloads")


def test_the_schema_for_editors_and_the_documentation_know_every_key() -> None:
    def leaves(node: dict[str, Any], before: str = "") -> set[str]:
        found: set[str] = set()
        for key, value in node.items():
            found |= leaves(value["properties"], f"{before}{key}.") if "properties" in value else {f"{before}{key}"}
        return found

    schema: Any = json.loads(model.json_schema())
    assert leaves(schema["properties"]) == known_paths()
    assert known_paths() <= documented_names()
    assert "number" in schema["properties"]["version"]["type"]


@pytest.mark.parametrize(
    "content",
    [
        "# mine\nexport DD_ENV=prod\nDD_TAGS='a:b c:d'\n\n",
        json.dumps({"DD_ENV": "prod", "DD_TAGS": "a:b c:d"}),
        json.dumps({"FunctionName": "f", "Environment": {"Variables": {"DD_ENV": "prod", "DD_TAGS": "a:b c:d"}}}),
        json.dumps({"Configuration": {"Environment": {"Variables": {"DD_ENV": "prod", "DD_TAGS": "a:b c:d"}}}}),
    ],
)
def test_another_environment_comes_as_lines_or_as_aws_prints_it(content: str) -> None:
    assert parse_env_file(content) == {"DD_ENV": "prod", "DD_TAGS": "a:b c:d"}


@pytest.mark.parametrize(
    "content",
    [
        '{"FunctionName": "f", "FunctionArn": "arn:aws:lambda:eu-west-1:1:function:f", "MemorySize": 128}',
        '{"Configuration": {"FunctionArn": "arn:aws:lambda:eu-west-1:1:function:f", "Timeout": 3}, "Code": {}}',
    ],
)
def test_function_without_variables_is_an_empty_environment(content: str) -> None:
    assert parse_env_file(content) == {}


@given(st.text(max_size=200))
def test_any_text_is_an_environment_or_a_refusal(content: str) -> None:
    try:
        environ = parse_env_file(content)
    except ValueError:
        return
    load_config(environ, file=no_file)


def test_the_command_explains_a_file_of_variables(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "env").write_text(f"DD_SITE=datadoghq.eu\nDD_API_KEY={key}\n")
    (tmp_path / "datadog.yaml").write_text("env: prod\n")
    options = argparse.Namespace(
        env=str(tmp_path / "env"), file=str(tmp_path / "datadog.yaml"), json=True, schema=False
    )
    assert show_config(options) == 0
    shown = json.loads(capfd.readouterr().out)
    assert shown["file"] == str(tmp_path / "datadog.yaml")
    options.env = str(tmp_path / "none")
    assert show_config(options) == 2
    assert "No such file" in capfd.readouterr().err
