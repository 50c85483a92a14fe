"""Whether Lambda's handler is wrapped by Datadog's library, in one of the ways in which it can be."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from .findings import Finding, Findings
from .libraries import Installed

python_wrapper = "datadog_lambda.handler.handler"
node_wrapper = "/opt/nodejs/node_modules/datadog-lambda-js/handler.handler"
# The same file in a container image, whose libraries are the function's own.
_node_wrappers = (node_wrapper, "node_modules/datadog-lambda-js/dist/handler.handler")
_exec_wrapper = "/opt/datadog_wrapper"


class Wrapper(msgspec.Struct, frozen=True):
    """The program that AWS_LAMBDA_EXEC_WRAPPER names, if any."""

    path: str
    is_there: bool
    is_executable: bool


def look_at_wrapper(root: Path, environ: Mapping[str, str]) -> Wrapper | None:
    path = environ.get("AWS_LAMBDA_EXEC_WRAPPER", "").strip()
    if not path:
        return None
    file = root / path.lstrip("/")
    return Wrapper(path, file.is_file(), os.access(file, os.X_OK))


def judge_handler(environ: Mapping[str, str], installed: Installed, wrapper: Wrapper | None) -> list[Finding]:
    found = Findings("handler")
    handler = environ.get("_HANDLER", "").strip()
    original = environ.get("DD_LAMBDA_HANDLER", "").strip()
    if wrapper is not None and installed.is_function and not _judge_wrapper(found, wrapper):
        return list(found)
    is_wrapping = wrapper is not None and wrapper.path == _exec_wrapper
    if _is_python_wrapper(handler) or _is_node_wrapper(handler):
        _judge_wrapped(found, handler, original, installed)
    elif _is_python_wrapper(original) or _is_node_wrapper(original):
        found.error(
            "DD_LAMBDA_HANDLER names Datadog's wrapper, which would call itself",
            f"set the handler to {original} and DD_LAMBDA_HANDLER to the function's own",
        )
    elif is_wrapping:
        found.ok(f"{_exec_wrapper} wraps the handler")
    elif not handler:
        found.ok("Lambda tells the handler (_HANDLER) inside a function alone: nothing to judge here")
    else:
        _judge_bare(found, handler, original, installed)
    return list(found)


def _judge_wrapper(found: Findings, wrapper: Wrapper) -> bool:
    """False when Lambda cannot start the function at all."""
    if wrapper.is_there and wrapper.is_executable:
        return True
    if wrapper.is_there:
        problem, mend = "cannot be executed", f"chmod 755 {wrapper.path} in the build of the image or layer"
    else:
        problem = "is missing"
        mend = "add Datadog's layer for the runtime, which has this file, or take AWS_LAMBDA_EXEC_WRAPPER out"
    found.error(f"AWS_LAMBDA_EXEC_WRAPPER={wrapper.path} {problem}: Lambda cannot start the function", mend)
    return False


def _judge_wrapped(found: Findings, handler: str, original: str, installed: Installed) -> None:
    library = "datadog-lambda" if _is_python_wrapper(handler) else "datadog-lambda-js"
    if not original:
        found.error(
            f"the handler is {handler}, and DD_LAMBDA_HANDLER does not say which one it wraps",
            "set DD_LAMBDA_HANDLER to the function's own handler, for instance app.handler",
        )
    elif _is_python_wrapper(original) or _is_node_wrapper(original):
        found.error(
            "DD_LAMBDA_HANDLER names Datadog's wrapper, which would call itself",
            "set DD_LAMBDA_HANDLER to the function's own handler, for instance app.handler",
        )
    elif installed.is_function and not installed.has(library):
        found.error(
            f"the handler is {handler}, and {library} is not there: the function cannot start",
            "add Datadog's layer for the runtime, or install the library with the function's dependencies",
        )
    else:
        found.ok(f"{library} wraps {original}")


def _judge_bare(found: Findings, handler: str, original: str, installed: Installed) -> None:
    wrappers = {"datadog-lambda": python_wrapper, "datadog-lambda-js": node_wrapper}
    library = next((name for name in wrappers if installed.has(name)), None)
    if library is not None:
        own = "" if library == "datadog-lambda-js" else ", or put `@datadog_lambda_wrapper` on it in the code"
        found.note(
            f"{library} is there, and the handler {handler} is not wrapped by it from outside",
            f"unless the code wraps it: set the function's handler to {wrappers[library]} and DD_LAMBDA_HANDLER={handler}{own}",
        )
    elif original:
        found.note(
            f"DD_LAMBDA_HANDLER is set, and the handler is {handler}: only Datadog's wrappers read it",
            "set the function's handler to the wrapper of Datadog's library, or take DD_LAMBDA_HANDLER out",
        )
    else:
        found.ok(f"{handler}, without one of Datadog's libraries")


def _is_python_wrapper(handler: str) -> bool:
    return handler.replace("/", ".") == python_wrapper


def _is_node_wrapper(handler: str) -> bool:
    return handler.startswith(_node_wrappers) or handler.endswith(_node_wrappers)
