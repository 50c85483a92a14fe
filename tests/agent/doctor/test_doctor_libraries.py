"""What is installed in a function's image, and how its handler is wrapped."""

from __future__ import annotations

from pathlib import Path

import pytest

from ddx_agent.doctor.findings import Finding, Level
from ddx_agent.doctor.handler import Wrapper, judge_handler, look_at_wrapper, node_wrapper, python_wrapper
from ddx_agent.doctor.libraries import Installed, Library, judge_libraries, look_at_libraries


def put(path: Path, content: str = "", *, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(mode)


def look(root: Path, *python_path: Path, **environ: str) -> Installed:
    return look_at_libraries(root, environ, [str(each) for each in python_path])


def installed(*names: str, is_function: bool = True) -> Installed:
    libraries = tuple(Library(name, "1", "/opt") for name in names)
    return Installed(is_function=is_function, has_extension=True, is_executable=True, libraries=libraries)


def judge(names: tuple[str, ...], environ: dict[str, str], wrapper: Wrapper | None = None) -> Finding:
    (only,) = judge_handler(environ, installed(*names), wrapper)
    return only


def test_libraries_are_found_with_version_and_place(tmp_path: Path) -> None:
    python, node = tmp_path / "opt/python/lib/python3.12/site-packages", tmp_path / "opt/nodejs/node_modules"
    put(python / "datadog_lambda-8.130.0.dist-info/METADATA")
    put(python / "datadog-0.56.0.dist-info/METADATA")
    put(tmp_path / "var/task/ddtrace-4.16.0.dist-info/METADATA")
    put(node / "datadog-lambda-js/package.json", '{"version": "12.1.0"}')
    put(node / "dd-trace/package.json", "no JSON")
    put(node / "dd-trace-api/package.json", '{"version": "1"}')
    assert look(tmp_path, python).libraries == (
        Library("datadog", "0.56.0", "/opt/python/lib/python3.12/site-packages"),
        Library("datadog-lambda", "8.130.0", "/opt/python/lib/python3.12/site-packages"),
        Library("datadog-lambda-js", "12.1.0", "/opt/nodejs/node_modules"),
        Library("dd-trace", "of an unknown version", "/opt/nodejs/node_modules"),
        Library("ddtrace", "4.16.0", "/var/task"),
    )


def test_two_versions_of_a_library_are_a_warning(tmp_path: Path) -> None:
    put(tmp_path / "opt/extensions/datadog-agent", mode=0o755)
    put(tmp_path / "opt/python/ddtrace-4.0.0.dist-info/METADATA")
    put(tmp_path / "var/task/ddtrace-3.9.0.dist-info/METADATA")
    _, twice = judge_libraries(look(tmp_path))
    assert twice.level is Level.WARNING
    assert "3.9.0 in /var/task, 4.0.0 in /opt/python" in twice.text


def test_a_laptop_is_not_judged_for_what_only_lambda_has(tmp_path: Path) -> None:
    (tmp_path / "opt").mkdir()
    (only,) = judge_libraries(look(tmp_path))
    assert (only.level, "no function's image" in only.text) == (Level.NOTE, True)


@pytest.mark.parametrize(
    ("mode", "level", "said"),
    [(None, Level.ERROR, "is missing"), (0o644, Level.ERROR, "cannot be executed"), (0o755, Level.OK, "is there")],
)
def test_a_functions_image_needs_the_extension(tmp_path: Path, mode: int | None, level: Level, said: str) -> None:
    (tmp_path / "var/task").mkdir(parents=True)
    if mode is not None:
        put(tmp_path / "opt/extensions/datadog-agent", mode=mode)
    first, without_libraries = judge_libraries(look(tmp_path))
    assert (first.level, said in first.text) == (level, True)
    assert without_libraries.level is Level.NOTE


def test_lambda_is_recognised_by_its_environment_too(tmp_path: Path) -> None:
    assert look(tmp_path, AWS_LAMBDA_FUNCTION_NAME="orders").is_function


@pytest.mark.parametrize(
    ("names", "environ", "level", "said"),
    [
        ((), {}, Level.OK, "nothing to judge"),
        ((), {"_HANDLER": "app.handler"}, Level.OK, "without one of Datadog's libraries"),
        ((), {"_HANDLER": "app.handler", "DD_LAMBDA_HANDLER": "app.handler"}, Level.NOTE, "only Datadog's wrappers"),
        (("datadog-lambda",), {"_HANDLER": "app.handler"}, Level.NOTE, "not wrapped"),
        (("datadog-lambda-js",), {"_HANDLER": "app.handler"}, Level.NOTE, "not wrapped"),
        (("datadog-lambda",), {"_HANDLER": python_wrapper}, Level.ERROR, "does not say which one"),
        (("datadog-lambda",), {"_HANDLER": python_wrapper, "DD_LAMBDA_HANDLER": "a.b"}, Level.OK, "wraps a.b"),
        ((), {"_HANDLER": python_wrapper, "DD_LAMBDA_HANDLER": "a.b"}, Level.ERROR, "datadog-lambda is not there"),
        (("datadog-lambda",), {"_HANDLER": python_wrapper, "DD_LAMBDA_HANDLER": python_wrapper}, Level.ERROR, "itself"),
        (("datadog-lambda",), {"_HANDLER": "a.b", "DD_LAMBDA_HANDLER": python_wrapper}, Level.ERROR, "itself"),
        (("datadog-lambda-js",), {"_HANDLER": node_wrapper, "DD_LAMBDA_HANDLER": "a.b"}, Level.OK, "wraps a.b"),
        (
            ("datadog-lambda-js",),
            {"_HANDLER": "node_modules/datadog-lambda-js/dist/handler.handler"},
            Level.ERROR,
            "does not say which one",
        ),
        (("datadog-lambda",), {"_HANDLER": "datadog_lambda/handler.handler"}, Level.ERROR, "does not say which one"),
    ],
)
def test_the_handler_is_judged(names: tuple[str, ...], environ: dict[str, str], level: Level, said: str) -> None:
    finding = judge(names, environ)
    assert (finding.level, said in finding.text) == (level, True), finding
    assert finding.help or level is Level.OK


def test_the_help_names_the_handler_to_set() -> None:
    assert f"{python_wrapper} and DD_LAMBDA_HANDLER=app.go" in judge(("datadog-lambda",), {"_HANDLER": "app.go"}).help


@pytest.mark.parametrize(
    ("mode", "level", "said"),
    [(None, Level.ERROR, "is missing"), (0o644, Level.ERROR, "cannot be executed"), (0o755, Level.OK, "wraps")],
)
def test_a_wrapper_that_lambda_cannot_run_is_an_error(
    tmp_path: Path, mode: int | None, level: Level, said: str
) -> None:
    environ = {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/datadog_wrapper", "_HANDLER": "app.handler"}
    if mode is not None:
        put(tmp_path / "opt/datadog_wrapper", mode=mode)
    finding = judge(("datadog-lambda",), environ, look_at_wrapper(tmp_path, environ))
    assert (finding.level, said in finding.text) == (level, True)


def test_somebody_elses_wrapper_does_not_wrap_the_handler() -> None:
    wrapper = Wrapper("/opt/other", is_there=True, is_executable=True)
    assert judge(("datadog-lambda",), {"_HANDLER": "app.handler"}, wrapper).level is Level.NOTE
