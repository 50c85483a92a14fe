"""The rules of the house that no tool knows: who imports whom, what stays pure, how large a file may be, what start-up loads."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

root = Path(__file__).parent.parent
packages = root / "packages"

# Who may import whom, besides itself and the standard library.
allowed = {
    "ddx_core": {"trio", "anyio", "httpx", "h11", "msgspec", "zstandard", "google", "re2"},
    "ddx_logs": {"ddx_core", "trio", "msgspec"},
    "ddx_metrics": {"ddx_core", "trio", "msgspec", "google"},
    "ddx_traces": {"ddx_core", "trio", "msgspec", "google", "zstandard"},
    "ddx_agent": {
        "ddx_core",
        "ddx_logs",
        "ddx_metrics",
        "ddx_traces",
        "trio",
        "msgspec",
        "pydantic",
        "httpx",
        "yaml",
        "zstandard",
    },
}

# The shells. Everything else is a pure heart: a new entry is a conscious act.
may_import_trio = {
    "ddx_core/flush/flush_all.py",
    "ddx_core/http/bounds.py",
    "ddx_core/http/connection.py",
    "ddx_core/http/conversation.py",
    "ddx_core/http/server.py",
    "ddx_core/http/wire.py",
    "ddx_core/lifecycle/extensions.py",
    "ddx_core/pipeline.py",
    "ddx_logs/pipeline.py",
    "ddx_metrics/dogstatsd/server.py",
    "ddx_metrics/dogstatsd/stream.py",
    "ddx_metrics/pipeline.py",
    "ddx_metrics/usage/sampler.py",
    "ddx_traces/pipeline.py",
    "ddx_traces/proxy/intakes.py",
    "ddx_agent/assemble.py",
    "ddx_agent/commands.py",
    "ddx_agent/doors.py",
    "ddx_agent/extension.py",
    "ddx_agent/health.py",
    "ddx_agent/link.py",
    "ddx_agent/modes/elapsed.py",
    "ddx_agent/modes/end_of_invocation.py",
    "ddx_agent/modes/flusher.py",
    "ddx_agent/modes/managed.py",
    "ddx_agent/modes/on_demand.py",
    "ddx_agent/aws/transport.py",
    "ddx_agent/doctor/ask.py",
    "ddx_agent/doctor/reach.py",
    "ddx_agent/secrets/resolved_key.py",
    "ddx_agent/secrets/variables.py",
    "ddx_agent/testing.py",
}
may_import_anyio = {
    "ddx_core/intake/attempt.py",
    "ddx_core/intake/client.py",
    "ddx_core/intake/connections.py",
    "ddx_core/intake/endpoint_queue.py",
    "ddx_core/intake/fanout.py",
    "ddx_core/intake/running_time.py",
    "ddx_core/intake/sends.py",
}
only_in_one_place = {
    "httpx": {"ddx_core/intake/attempt.py", "ddx_core/intake/connections.py", "ddx_agent/aws/transport.py"},
    "h11": {"ddx_core/http/connection.py", "ddx_core/http/conversation.py"},
    "pydantic": {"ddx_agent/config/model.py"},
    "re2": {"ddx_core/regex/matcher.py"},
    "yaml": {"ddx_agent/config/file.py"},
}
# The local platform is a program for laptops, not a part of the extension: its servers may use what they need.
local_platform = "ddx_agent/local/"

# `except Exception` where a last handler stands, so that one failure costs one thing.
may_catch_everything = {
    "ddx_core/flush/flush_all.py",
    "ddx_core/http/connection.py",
    "ddx_core/http/server.py",
    "ddx_core/intake/endpoint_queue.py",
    "ddx_core/invocation/tracker.py",
    "ddx_core/lifecycle/telemetry.py",
    "ddx_core/pipeline.py",
    "ddx_metrics/dogstatsd/ingest.py",
    "ddx_agent/config/load.py",
    "ddx_agent/doctor/ask.py",
    "ddx_agent/doctor/examine.py",
    "ddx_agent/extension.py",
    "ddx_agent/keeper.py",
    "ddx_agent/local/intake/server.py",
    "ddx_agent/secrets/resolved_key.py",
    "ddx_agent/secrets/variables.py",
}

most_lines = 600


@cache
def sources() -> dict[str, ast.Module]:
    found: dict[str, ast.Module] = {}
    for path in sorted(packages.glob("*/src/**/*.py")):
        if path.name.endswith("_pb2.py"):
            continue
        name = path.relative_to(path.parents[len(path.relative_to(packages).parts) - 3]).as_posix()
        found[name] = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    return found


@cache
def imports_of(name: str) -> tuple[tuple[str, int], ...]:
    """Absolute module names that a source imports, each with its line: those for type checkers alone are left out."""
    tree = sources()[name]
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            skipped.update(id(inner) for statement in node.body for inner in ast.walk(statement))
    found: list[tuple[str, int]] = []
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.append((node.module, node.lineno))
    return tuple(found)


def test_sources_are_found() -> None:
    assert {name.split("/")[0] for name in sources()} == set(allowed)


def test_packages_import_only_what_they_may() -> None:
    wrong = [
        f"{name}:{line} imports {module}"
        for name in sources()
        if not name.startswith(local_platform)
        for module, line in imports_of(name)
        if (top := module.split(".")[0]) not in sys.stdlib_module_names
        and top != name.split("/")[0]
        and top not in allowed[name.split("/")[0]]
    ]
    assert not wrong


def test_packages_declare_what_they_import() -> None:
    import tomllib

    distributions = {"google": "protobuf", "re2": "google-re2", "yaml": "pyyaml"}
    for package in sorted(packages.iterdir()):
        text = (package / "pyproject.toml").read_text(encoding="utf-8")
        project = tomllib.loads(text)["project"]
        requirements = [*project["dependencies"], *project.get("optional-dependencies", {}).get("local", [])]
        declared = {requirement.split(">")[0].split("[")[0].strip().replace("_", "-") for requirement in requirements}
        folder = package.name.replace("-", "_")
        used = {
            distributions.get(top, top).replace("_", "-")
            for name in sources()
            if name.startswith(f"{folder}/")
            for module, _ in imports_of(name)
            if (top := module.split(".")[0]) not in sys.stdlib_module_names and top != folder
        }
        assert used <= declared, f"{package.name} imports {used - declared} without declaring it"


def test_only_the_shells_import_trio_and_anyio() -> None:
    wrong = [
        f"{name}:{line} imports {module}"
        for name in sources()
        if not name.startswith(local_platform)
        for module, line in imports_of(name)
        if (module.split(".")[0] == "trio" and name not in may_import_trio)
        or (module.split(".")[0] == "anyio" and name not in may_import_anyio)
    ]
    assert not wrong
    assert may_import_trio <= set(sources()), "the list names files that are gone"


def test_libraries_at_a_seam_are_imported_there_alone() -> None:
    wrong = [
        f"{name}:{line} imports {module}"
        for name in sources()
        if not name.startswith(local_platform)
        for module, line in imports_of(name)
        if (places := only_in_one_place.get(module.split(".")[0])) is not None and name not in places
    ]
    assert not wrong


def test_other_packages_are_entered_by_their_faces() -> None:
    """`from ddx_core.intake import IntakeClient`: never what lies beneath a folder that has a face."""
    folders = {
        ".".join(name.split("/")[:2])
        for name in sources()
        if name.count("/") == 2 and name.split("/")[0] != "ddx_agent"
    } - {"ddx_core.proto"}
    wrong = [
        f"{name}:{line} imports {module}"
        for name in sources()
        for module, line in imports_of(name)
        if module.split(".")[0] != name.split("/")[0]
        and ".".join(module.split(".")[:2]) in folders
        and module.count(".") > 1
    ]
    assert not wrong


def test_faces_name_what_they_export() -> None:
    for name, tree in sources().items():
        if not name.endswith("/__init__.py") or name.count("/") < 2:
            continue
        imported = {
            alias.asname or alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
        }
        exported = {
            constant.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id == "__all__"
            for constant in ast.walk(node.value)
            if isinstance(constant, ast.Constant)
        }
        assert imported <= exported | {"annotations"}, f"{name} imports what it does not export"


def mapped(tree: ast.Module) -> list[str]:
    """The names that a folder's map tells of, in its order: `life   one life`, `intake, web   Datadog's side`."""
    lines = re.findall(r"^(\w+(?:, \w+)*) {2,}\S", ast.get_docstring(tree) or "", re.MULTILINE)
    return [name for line in lines for name in line.split(", ")]


def test_folders_of_the_local_platform_have_maps_that_name_every_module() -> None:
    for name, tree in sources().items():
        folder = name.removesuffix("/__init__.py")
        if not name.startswith(local_platform) or folder == name or list(tree.body[1:]):
            continue
        inside = {
            path.stem for path in (packages / "ddx-agent/src" / folder).iterdir() if not path.name.startswith("_")
        }
        assert sorted(mapped(tree)) == sorted(inside), folder


def test_local_platform_imports_downwards() -> None:
    """Its map is the order: what stands above imports what stands below, never the other way round."""
    order = mapped(sources()[f"{local_platform}__init__.py"])
    wrong = [
        f"{name}:{node.lineno} imports {module}"
        for name, tree in sources().items()
        if name.startswith(local_platform) and name != f"{local_platform}__init__.py"
        for parts in [name.removeprefix(local_platform).removesuffix(".py").split("/")]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level == len(parts)
        for module in ([node.module.split(".")[0]] if node.module else [alias.name for alias in node.names])
        if order.index(module) <= order.index(parts[0])
    ]
    assert not wrong


def test_package_roots_import_nothing() -> None:
    for name in sources():
        if name.endswith("/__init__.py") and name.count("/") == 1:
            assert not imports_of(name), f"{name} makes importing the package cost something"


def test_nothing_in_the_packages_imports_tests() -> None:
    assert not [name for name in sources() for module, _ in imports_of(name) if module.split(".")[0] == "tests"]


def test_catching_everything_is_the_last_handlers_business() -> None:
    wrong = [
        f"{name}:{node.lineno}"
        for name, tree in sources().items()
        if not name.startswith(local_platform) and name not in may_catch_everything
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")))
        and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
    ]
    assert not wrong


def test_files_stay_readable_in_one_sitting() -> None:
    long = {
        str(path.relative_to(root)): lines
        for folder in ("packages", "tests", "benchmarks")
        for path in sorted((root / folder).glob("**/*.py"))
        if not path.name.endswith("_pb2.py")
        and (lines := len(path.read_text(encoding="utf-8").splitlines())) > most_lines
    }
    assert not long


@cache
def loaded_by(code: str) -> frozenset[str]:
    """The top-level and `ddx_*` modules in a fresh interpreter after `code`."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return frozenset(json.loads(done.stdout.splitlines()[-1]))


too_heavy_for_stage_0 = {
    "asyncio", "ctypes", "dataclasses", "email", "enum", "h11", "http", "httpx", "inspect", "json", "logging", "msgspec",
    "pathlib", "pydantic", "re", "socket", "ssl", "subprocess", "trio", "typing", "zstandard",
}  # fmt: skip


def test_stage_0_loads_nothing_heavy() -> None:
    plain = loaded_by("pass")
    loaded = loaded_by("import ddx_agent.cli, ddx_agent.bootstrap, ddx_agent.keeper")
    heavy = (loaded - plain) & too_heavy_for_stage_0
    assert not heavy
    own = {name for name in loaded if name.startswith("ddx_")}
    assert own == {
        "ddx_agent", "ddx_agent.agent_process", "ddx_agent.bootstrap", "ddx_agent.cli", "ddx_agent.keeper",
        "ddx_agent.lambda_calls", "ddx_agent.patience", "ddx_agent.ports", "ddx_agent.variables", "ddx_core",
        "ddx_core.loopback",
    }  # fmt: skip


too_heavy_for_stage_1 = {
    "asyncio.runners", "boto3", "botocore", "email.utils", "grpc", "httpx", "pydantic", "re2", "requests", "sqlite3",
    "urllib.request",
    "yaml",
}  # fmt: skip


def test_stage_1_loads_only_what_every_invocation_needs() -> None:
    loaded = loaded_by("import ddx_agent.extension")
    assert not loaded & too_heavy_for_stage_1
    assert not loaded & {"ddx_agent.health", "ddx_logs.levels", "ddx_metrics.usage"}, (
        "that is paid for by whoever has it on"
    )
    assert not {
        name for name in loaded if name.startswith(("ddx_agent.local", "ddx_agent.testing", "ddx_agent.commands"))
    }


@pytest.mark.parametrize(
    "hearts",
    [
        "ddx_core.events, ddx_core.buffer, ddx_core.invocation, ddx_core.tags",
        "ddx_logs.from_telemetry, ddx_logs.encode, ddx_logs.message, ddx_logs.rules, ddx_logs.durable, ddx_logs.entries",
        "ddx_logs.ingest, ddx_logs.store",
        "ddx_metrics.aggregator, ddx_metrics.sketch, ddx_metrics.encode, ddx_metrics.enhanced",
        "ddx_traces.agent, ddx_traces.process, ddx_traces.rules, ddx_traces.store, ddx_traces.encode, ddx_traces.stats",
        "ddx_traces.agent.decode_json, ddx_traces.agent.decode_v07, ddx_traces.agent.decode_v1, ddx_traces.obfuscate",
    ],
)
def test_pure_hearts_come_without_an_event_loop(hearts: str) -> None:
    assert not loaded_by(f"import {hearts}") & {"trio", "httpx", "h11", "asyncio.runners"}


@pytest.mark.parametrize("package", sorted(allowed))
def test_importing_a_package_is_free(package: str) -> None:
    added = loaded_by(f"import {package}") - loaded_by("pass")
    assert {name for name in added if not name.startswith(package)} == set()
