"""The extension's file as the runtime sees it: in a mount namespace, as root and not, and by interposers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ddx_agent.local.processes import presence
from ddx_agent.local.processes.presence import Presence, with_presence

launcher = Path(presence.__file__).with_name("launcher.py")
shown = "/opt/extensions/ddx-test-extension"
python_looks = (
    "import os, pathlib, sys;"
    f"print(os.path.exists('{shown}'), pathlib.Path('{shown}').exists(), os.access('{shown}', os.R_OK),"
    " os.path.exists('/opt/extensions/other'), os.path.exists(os.fsencode('/opt')), os.path.exists(0))"
)
node_looks = (
    "const fs = require('fs');"
    f"fs.promises.access('{shown}').then(() => console.log(fs.existsSync('{shown}'), fs.existsSync('/opt/extensions/other')))"
)


def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, **options)  # type: ignore[call-overload]


def namespaces_work() -> bool:
    command = with_presence(["true"], ["ddx-test-extension"], Presence.NAMESPACE)
    return run(command).returncode == 0


needs_namespaces = pytest.mark.skipif(not namespaces_work(), reason="this machine gives no mount namespaces")


@needs_namespaces
def test_namespace_shows_the_file_beside_all_that_the_host_has() -> None:
    script = f"test -x {shown} && ls -A /opt"
    done = run(with_presence(["sh", "-c", script], ["ddx-test-extension"], Presence.NAMESPACE))
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {*os.listdir("/opt"), "extensions"}
    assert not Path(shown).exists()


@needs_namespaces
def test_namespace_keeps_what_lies_in_the_hosts_folders(tmp_path: Path) -> None:
    inside = {name: sorted(os.listdir(f"/opt/{name}")) for name in os.listdir("/opt") if os.path.isdir(f"/opt/{name}")}
    script = "import json, os, sys; print(json.dumps({n: sorted(os.listdir('/opt/' + n)) for n in sys.argv[1:]}))"
    done = run(with_presence([sys.executable, "-c", script, *inside], ["ddx-test-extension"], Presence.NAMESPACE))
    seen = __import__("json").loads(done.stdout)
    assert {name: set(inside[name]) <= set(seen[name]) for name in inside} == dict.fromkeys(inside, True)


@pytest.mark.skipif(os.getuid() != 0 or not Path("/usr/bin/python3").exists(), reason="gives up root to be nobody")
@needs_namespaces
def test_namespace_needs_no_root(tmp_path: Path) -> None:
    copy = shutil.copy(launcher, "/tmp/ddx-test-launcher.py")
    try:
        command = ["/usr/bin/python3", "-I", "-S", copy, "--how", "namespace", "--present", "ddx-test-extension"]
        done = run([*command, "--", "sh", "-c", f"test -e {shown} && id -u"], user=65534, group=65534, extra_groups=[])
    finally:
        os.unlink(copy)
    if "refused" in done.stderr:
        pytest.skip("this machine gives no user namespaces")
    assert (done.returncode, done.stdout.strip()) == (0, "65534"), done.stderr


def test_python_finds_the_file_through_the_interposer() -> None:
    done = run(with_presence([sys.executable, "-c", python_looks], ["ddx-test-extension"], Presence.INTERPOSE))
    assert done.stdout.split() == ["True", "True", "True", "False", "True", "True"], done.stderr


def test_sitecustomize_of_the_user_still_runs(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('mine')\n")
    command = with_presence([sys.executable, "-c", python_looks], ["ddx-test-extension"], Presence.INTERPOSE)
    done = run(command, env=os.environ | {"PYTHONPATH": str(tmp_path)})
    assert done.stdout.split()[:2] == ["mine", "True"], done.stderr


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node.js here")
def test_node_finds_the_file_through_the_interposer() -> None:
    done = run(with_presence(["node", "-e", node_looks], ["ddx-test-extension"], Presence.INTERPOSE))
    assert done.stdout.split() == ["true", "false"], done.stderr


@pytest.mark.parametrize("how", [Presence.AUTO, Presence.INTERPOSE])
def test_launcher_becomes_the_command_with_its_arguments_and_exit_code(how: Presence) -> None:
    done = run(with_presence(["sh", "-c", 'echo "$1"; exit 7', "sh", "a b"], ["ddx-test-extension"], how))
    assert (done.returncode, done.stdout) == (7, "a b\n")


def test_command_that_cannot_be_started_is_named() -> None:
    done = run(with_presence(["/no/such/program"], ["ddx-test-extension"], Presence.INTERPOSE))
    assert done.returncode == 1
    assert "cannot start /no/such/program: No such file or directory" in done.stderr


def test_without_presence_the_command_is_left_alone() -> None:
    assert with_presence(["program"], ["name"], Presence.NONE) == ["program"]
    assert with_presence(["program"], [], Presence.AUTO) == ["program"]
