"""Spool: what could not be sent before the end of a process, kept on disk for the next process of the same sandbox.

Rules of this file:
- Everything is synchronous and nothing raises for trouble with the disk: what cannot be kept is given back, to be counted.
- A file holds one payload and is there whole or not at all: written under another name, then renamed.
- A file is read once: only who has deleted it may use it, so two processes never deliver the same one.
- The folder and its files belong to us and are readable by us alone; nothing in them is trusted when read back. API keys
  are no part of a payload, so none can be in here.
"""

from __future__ import annotations

import os
import re
import stat
import zlib
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from . import log
from .clock import now_ns as _now_ns
from .intake import EndpointQueue, Fanout, SpooledPayload
from .stats import Amount

_magic: Final = b"ddxspool1\n"
_name: Final = re.compile(r"\.?ddx-[0-9]{20}-[0-9]{1,10}-[0-9]{6}\.payload")
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(SpooledPayload)

not_spooled: Final = "not_spooled"
"""The reason under which an account drops what the spool had no place for."""


class WriteResult(msgspec.Struct, frozen=True, kw_only=True):
    """`kept` and `left_out` hold the payloads themselves, in the order given."""

    kept: tuple[SpooledPayload, ...] = ()
    left_out: tuple[SpooledPayload, ...] = ()

    @property
    def kept_amount(self) -> Amount:
        return _amount(self.kept)

    @property
    def left_out_amount(self) -> Amount:
        return _amount(self.left_out)

    def __repr__(self) -> str:
        kept, left_out = self.kept_amount, self.left_out_amount
        return f"kept:{kept.items} items,{kept.bytes} bytes;left_out:{left_out.items} items,{left_out.bytes} bytes"


class Spool:
    """At most `max_bytes` of files in `directory`, which is made at the first write; 0 turns the spool off."""

    def __init__(self, directory: str | Path, *, max_bytes: int) -> None:
        self._directory = Path(directory)
        self._max_bytes = max_bytes
        self._written = 0
        self.troubles = 0
        """How often the disk, or something found on it, was not as it should be."""

    def write(self, payloads: Sequence[SpooledPayload]) -> WriteResult:
        """Keep what there is room for, in the order given: one that does not fit is passed over for those behind it."""
        if not payloads or self._max_bytes <= 0:
            return WriteResult(left_out=tuple(payloads))
        kept: list[SpooledPayload] = []
        left_out: list[SpooledPayload] = []
        try:
            with self._open_directory(create=True) as folder:
                room = self._max_bytes - sum(size for _, size in _files(folder))
                for payload in payloads:
                    data = _render(payload)
                    if len(data) <= room and self._write_file(folder, data):
                        room -= len(data)
                        kept.append(payload)
                    else:
                        left_out.append(payload)
        except OSError as error:
            self._report(error)
            left_out = [payload for payload in payloads if not any(payload is each for each in kept)]
        return WriteResult(kept=tuple(kept), left_out=tuple(left_out))

    def take(self) -> list[SpooledPayload]:
        """Everything that was kept, oldest first, and off the disk. What is damaged or not of our making is left out."""
        taken: list[SpooledPayload] = []
        if self._max_bytes <= 0:
            return taken
        try:
            with self._open_directory(create=False) as folder:
                room = self._max_bytes
                for name, size in sorted(_files(folder)):
                    data = self._take_file(folder, name, size) if size <= room else self._discard(folder, name)
                    room -= len(data)
                    if payload := _parse(data):
                        taken.append(payload)
                    elif data:
                        self.troubles += 1
                        log.warning("spool_file_damaged", bytes=len(data))
        except FileNotFoundError:
            pass
        except OSError as error:
            self._report(error)
        return taken

    @contextmanager
    def _open_directory(self, *, create: bool) -> Generator[int]:
        """A descriptor of the folder: what is done through it cannot be led elsewhere by a link put in its place."""
        if create:
            with suppress(FileExistsError):
                os.makedirs(self._directory.parent, exist_ok=True)
                os.mkdir(self._directory, 0o700)
        folder = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            found = os.fstat(folder)
            if found.st_uid != os.geteuid():
                raise PermissionError(f"{self._directory} belongs to another user")
            if found.st_mode & 0o077:
                os.fchmod(folder, 0o700)
            yield folder
        finally:
            os.close(folder)

    def _write_file(self, folder: int, data: bytes) -> bool:
        self._written += 1
        # The order of names is the order of writing; the process id keeps two processes of one moment apart.
        name = f"ddx-{_now_ns():020d}-{os.getpid()}-{self._written % 1_000_000:06d}.payload"
        try:
            file = os.open(
                f".{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder
            )
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(file, view) :]
            finally:
                os.close(file)
            os.rename(f".{name}", name, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError as error:
            self._report(error)
            with suppress(OSError):
                os.unlink(f".{name}", dir_fd=folder)
            return False
        return True

    def _take_file(self, folder: int, name: str, size: int) -> bytes:
        """The content of a whole file that is ours, deleted; empty for anything else, deleted too."""
        data = b""
        try:
            # Not to be held up by a pipe of this name.
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
            try:
                found = os.fstat(file)
                is_ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_nlink == 1
                if is_ours and not name.startswith("."):
                    data = _read(file, size)
            finally:
                os.close(file)
        except OSError as error:
            self._report(error)
        if not data and not name.startswith("."):
            self.troubles += 1
        return data if self._unlink(folder, name) else b""

    def _discard(self, folder: int, name: str) -> bytes:
        self.troubles += 1
        self._unlink(folder, name)
        return b""

    def _unlink(self, folder: int, name: str) -> bool:
        try:
            os.unlink(name, dir_fd=folder)
        except FileNotFoundError:
            return False  # another process was faster, and has it
        except OSError as error:
            self._report(error)
            return False
        return True

    def _report(self, error: OSError) -> None:
        self.troubles += 1
        log.warning("spool_failed", directory=str(self._directory), error=error.strerror or str(error))


def spool_queues(spool: Spool, fanouts: Mapping[str, Fanout]) -> WriteResult:
    """At the end of a process: move all that is queued into the spool and settle the accounts with it.

    `fanouts` by the name under which `queue_spooled` will look for them in the next process. What is kept stays held, as
    spooled; what is left out is dropped as `not_spooled`.
    """
    origin: list[EndpointQueue] = []
    payloads: list[SpooledPayload] = []
    for signal, fanout in fanouts.items():
        for queue in fanout.queues:
            taken = queue.take_spoolable(signal)
            payloads.extend(taken)
            origin.extend([queue] * len(taken))
    result = spool.write(payloads)
    kept = {id(payload) for payload in result.kept}
    for queue, each in zip(origin, payloads, strict=True):
        if id(each) in kept:
            queue.account.spool(each.payload.items, each.payload.size)
        else:
            queue.account.drop(not_spooled, each.payload.items, each.payload.size)
    return result


def queue_spooled(spool: Spool, find: Callable[[str], Fanout | None]) -> Amount:
    """At the start of a process: queue what the one before it could not send. Gives what was queued.

    `find` gives the fanout of a signal, by the name that `spool_queues` knew it by. A payload whose signal or endpoint
    is gone cannot be sent any more; it is reported and dropped.
    """
    queued = Amount()
    for each in spool.take():
        amount = Amount(each.payload.items, each.payload.size)
        queue = _queue_for(each, find(each.signal))
        if queue is None:
            log.warning(
                "spooled_payload_without_endpoint", signal=each.signal, endpoint=each.endpoint, items=amount.items
            )
            continue
        queue.account.restore(amount.items, amount.bytes)
        queue.put(each.payload, uncertain=each.uncertain)
        queued = queued + amount
    return queued


def _queue_for(spooled: SpooledPayload, fanout: Fanout | None) -> EndpointQueue | None:
    for queue in fanout.queues if fanout is not None else ():
        if queue.endpoint.name == spooled.endpoint and queue.takes(spooled.payload):
            return queue
    return None


def _files(folder: int) -> Iterable[tuple[str, int]]:
    """Names of our form with their sizes, whatever kind of file they are."""
    for name in os.listdir(folder):
        if _name.fullmatch(name):
            with suppress(FileNotFoundError):
                yield name, os.stat(name, dir_fd=folder, follow_symlinks=False).st_size


def _read(file: int, size: int) -> bytes:
    data = b""
    while len(data) < size and (part := os.read(file, size - len(data))):
        data += part
    return data


def _render(payload: SpooledPayload) -> bytes:
    body = _encoder.encode(payload)
    return _magic + zlib.crc32(body).to_bytes(4, "big") + body


def _parse(data: bytes) -> SpooledPayload | None:
    head = len(_magic)
    body = data[head + 4 :]
    if data[:head] != _magic or data[head : head + 4] != zlib.crc32(body).to_bytes(4, "big"):
        return None
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return None


def _amount(payloads: Sequence[SpooledPayload]) -> Amount:
    return Amount(
        sum(each.payload.items for each in payloads),
        sum(each.payload.size for each in payloads),
    )
