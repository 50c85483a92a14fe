"""Function folders: what function.toml may say, what is taken without it, and errors that name file and key."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ddx_agent.local.function import Sample
from ddx_agent.local.function_folder import load_function
from ddx_core.errors import ConfigError


def write(folder: Path, name: str, text: str = "", *, mode: int = 0o644) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_handler_is_found_without_any_settings(tmp_path: Path) -> None:
    write(tmp_path, "handler.py", "import os\n\ndef helper(): ...\n\ndef handler(event, context): ...\n")
    function = load_function(tmp_path)
    assert (function.name, function.handler, function.runtime) == (tmp_path.name, "handler.handler", "python")
    assert (function.memory_mb, function.timeout_s) == (512, 30.0)
    assert function.command[1:] == ["-m", "awslambdaric", "handler.handler"]
    assert function.arn == f"arn:aws:lambda:us-east-1:123456789012:function:{tmp_path.name}"


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("größe 7", "gr--e-7"),
        ("ünder", "nder"),
        ("日本", "function"),
        ('it\'s "it"', "it-s--it"),
        ("x" * 80, "x" * 64),
        ("shop_1-b", "shop_1-b"),
    ],
)
def test_folder_gives_a_name_that_functions_may_have(tmp_path: Path, folder: str, name: str) -> None:
    write(tmp_path, f"{folder}/bootstrap", mode=0o755)
    assert load_function(tmp_path / folder).name == name


def test_lambda_function_file_goes_first_and_wrapped_handlers_count(tmp_path: Path) -> None:
    write(tmp_path, "handler.py", "def handler(event, context): ...\n")
    write(tmp_path, "lambda_function.py", "lambda_handler = wrap(inner)\n")
    assert load_function(tmp_path).handler == "lambda_function.lambda_handler"


def test_bootstrap_makes_it_a_custom_runtime(tmp_path: Path) -> None:
    file = write(tmp_path, "bootstrap", "#!/bin/sh\n", mode=0o755)
    function = load_function(tmp_path)
    assert (function.runtime, function.command) == ("bootstrap", [str(file)])
    assert function.execution_env is None


def test_settings_are_taken_over(tmp_path: Path) -> None:
    write(
        tmp_path,
        "function.toml",
        """
        name = "orders"
        handler = "app.main"
        memory_mb = 256
        timeout_s = 3
        log_format = "JSON"
        tracing = "Active"
        [environment]
        DD_SERVICE = "shop"
        DD_TRACE_ENABLED = true
        RETRIES = 3
        """,
    )
    function = load_function(tmp_path)
    assert (function.name, function.handler, function.memory_mb, function.timeout_s) == ("orders", "app.main", 256, 3.0)
    assert (function.log_format, function.tracing) == ("JSON", "Active")
    assert function.environment == {"DD_SERVICE": "shop", "DD_TRACE_ENABLED": "true", "RETRIES": "3"}


def test_samples_are_in_order_and_name_their_outcome(tmp_path: Path) -> None:
    write(tmp_path, "handler.py", "def handler(event, context): ...\n")
    write(tmp_path, "events/20-broken.error.json", "{}")
    write(tmp_path, "events/10-fine.json", '{"order": 1}')
    write(tmp_path, "events/30-v1.2.json", "[]")
    write(tmp_path, "events/40-slow.timeout.json", "null")
    assert load_function(tmp_path).samples == (
        Sample(name="10-fine", payload=b'{"order": 1}'),
        Sample(name="20-broken", payload=b"{}", expect="error"),
        Sample(name="30-v1.2", payload=b"[]"),
        Sample(name="40-slow", payload=b"null", expect="timeout"),
    )


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("memory_mb = 'much'", "memory_mb: expected int, got str"),
        ("memory_mb = 64", "memory_mb = 64: expected 128 to 10240"),
        ("timeout_s = 0", "timeout_s = 0: expected more than 0"),
        ("memory = 128", "unknown key memory; did you mean memory_mb?"),
        ("colour = 1", "unknown key colour"),
        ("runtime = 'cobol'", "runtime: invalid enum value 'cobol', expected python or bootstrap"),
        ("environment = 3", "environment: expected object, got int"),
        ("name =", "function.toml"),
        ("name = 'größe'", "name: expected str matching regex"),
        ("name = 'two words'", "name: expected str matching regex"),
        ("region = 'us east'", "region: expected str matching regex"),
        ("account_id = '12'", "account_id: expected str matching regex"),
        ("runtime = 'bootstrap'", "bootstrap: no such file"),
        ("handler = 'a.b'\npython = 'venv/bin/python'", "python = 'venv/bin/python': no such file"),
    ],
)
def test_bad_setting_is_named_with_its_file(tmp_path: Path, settings: str, told: str) -> None:
    write(tmp_path, "function.toml", settings)
    with pytest.raises(ConfigError) as raised:
        load_function(tmp_path)
    assert told in str(raised.value)
    assert str(tmp_path) in str(raised.value)


def test_folder_without_a_function_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"neither `bootstrap` nor a Python file .*lambda_function\.py"):
        load_function(tmp_path)
    with pytest.raises(ConfigError, match="no such folder"):
        load_function(tmp_path / "missing")


def test_file_in_place_of_its_folder_says_which_folder(tmp_path: Path) -> None:
    file = write(tmp_path, "handler.py", "def handler(event, context): ...\n")
    with pytest.raises(ConfigError, match=f"is a file; name the folder that it is in: {tmp_path}$"):
        load_function(file)


def test_function_in_another_language_is_told_of_bootstrap(tmp_path: Path) -> None:
    write(tmp_path, "index.js", "exports.handler = async () => 1\n")
    with pytest.raises(ConfigError, match="Another language: put an executable `bootstrap` there"):
        load_function(tmp_path)


def test_interpreter_without_the_runtimes_client_is_named_with_what_to_install(tmp_path: Path) -> None:
    write(tmp_path, "handler.py", "def handler(event, context): ...\n")
    write(tmp_path, "bare/python", f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n', mode=0o755)
    write(tmp_path, "function.toml", "python = 'bare/python'\n")
    with pytest.raises(ConfigError, match=r"bare/python -m pip install awslambdaric$"):
        load_function(tmp_path)


def test_client_that_lies_beside_the_function_will_do(tmp_path: Path) -> None:
    write(tmp_path, "handler.py", "def handler(event, context): ...\n")
    write(tmp_path, "awslambdaric/__init__.py")
    write(tmp_path, "bare/python", f'#!/bin/sh\nexec {sys.executable} -S "$@"\n', mode=0o755)
    write(tmp_path, "function.toml", "python = 'bare/python'\n")
    assert load_function(tmp_path).handler == "handler.handler"


def test_function_has_the_version_of_its_own_interpreter(tmp_path: Path) -> None:
    write(tmp_path, "handler.py", "def handler(event, context): ...\n")
    write(tmp_path, "newer/python", "#!/bin/sh\necho a line of its start\necho 3.99\n", mode=0o755)
    write(tmp_path, "function.toml", "python = 'newer/python'\n")
    assert load_function(tmp_path).execution_env == "AWS_Lambda_python3.99"


def test_interpreter_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    write(tmp_path, "handler.py", "def handler(event, context): ...\n")
    write(tmp_path, "function.toml", "python = 'python0.9'\n")
    with pytest.raises(ConfigError, match=r"cannot run python0\.9, the function's interpreter: No such file"):
        load_function(tmp_path)


def test_bootstrap_that_cannot_be_run_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "bootstrap", mode=0o644)
    with pytest.raises(ConfigError, match="not executable"):
        load_function(tmp_path)


def test_sample_that_is_no_json_is_named(tmp_path: Path) -> None:
    write(tmp_path, "handler.py", "def handler(event, context): ...\n")
    write(tmp_path, "events/1.json", "{nope")
    with pytest.raises(ConfigError, match=r"1\.json"):
        load_function(tmp_path)
