"""A local stack's folder: what lies where, who may read it, and the lock of whoever works on it."""

import fcntl
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aftershock.adapters import home
from aftershock.errors import InputError, StackError
from aftershock.stacks.account import Account, give, give_folder

LONGEST_SOCKET = 107 - len(".4194304")
"""Bytes of a socket's path; supervisord binds it with its process id appended, then renames it."""
PATIENCE = 300.0
"""Seconds to wait for another `aftershock stack` on the same stack: it may be building Toxiproxy."""

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?")


@dataclass(frozen=True)
class Place:
    """The paths of one stack. None of them need exist."""

    name: str

    @property
    def folder(self) -> Path:
        """All of the stack's state."""
        return home.stacks() / self.name

    @property
    def stack(self) -> Path:
        """The Stack file."""
        return self.folder / "stack.yaml"

    @property
    def record(self) -> Path:
        """What `up` decided: era, ports, instance."""
        return self.folder / "record.json"

    @property
    def config(self) -> Path:
        """The configuration of supervisord."""
        return self.folder / "supervisord.conf"

    @property
    def logs(self) -> Path:
        """What the stack's processes say: `<program>.log`."""
        return self.folder / "logs"

    @property
    def secrets(self) -> Path:
        """Passwords, and files with how to log in."""
        return self.folder / "secrets"

    def cluster(self, database: str) -> Path:
        """Return the folder of a database's cluster: its parent belongs to the servers' account."""
        return self.folder / "postgresql" / database / "data"

    def store(self, name: str) -> Path:
        """Return the folder of what a store keeps: it runs in that one's parent."""
        return self.folder / "stores" / name / "data"

    @property
    def socket(self) -> Path:
        """Supervisord's socket: in the folder, or where that path is too long for a socket, in a private one of our own."""
        usual = self.folder / "supervisor.sock"
        return usual if len(os.fsencode(usual)) <= LONGEST_SOCKET else self._short / "s"

    @property
    def supervisor(self) -> str:
        """Supervisord's address."""
        return f"unix://{self.socket}"

    @property
    def _short(self) -> Path:
        """The same for every command of this user, whatever its environment; so not below TMPDIR."""
        digest = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]
        return Path(f"/tmp/aftershock-{os.geteuid()}-{digest}")  # noqa: S108  # made with mode 0700, and checked

    def make(self, account: Account | None) -> None:
        """Make the folders. Servers' account can pass through the stack's folder, not look around in it."""
        _open_to_all(home.state(), home.stacks())
        for folder, mode in ((self.folder, 0o711), (self.logs, 0o700), (self.secrets, 0o700)):
            folder.mkdir(mode=mode, exist_ok=True)
            folder.chmod(mode)
        if self.socket.parent != self.folder:
            _private(self.socket.parent)
        give_folder(self.folder / "postgresql", account)

    def make_cluster(self, database: str, account: Account | None) -> Path:
        """Make the parent of a database's cluster, clear what a killed attempt left there, return the cluster's path."""
        cluster = self.cluster(database)
        give_folder(cluster.parent, account)
        for left in cluster.parent.glob("new.*"):
            shutil.rmtree(left)
        return cluster

    def make_resolver(self, name: str, files: Mapping[str, str], account: Account | None) -> None:
        """Write a DNS server's files, for its account alone."""
        folder = self.folder / "dns" / name
        for each in (folder.parent, folder, folder / "zones", folder / "run", folder / "state"):
            give_folder(each, account)
        for path, text in files.items():
            write(folder / path, text)
            give(folder / path, account)

    def make_member(self, name: str, files: Mapping[str, str], account: Account | None) -> None:
        """Write what runs a database's member, for `account` alone, None for ourselves: there are secrets in it.

        Anew each time, in a folder that nobody else can write: what an earlier one left may belong to whomever it was given.
        """
        managers = self.folder / "managers"
        managers.mkdir(mode=0o711, exist_ok=True)
        managers.chmod(0o711)
        folder = managers / name
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(mode=0o700)
        for path, text in files.items():
            write(folder / path, text)
            give(folder / path, account)
        give(folder, account)

    def make_store(self, name: str) -> Path:
        """Make the folder that a store runs in, clear what a killed attempt left there, return the path of what it keeps."""
        kept = self.store(name)
        for each in (kept.parent.parent, kept.parent):
            each.mkdir(mode=0o700, exist_ok=True)
            each.chmod(0o700)
        for left in kept.parent.glob("new.*"):
            shutil.rmtree(left)
        return kept

    def remove(self) -> None:
        """Remove the folder. It goes in one step, so that no half of one is ever taken for a stack."""
        grave = self.folder.with_name(f".{self.name}.removed")
        for _ in range(2):  # a killed removal left one, and this one makes its own
            shutil.rmtree(grave, ignore_errors=True)
            if self.folder.exists():
                self.folder.rename(grave)
        if self.socket.parent != self.folder:
            shutil.rmtree(self.socket.parent, ignore_errors=True)

    @contextmanager
    def lock(self, progress: Callable[[str], None]) -> Iterator[None]:
        """Keep every other `up` and `down` of this stack out. The lock goes with its process, however that ends."""
        _open_to_all(home.state())
        locks = home.state() / "locks"
        locks.mkdir(mode=0o700, exist_ok=True)
        with (locks / self.name).open("w") as file:
            _wait_for(file.fileno(), self.name, progress)
            yield


def place(name: str) -> Place:
    """Return the place of the stack `name`. InputError if that can be no stack's name."""
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} can't be a stack's name", "use up to 50 of a-z, 0-9 and -")
    return Place(name)


def places() -> list[Place]:
    """Return every stack that has a folder."""
    try:
        return [Place(folder.name) for folder in sorted(home.stacks().iterdir()) if _NAME.fullmatch(folder.name)]
    except FileNotFoundError:
        return []


def write(path: Path, text: str) -> None:
    """Write a private file, whole or not at all."""
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)


def read_record(path: Path) -> dict[str, Any]:
    """Return what a JSON file of ours holds; {} if there is none, or none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _wait_for(file: int, name: str, progress: Callable[[str], None]) -> None:
    end = time.monotonic() + PATIENCE
    told = False
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise StackError(
                    f"another `aftershock stack` has been at work on {name} for {PATIENCE:.0f} s",
                    "wait for it, or end it, and try again",
                ) from None
            if not told:
                progress(f"waiting for another `aftershock stack` at work on {name}")
                told = True
            time.sleep(0.1)
        else:
            return


def _open_to_all(*folders: Path) -> None:
    """Make folders that servers' account can pass through, whatever our umask; those that are there stay as they are."""
    for folder in folders:
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o755)


def _private(folder: Path) -> None:
    """Make a folder under a public one, or make sure that the one there is ours alone."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o170077 != 0o040000:
        raise StackError(f"{folder} is there already, and not private to us", "remove it, or set AFTERSHOCK_HOME")
