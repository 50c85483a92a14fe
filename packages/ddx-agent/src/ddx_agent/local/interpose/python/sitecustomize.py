"""Makes the files named in DDX_PRESENT_FILES appear to exist, for this Python process only.

Used where a private mount namespace is refused. Python imports this at its start because its folder comes first in
PYTHONPATH; a `sitecustomize` that the user has further down the path is run as well.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

_present = frozenset(os.environ.get("DDX_PRESENT_FILES", "").split(":")) - {""}


def _wrap(name: str) -> None:
    original: Callable[..., Any] = getattr(os, name)

    def wrapper(path: Any, *arguments: Any, **options: Any) -> Any:
        return original(__file__ if _is_present(path) else path, *arguments, **options)

    wrapper.__name__ = name
    wrapper.__doc__ = original.__doc__
    setattr(os, name, wrapper)


def _is_present(path: Any) -> bool:
    try:
        return os.fsdecode(path) in _present
    except TypeError:
        return False


def _run_next() -> None:
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != here]
    own = sys.modules.pop("sitecustomize", None)
    with contextlib.suppress(ImportError):
        importlib.import_module("sitecustomize")
        return
    if own is not None:
        sys.modules["sitecustomize"] = own


for _name in ("stat", "lstat", "access"):
    _wrap(_name)
_run_next()
