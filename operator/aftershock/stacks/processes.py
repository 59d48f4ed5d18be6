"""The processes of a stack, found by what they carry: an environment variable with the stack's folder.

So they are found when supervisord is dead, when the folder's files are gone, and when a command was killed half-way. Only
what carries the mark is ever signalled, through a handle that a recycled process id can't redirect.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aftershock.adapters import supervisor
from aftershock.errors import StackError, TargetError

MARK = "AFTERSHOCK_STACK_FOLDER"
GENTLE = 8.0
"""Seconds that supervisord has to stop what it keeps."""
STERN = 3.0
"""Seconds after each harder means."""

_PROC = Path("/proc")
_LISTENS = "0A"
_LOOPBACK = ("00000000", "0100007F")
"""Every address, and 127.0.0.1, as /proc/net/tcp writes them."""


@dataclass(frozen=True)
class Process:
    """A process that carries a stack's mark. `folder` is the stack's."""

    pid: int
    folder: str
    command: str

    @property
    def is_supervisor(self) -> bool:
        """Tell whether it is a supervisord."""
        return "supervisor.supervisord" in self.command

    @property
    def is_postmaster(self) -> bool:
        """Tell whether it is a PostgreSQL server itself: its children call themselves `postgres: …`."""
        return self.command.split(" ", 1)[0].endswith("/postgres")


def marked() -> Iterator[Process]:
    """Yield every process of any stack, but for the one that asks."""
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid() and (process := _read(int(entry.name))):
            yield process


def of(folder: Path) -> list[Process]:
    """Return every process of the stack in `folder`."""
    return [process for process in marked() if process.folder == str(folder)]


def listening(folder: Path) -> dict[int, bool]:
    """Return the ports of 127.0.0.1 that anybody listens on, and whether that is a process of the stack."""
    sockets = {}
    for line in (_PROC / "net" / "tcp").read_text(encoding="ascii").splitlines()[1:]:
        _, local, _, state, *_, inode = line.split()[:10]
        address, port = local.split(":")
        if state == _LISTENS and address in _LOOPBACK:
            sockets[inode] = int(port, 16)
    own = {inode for process in of(folder) for inode in _sockets(process.pid)}
    return {port: inode in own for inode, port in sockets.items()}


def _sockets(pid: int) -> Iterator[str]:
    """Yield the inodes of the sockets that a process has open."""
    with suppress(OSError):
        for entry in (_PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):
                kind, _, inode = str(entry.readlink()).partition(":")
                if kind == "socket":
                    yield inode.strip("[]")


def end(folder: Path, supervisor_url: str, patience: float = STERN) -> None:
    """End every process of the stack, gently if supervisord can see to it, harder otherwise. StackError if some stay.

    `patience`: seconds that they have to end by themselves where there is no supervisord.
    """
    if _gone(folder, 0):
        return
    _signal_all(folder, lambda _: signal.SIGCONT)
    if any(process.is_supervisor for process in of(folder)) and _asked(supervisor_url):
        _signal_all(
            folder, lambda each: None if each.is_supervisor else _gentle(each)
        )  # all at once: it would go in turn
        if _gone(folder, GENTLE):
            return
    _signal_all(folder, lambda each: signal.SIGKILL if each.is_supervisor else _gentle(each))
    if _gone(folder, patience):
        return
    _signal_all(folder, lambda _: signal.SIGKILL)
    if not _gone(folder, STERN):
        left = ", ".join(f"{process.pid} ({process.command})" for process in of(folder))
        raise StackError(f"these processes of the stack would not end: {left}", "end them, then try again")


def _asked(url: str) -> bool:
    """Tell supervisord to end. From now on it starts nothing again."""
    try:
        supervisor.shutdown(url, deadline=2.0)
    except TargetError:
        return False
    return True


def _gentle(process: Process) -> signal.Signals:
    return signal.SIGINT if process.is_postmaster else signal.SIGTERM


def _signal_all(folder: Path, choose: Callable[[Process], signal.Signals | None]) -> None:
    """Signal what is there, supervisord first: what it keeps must not come back."""
    for process in sorted(of(folder), key=lambda each: not each.is_supervisor):
        if (number := choose(process)) is not None:
            _signal(process, number)


def _gone(folder: Path, patience: float) -> bool:
    """Wait until none is left. Twice none, because a process that is just becoming another program carries nothing."""
    deadline = time.monotonic() + patience
    none = 0
    while none < 2:
        none = 0 if of(folder) else none + 1
        if none == 0 and time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True


def _signal(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        handle = os.pidfd_open(process.pid)
        try:
            if _read(process.pid) == process:
                signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)


def _read(pid: int) -> Process | None:
    """Return the process if it carries a mark. A PostgreSQL backend has overwritten its environment: its folder tells."""
    try:
        command = (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        folder = _mark(pid) or (_cluster(pid) if command.startswith("postgres: ") else None)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    return Process(pid, folder, command) if folder else None


def _mark(pid: int) -> str | None:
    prefix = f"{MARK}=".encode()
    variables = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    return next((os.fsdecode(each.removeprefix(prefix)) for each in variables if each.startswith(prefix)), None)


def _cluster(pid: int) -> str | None:
    """Return the stack whose cluster the process works in: `<folder>/postgresql/<database>/data`."""
    cluster = (_PROC / str(pid) / "cwd").readlink()
    if cluster.name == "data" and cluster.parent.parent.name == "postgresql":
        return str(cluster.parent.parent.parent)
    return None
