"""A run's folder: who executes it, where it stands, and how a run is found by name.

The executor holds a lock on the folder while it lives, so that "is it alive?" is a question to the kernel and not to a
process id that may have been given away again.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from aftershock.adapters import home, store
from aftershock.errors import HeldError, InputError, JournalError
from aftershock.model.run import Run

RUN = "run.json"
LOCK = "lock"
HALT = "halt"


class RunFolder(msgspec.Struct, frozen=True):
    """Where one run lies."""

    path: Path

    @property
    def name(self) -> str:
        """The run's name."""
        return self.path.name

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.path / store.NAME

    def write(self, run: Run) -> None:
        """Replace the run's record, whole or not at all."""
        draft = self.path / f".{RUN}.new"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=2) + b"\n")
            draft.replace(self.path / RUN)
        except OSError as error:
            raise unwritable(self.path / RUN, error) from error

    def read(self) -> Run | None:
        """Return the run's record; None where there is none that can be read."""
        try:
            return msgspec.json.decode((self.path / RUN).read_bytes(), type=Run)
        except (OSError, msgspec.DecodeError):
            return None

    def lock(self) -> int | None:
        """Take the folder's lock; None where its executor lives. The lock ends with the descriptor or the process."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            return _lock(self.path / LOCK)
        except OSError as error:
            raise unwritable(self.path, error) from error

    def ask_to_halt(self) -> None:
        """Leave word that the signal which comes next is `aftershock halt`."""
        with suppress(OSError):  # then it reads as the user's signal, and ends the run all the same
            (self.path / HALT).touch()

    def halted(self) -> bool:
        """Tell whether `aftershock halt` has asked this run to end."""
        return (self.path / HALT).exists()

    def alive(self) -> bool:
        """Tell whether an executor holds the folder."""
        try:
            descriptor = _lock(self.path / LOCK, os.O_RDONLY)
        except FileNotFoundError:
            return False
        if descriptor is not None:
            os.close(descriptor)
        return descriptor is None


def unwritable(path: Path, error: OSError) -> JournalError:
    """Say that nothing can be written there."""
    advice = "free some space, or name a folder that can be written (AFTERSHOCK_HOME, or --out), then run again"
    return JournalError(f"can't write {path}: {error.strerror}", advice)


def _lock(path: Path, how: int = os.O_RDWR | os.O_CREAT) -> int | None:
    descriptor = os.open(path, how | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


@contextmanager
def stack_held(stack: str, run: str) -> Iterator[None]:
    """Hold a stack for one run: two runs never hold one target. HeldError names the run that has it."""
    folder = home.state() / "locks"
    path = folder / f"{stack}.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = _lock(path)
    except OSError as error:
        raise unwritable(path, error) from error
    if descriptor is None:
        other = path.read_text(encoding="utf-8", errors="replace").strip() or "another run"
        raise HeldError(f"{other} holds the stack {stack}", f"wait for it to end, or end it: aftershock halt {other}")
    try:
        with suppress(OSError):  # a full disk: whoever waits for this run is told of another run without its name
            os.ftruncate(descriptor, 0)
            os.write(descriptor, run.encode())
        yield
    finally:
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
        os.close(descriptor)


def every() -> list[RunFolder]:
    """Return all runs of this machine, oldest first."""
    folders = [path for path in home.runs().glob("*") if (path / store.NAME).exists() or (path / RUN).exists()]
    return [RunFolder(path) for path in sorted(folders, key=lambda path: path.stat().st_mtime)]


def find(name: str) -> Path:
    """Return the journal that `name` means: a path, a run's name, the start of one, or `last`. InputError if none."""
    path = Path(name)
    if not name:
        raise InputError("an empty name for a run", "give a journal's path, a run's name or `last`")
    if path.is_file():
        return path
    if (path / store.NAME).is_file():
        return path / store.NAME
    known = every()
    matching = known[-1:] if name == "last" else [folder for folder in known if folder.name.startswith(name)]
    if len(matching) == 1 or (matching and matching[0].name == name):
        return matching[0].journal
    found = ", ".join(folder.name for folder in (matching or known)[-5:]) or "none"
    advice = "give a journal's path, a run's name or `last`"
    raise InputError(f"{'more than one' if matching else 'no'} run is named {name!r}; there are: {found}", advice)
