"""The journal of a run: JSON Lines that a later run resumes from, and a lock against two runs at once.

It names source files, so it lives beside the output folder and never in it: what is handed over must not say where it came from.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from fo_faceanon.errors import InputError, OutputError
from fo_faceanon.images import file_sha256
from fo_faceanon.records import ImageRecord

_FORMAT = 1
_SYNC_EVERY = 0.5  # seconds; a record lost with the machine's power is an image done again, and no more
#: Statuses of images that are done. A failed one is tried again: its file may have been repaired.
_DONE = ("ok", "no_faces", "needs_review")


class Journal:
    """Records of a run, one JSON object per line; the first line holds the configuration.

    A record vouches for an image as long as its source and its output still have the hashes written down. Several shards of one
    run share a folder: each appends to a file of its own, and all are read.

    Args:
        folder: where the journal lives; made where missing.
        configuration: what decides the output, JSON-serializable. A journal of another configuration is refused.
        shard: number of this shard's file.

    Raises:
        OutputError: the folder cannot be written, or holds the journal of another configuration.
    """

    def __init__(self, folder: Path, configuration: Mapping[str, Any], shard: int = 0) -> None:
        self.folder = Path(folder)
        self.resumed = 0  #: images that an earlier run had done
        self._configuration = json.loads(json.dumps(configuration, sort_keys=True))
        self._index: dict[str, tuple[BinaryIO, int]] = {}
        self._files: list[BinaryIO] = []
        path = self.folder / f"journal-{shard:05d}.jsonl"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._own = self._open_own(path)
            for other in sorted(self.folder.glob("journal-*.jsonl")):
                if other != path:
                    self._read(open(other, "rb"))  # noqa: SIM115 - close() closes it
        except OutputError:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise OutputError(f"cannot write the journal {path}: {error.strerror or error}") from error
        self._synced = time.monotonic()

    def _open_own(self, path: Path) -> BinaryIO:
        file = open(path, "a+b")  # noqa: SIM115 - close() closes it
        if _holds_no_record(file):  # of a run that was refused before its first image: it binds nobody
            file.truncate(0)
        end = self._read(file)
        file.truncate(end)  # a line that was torn when the run was killed
        if end == 0:
            header = {"format": _FORMAT, "configuration": self._configuration}
            file.write(json.dumps(header).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        return file

    def _read(self, file: BinaryIO) -> int:
        """Indexes the last record of each key; returns where the last whole line ends."""
        self._files.append(file)
        file.seek(0)
        end = 0
        for line in iter(file.readline, b""):
            if not line.endswith(b"\n"):
                break
            values = _parse(line)
            if end == 0:
                self._check_header(values, Path(file.name))
            elif values is not None and isinstance(values.get("key"), str):
                self._index[values["key"]] = (file, end)
            end += len(line)
        return end

    def _check_header(self, header: dict[str, Any] | None, path: Path) -> None:
        if header is None or header.get("format") != _FORMAT:
            raise OutputError(f"{path} is not a journal of this version; move it away, or use --restart")
        old = header.get("configuration") or {}
        names = sorted(name for name in {*old, *self._configuration} if old.get(name) != self._configuration.get(name))
        if names:
            changes = "; ".join(f"{name} was {old.get(name)!r} and is {self._configuration.get(name)!r}" for name in names)
            raise OutputError(
                f"an earlier run, whose journal is in {self.folder}, had another configuration: {changes}. "
                "Use the same one to resume it, --restart to begin again, or another output folder"
            )

    def vouched(self, key: str, source: Path) -> ImageRecord | None:
        """The record of an image that is done: neither its source nor its output has changed since."""
        record = self.last(key)
        if record is None or record.status not in _DONE or not record.output:
            return None
        try:
            done = file_sha256(record.output) == record.output_sha256 and file_sha256(source) == record.source_sha256
        except InputError:
            return None
        self.resumed += done
        return record if done else None

    def last(self, key: str) -> ImageRecord | None:
        """The last record of an image, whatever became of it."""
        place = self._index.get(key)
        if place is None:
            return None
        file, offset = place
        file.seek(offset)
        return ImageRecord.from_dict(json.loads(file.readline()))

    def __iter__(self) -> Iterator[ImageRecord]:
        """The last record of every image."""
        for key in self._index:
            record = self.last(key)
            if record is not None:
                yield record

    def append(self, record: ImageRecord) -> None:
        """Adds a record; it is on the disk within half a second, or when the journal is closed.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            offset = self._own.seek(0, os.SEEK_END)
            self._own.write(json.dumps(record.to_dict()).encode() + b"\n")
            self._own.flush()
            self._index[record.key] = (self._own, offset)
            if time.monotonic() - self._synced > _SYNC_EVERY:
                os.fsync(self._own.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            raise OutputError(f"cannot write the journal {self._own.name}: {error.strerror or error}") from error

    def close(self) -> None:
        """Makes everything durable and lets go of the files."""
        for file in self._files:
            with suppress(OSError):
                os.fsync(file.fileno())
            file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _holds_no_record(file: BinaryIO) -> bool:
    """Whether there is no whole line after the first."""
    file.seek(0)
    file.readline()
    return not file.readline().endswith(b"\n")


def _parse(line: bytes) -> dict[str, Any] | None:
    """A line's object; None where it is damaged, and its image is simply done again."""
    with suppress(ValueError):
        values = json.loads(line)
        if isinstance(values, dict):
            return values
    return None


def discard(folder: Path, outputs: Path) -> int:
    """Forgets an earlier run: removes the files under ``outputs`` that its journal says it wrote, then the journal.

    Files that no journal names stay. Returns how many were removed.
    """
    removed = 0
    root = os.path.realpath(outputs)
    for path in sorted(folder.glob("journal-*.jsonl")):
        with open(path, "rb") as file:
            for line in file:
                written = (_parse(line) or {}).get("output")
                if written and os.path.realpath(written).startswith(root + os.sep):
                    with suppress(FileNotFoundError):
                        os.unlink(written)
                        removed += 1
        path.unlink()
    return removed


class RunLock:
    """Holds a lock file while a run writes to an output folder.

    The operating system lets go of the lock when its process ends, however it ends, so a killed run blocks nobody. The file
    itself stays, since removing it could free the lock under a run that is just taking it; it says who holds it.

    Raises:
        OutputError: another run holds it.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def __enter__(self) -> RunLock:
        import fcntl

        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "a+")
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror or error}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            owner = self._file.read().strip() or "unknown process"
            self._file.close()
            raise OutputError(
                f"another run ({owner}) is writing to the same output; wait for it, stop it, or choose another output folder"
            ) from None
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}")
        self._file.flush()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.truncate(0)
        self._file.close()
