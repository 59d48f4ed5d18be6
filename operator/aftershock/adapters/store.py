"""The journal on disk: JSON lines, appended, and never rewritten.

One `write` call a record, so that a crash tears at most the line it was in; the next writer starts a new line. What a
lease rests on is on the disk before `append` returns (`durable=True`).
"""

import gzip
import os
import zlib
from pathlib import Path
from typing import Self

from aftershock.adapters import secrets
from aftershock.core.history import Begun, Event, History, Slice, encode, encode_tree, parse, tree_of
from aftershock.core.redact import Redactor
from aftershock.core.sound import unsound
from aftershock.errors import JournalError

NAME = "journal.jsonl"
LONGEST = 1 << 30
"""Bytes of a gzipped journal, unpacked: a day of a dozen indicators."""


class Journal:
    """An open journal. A failed write raises JournalError; the caller heals and ends."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._known: frozenset[str] = frozenset()
        self._redactor = Redactor([])

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open for appending, the folder included; a line that a crash tore is closed first."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                os.write(descriptor, b"\n")
        except OSError as error:
            raise _unwritable(path, error) from error
        return cls(path, descriptor)

    def append(self, event: Event, *, durable: bool = False) -> None:
        """Write one record; with `durable`, wait until the disk has it."""
        line = encode(event) if isinstance(event, Slice) else self._redacted(event)
        try:
            written = os.write(self._descriptor, line)
            if written != len(line):
                raise OSError(28, "No space left on device")
            if durable:
                os.fdatasync(self._descriptor)
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def _redacted(self, event: Event) -> bytes:
        """Encode without any secret that this process has read so far; numbers in slices can hold none."""
        if (known := secrets.seen()) != self._known:
            self._known, self._redactor = known, Redactor(known)
        return encode_tree(self._redactor.tree(tree_of(event)))

    def close(self) -> None:
        """Close the file. Closing twice is closing once."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _unwritable(path: Path, error: OSError) -> JournalError:
    return JournalError(
        f"can't write the journal {path}: {error.strerror}",
        "free some space or point AFTERSHOCK_HOME at a folder that can be written, then run again",
    )


def read(path: Path) -> History:
    """Read a journal; one that is kept for long may be gzipped, as `….gz`.

    JournalError where there is none, or where its first record is missing.
    """
    try:
        history = parse(_unpacked(path) if path.suffix == ".gz" else path.read_bytes())
    except OSError as error:
        advice = "`aftershock run` writes one; `aftershock report` without a name lists the runs there are"
        raise JournalError(f"can't read the journal {path}: {error.strerror or error}", advice) from error
    if history.first(Begun) is None:
        advice = (
            "give a run's name or its journal.jsonl; a run that ended before its inputs were on record can't be judged"
        )
        raise JournalError(f"{path} holds no record of a run", advice)
    if (wrong := unsound(history)) is not None:
        advice = "it was damaged or changed after it was written: judge a copy that wasn't"
        raise JournalError(f"{path} can't be what a run wrote: {wrong}", advice)
    return history


def _unpacked(path: Path) -> bytes:
    """Unpack, up to what a journal may have: a few bytes can stand for a disk full of nothing."""
    try:
        with gzip.open(path) as packed:
            text = packed.read(LONGEST + 1)
    except (EOFError, zlib.error) as error:
        raise OSError(f"it is cut off or damaged: {error}") from error
    if len(text) > LONGEST:
        raise OSError(f"unpacked it has more than {LONGEST >> 20} MiB")
    return text
