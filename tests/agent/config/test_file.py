"""datadog.yaml: what is read, and what is refused in bounded time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddx_agent.config import judge_keys, known_paths, load_config
from ddx_agent.config.file import ConfigFile, find_file, parse_yaml, read_file


def problem(path: Path) -> str:
    file = read_file(str(path))
    assert file.tree == {}
    (complaint,) = file.complaints
    return str(complaint)


def test_scalars_stay_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "datadog.yaml"
    path.write_text(
        "version: 1.10\nenv: true\nservice: 007\ntags:\n  - team:web\n  - owner:me\nlogs_config:\n  use_compression: no\n"
    )
    config = load_config({"DD_CONFIG_FILE": str(path)}).config
    assert (config.general.version, config.general.env, config.general.service) == ("1.10", "true", "007")
    assert config.general.tags == (("team", "web"), ("owner", "me"))
    assert config.logs.use_compression is False


@pytest.mark.parametrize(("name", "value"), [("DATADOG_CONFIG_FILE", "{}"), ("dd_config_file", ' "{}" ')])
def test_the_variable_that_names_the_file_is_spelled_and_quoted_as_all_others(
    tmp_path: Path, name: str, value: str
) -> None:
    path = tmp_path / "my.yaml"
    path.write_text("site: datadoghq.eu")
    assert load_config({name: value.format(path)}).config.general.site == "datadoghq.eu"


def test_the_file_is_looked_for_where_the_function_is(tmp_path: Path) -> None:
    assert find_file({"LAMBDA_TASK_ROOT": str(tmp_path)}) is None
    (tmp_path / "datadog.yaml").write_text("site: datadoghq.eu")
    assert load_config({"LAMBDA_TASK_ROOT": str(tmp_path)}).config.general.site == "datadoghq.eu"


def test_a_named_file_that_is_missing_is_told() -> None:
    loaded = load_config({"DD_CONFIG_FILE": "/nowhere/my.yaml"})
    assert [str(each) for each in loaded.complaints] == [
        "my.yaml: it cannot be read (No such file or directory); the file is left aside"
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: [b", "no valid YAML at line"),
        (b"- a\n- b", "expected keys with values at its top"),
        (b"just text", "expected keys with values at its top"),
        (b"\xff\xfe\x00", "no valid YAML"),
        (b"a: \x00", "no valid YAML"),
        (b"a: &x [1]\nb: *x", "aliases are not allowed (line 2)"),
        pytest.param(b"[" * 50_000, "nested deeper than 16 levels", id="brackets"),
        (b"a:\n" + b"".join(b" " * n + b"b:\n" for n in range(1, 40)), "nested deeper than 16 levels"),
        pytest.param(b"x" * (10 << 20), "larger than 1 MiB", id="size"),
        (b"? [a, b]\n: c", "no valid YAML"),
        (b"a: b\nsite: !!python/object/apply:os.system ['true']", "types written as `!name` are not allowed (line 2)"),
        (b"env: !mine prod", "types written as `!name` are not allowed (line 1)"),
        pytest.param(b"tags: [" + b"a," * 300_000 + b"]", "more than 20,000 keys and values", id="values"),
    ],
    ids=str,
)
def test_a_file_that_cannot_be_used_is_left_aside(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "datadog.yaml"
    path.write_bytes(content)
    assert said in problem(path)


def test_a_billion_laughs_are_not_laughed(tmp_path: Path) -> None:
    lines = ['a0: &a0 ["lol"]', *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12))]
    path = tmp_path / "datadog.yaml"
    path.write_text("\n".join(lines))
    assert "aliases are not allowed" in problem(path)


def test_types_of_yaml_itself_leave_text_text() -> None:
    assert parse_yaml(b"version: !!float 1.10\nenv: ! 007") == ({"version": "1.10", "env": "007"}, ())


def test_nothing_is_something_else_than_the_word_null(tmp_path: Path) -> None:
    path = tmp_path / "datadog.yaml"
    path.write_text("env: NULL\nservice: Null\nversion: 'null'\ntags: [team:web, ~]\nsite: ~\n")
    general = load_config({"DD_CONFIG_FILE": str(path)}).config.general
    assert (general.env, general.service, general.version, general.site) == (None, None, "null", "datadoghq.com")
    assert general.tags == (("team", "web"),)


def test_a_mask_whose_placeholder_is_nothing_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "datadog.yaml"
    rule = "{type: mask_sequences, name: all, pattern: secret, replace_placeholder: ~}"
    path.write_text(f"logs_config: {{processing_rules: [{rule}]}}")
    (only,) = load_config({"DD_CONFIG_FILE": str(path)}).config.logs.rules
    assert only.placeholder == ""


def test_a_key_that_stands_twice_is_told(tmp_path: Path) -> None:
    path = tmp_path / "datadog.yaml"
    path.write_text("logs_config:\n  processing_rules: []\nenv: a\nlogs_config:\n  use_compression: no\n")
    loaded = load_config({"DD_CONFIG_FILE": str(path)})
    assert loaded.config.logs.use_compression is False
    assert [str(each) for each in loaded.complaints] == [
        "datadog.yaml: `logs_config` stands there twice (line 4); the last one is used"
    ]


def test_a_file_of_repeats_is_not_told_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "datadog.yaml"
    path.write_text("env: a\n" * 9_000)
    assert len(load_config({"DD_CONFIG_FILE": str(path)}).complaints) == 10


def test_a_pipe_or_a_folder_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "datadog.yaml")
    assert "it is no file" in problem(tmp_path / "datadog.yaml")
    assert "it is no file" in problem(tmp_path)


@pytest.mark.parametrize(
    ("content", "value"), [("", None), ("a: {b: }", None), ("a: {b: null}", None), ("a: x", None), ("a: {b: 1}", "1")]
)
def test_a_path_that_leads_nowhere_is_nothing(content: str, value: object) -> None:
    assert ConfigFile("f", parse_yaml(content.encode())[0]).get("a.b") == value


@given(st.binary(max_size=300) | st.text(alphabet="ab:-[]{}&*!|>#'\"\n ,?%@`", max_size=200).map(str.encode))
def test_any_bytes_give_a_tree_or_a_refusal(content: bytes) -> None:
    try:
        tree, _ = parse_yaml(content)
    except ValueError:
        return
    load_config({}, file=ConfigFile("f", tree))


@pytest.mark.parametrize(
    ("tree", "told"),
    [
        ({"sitee": "x"}, ["sitee: no such setting; did you mean site?; it is ignored"]),
        (
            {"logs_config": {"procesing_rules": []}},
            ["logs_config.procesing_rules: no such setting; did you mean logs_config.processing_rules?; it is ignored"],
        ),
        ({"apm_confg": {}}, ["apm_confg: no such setting; did you mean apm_config?; it is ignored"]),
        ({"apm_config": "7"}, ["apm_config: expected a section with keys and values; it is ignored"]),
        ({"apm_config": ""}, []),
        ({"site": "x", "apm_config": {"replace_tags": [], "max_traces_per_second": "5"}, "app_key": "k"}, []),
        ({"process_config": {"enabled": "true"}, "hostname": "h", "confd_path": "/", "listeners": []}, []),
    ],
)
def test_a_mistyped_key_is_told_and_what_is_the_full_agent_s_is_not(tree: dict[str, Any], told: list[str]) -> None:
    assert [str(each) for each in judge_keys(tree, known_paths())] == told


no_otlp = "OTLP is not received yet"
no_spans = "the agent makes no invocation spans yet"
no_appsec = "App and API Protection is not there yet"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('service_mapping: "a:b"', [("service_mapping", no_spans)]),
        ("serverless_appsec_enabled: true", [("serverless_appsec_enabled", no_appsec)]),
        ("capture_lambda_payload: true", [("capture_lambda_payload", no_spans)]),
        ("trace_propagation_style: datadog", [("trace_propagation_style", no_spans)]),
        ("span_dedup_timeout: 5", [("span_dedup_timeout", "repeated spans are recognised at once")]),
        ("apm_config: {features: [x], env: prod, replace_tags: []}",
         [("apm_config.features", no_otlp), ("apm_config.env", "use DD_ENV")]),
        ("otlp_config: {receiver: {protocols: {http: {endpoint: x}, grpc: {transport: tcp}}}, debug: {verbosity: x}}",
         [("otlp_config.receiver.protocols.http.endpoint", no_otlp),
          ("otlp_config.receiver.protocols.grpc.transport", "gRPC is served over TCP")]),
        ("otlp_config: {traces: {span_name_remappings: {a: b}, ignore_missing_datadog_fields: true}}",
         [("otlp_config.traces.span_name_remappings", no_otlp),
          ("otlp_config.traces.ignore_missing_datadog_fields", no_otlp)]),
        ("service_mapping:\notlp_config: {logs: {enabled: }, receiver: ~}\ncapture_lambda_payload: null", []),
    ],
)  # fmt: skip
def test_a_key_that_does_nothing_here_is_told_with_the_reason(content: str, told: list[tuple[str, str]]) -> None:
    complaints = list(judge_keys(parse_yaml(content.encode())[0], known_paths()))
    assert [each.variable for each in complaints] == [path for path, _ in told]
    for complaint, (_, why) in zip(complaints, told, strict=True):
        assert complaint.problem.startswith(why)


def test_no_setting_of_ours_is_said_to_do_nothing() -> None:
    tree: dict[str, Any] = {}
    for path in known_paths():
        *sections, last = path.split(".")
        node = tree
        for section in sections:
            node = node.setdefault(section, {})
        node[last] = "x"
    assert list(judge_keys(tree, known_paths())) == []
