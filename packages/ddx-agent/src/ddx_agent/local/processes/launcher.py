"""First program of a runtime process: makes `/opt/extensions/NAME` exist for it, then becomes the runtime.

Libraries decide by that file whether an extension is there. It is shown in a private mount namespace (as root, or in a
user namespace of its own), so the host's /opt stays as it is; where namespaces are refused, small interposers for
Python and Node.js make just that path appear.

Run by path as `python -I -S launcher.py [--how HOW] --present NAME... -- COMMAND...` with nothing but the standard
library: it may be a different Python from ours, and its start is part of every cold start.
"""

from __future__ import annotations

import ctypes
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping
    from typing import Any

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18

OPT = "/opt"


def main(arguments: list[str]) -> None:
    how, names, command = parse(arguments)
    if names and not (how in ("auto", "namespace") and show_in_namespace(names)):
        if how == "namespace":
            sys.exit("launcher: mount namespaces are refused on this machine")
        interpose(names, os.environ)
    try:
        os.execvpe(command[0], command, os.environ)  # noqa: S606 - becoming that program is the point
    except OSError as error:
        sys.exit(f"launcher: cannot start {command[0]}: {error.strerror}")


def parse(arguments: list[str]) -> tuple[str, list[str], list[str]]:
    how = "auto"
    names: list[str] = []
    rest = list(arguments)
    while rest and rest[0] != "--":
        option = rest.pop(0)
        if option == "--how":
            how = rest.pop(0)
        elif option == "--present":
            names.append(rest.pop(0))
        else:
            sys.exit(f"launcher: unknown option {option}")
    if len(rest) < 2 or how not in ("auto", "namespace", "interpose"):
        sys.exit("usage: launcher.py [--how auto|namespace|interpose] [--present NAME]... -- COMMAND...")
    return how, names, rest[1:]


def show_in_namespace(names: list[str]) -> bool:
    """Whether this process has its own /opt with the files in it. On False nothing has changed for the worse."""
    if sys.platform != "linux" or not os.path.isdir(OPT):
        return False
    if all(os.path.exists(os.path.join(OPT, "extensions", name)) for name in names):
        return True
    libc = ctypes.CDLL(None, use_errno=True)
    # Asked in a child first: a namespace that is half set up could not be left again.
    if not _succeeds(lambda: _mount_all(libc, names)):
        return False
    _mount_all(libc, names)
    return True


def _succeeds(attempt: Callable[[], None]) -> bool:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            attempt()
            status = 0
        except BaseException:
            status = 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _mount_all(libc: ctypes.CDLL, names: list[str]) -> None:
    """A tmpfs over /opt in which every entry of the host's /opt is bound again, plus the files."""
    if libc.unshare(CLONE_NEWNS) != 0:
        uid, gid = os.getuid(), os.getgid()
        _call(libc.unshare, CLONE_NEWUSER | CLONE_NEWNS)
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{uid} {uid} 1")
        _write("/proc/self/gid_map", f"{gid} {gid} 1")
    _mount(libc, "none", "/", None, MS_REC | MS_PRIVATE)
    before = os.open(OPT, os.O_RDONLY | os.O_DIRECTORY)
    _mount(libc, "ddx", OPT, "tmpfs", 0, "mode=755,size=1m")
    _bind_entries(libc, before, OPT)
    folder = os.path.join(OPT, "extensions")
    if os.path.ismount(folder):
        # The host has such a folder, bound as a whole: make it one of ours, with its entries bound.
        inner = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        _mount(libc, "ddx", folder, "tmpfs", 0, "mode=755,size=1m")
        _bind_entries(libc, inner, folder)
        os.close(inner)
    else:
        os.mkdir(folder, 0o755)
    for name in names:
        path = os.path.join(folder, name)
        if not os.path.exists(path):
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o755))
    os.close(before)


def _bind_entries(libc: ctypes.CDLL, source: int, target: str) -> None:
    for name in os.listdir(source):
        path = os.path.join(target, name)
        origin = f"/proc/self/fd/{source}/{name}"
        if os.path.islink(origin):
            os.symlink(os.readlink(origin), path)
            continue
        if os.path.isdir(origin):
            os.mkdir(path, 0o755)
        else:
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
        _mount(libc, origin, path, None, MS_BIND | MS_REC)


def _mount(libc: ctypes.CDLL, source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    _call(
        libc.mount,
        source.encode(),
        target.encode(),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        data.encode() or None,
    )


def _call(function: Callable[..., int], *arguments: Any) -> None:
    if function(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def interpose(names: list[str], environment: MutableMapping[str, str]) -> None:
    """Prepare what Python and Node.js read at their start; other runtimes see no extension then."""
    local = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    here = os.path.join(local, "interpose")
    environment["DDX_PRESENT_FILES"] = ":".join(os.path.join(OPT, "extensions", name) for name in names)
    python = os.path.join(here, "python")
    known = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = f"{python}:{known}" if known else python
    require = "--require " + os.path.join(here, "node", "present.cjs")
    options = environment.get("NODE_OPTIONS")
    environment["NODE_OPTIONS"] = f"{require} {options}" if options else require


if __name__ == "__main__":
    main(sys.argv[1:])
