"""The command `ddx config`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping

from ddx_agent.standard_output import write_out

from .env_file import read_env_file
from .explain import explain_json, explain_text
from .file import find_file, read_file
from .load import load_config


def show_config(options: argparse.Namespace) -> int:
    """Exit code 2 when the file named by --env cannot be read; whatever is wrong with settings is shown, with code 0."""
    if options.schema:
        from .model import json_schema

        write_out(json_schema())
        return 0
    environ: Mapping[str, str] = os.environ
    if options.env:
        try:
            environ = read_env_file(options.env)
        except (OSError, ValueError) as error:
            sys.stderr.write(f"ddx config: {options.env}: {getattr(error, 'strerror', None) or error}\n")
            return 2
    loaded = load_config(environ, file=read_file(options.file or find_file(environ)))
    explained = explain_json(loaded, environ) if options.json else explain_text(loaded, environ)
    write_out(explained)
    return 0
