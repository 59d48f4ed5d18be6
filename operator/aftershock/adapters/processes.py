"""Processes of this machine: trees of them, their states, and signals that never hit a stranger.

A process is its id and its start time: an id alone may have been given to somebody else meanwhile. Linux only (/proc and
pidfd).
"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from aftershock.adapters import supervisor
from aftershock.errors import InputError, TargetError
from aftershock.model.stack import Workload

SETTLE = 2.0
"""Seconds that a signal may take to show in /proc."""


class Process(msgspec.Struct, frozen=True):
    """`started`: clock ticks since the machine's start, as /proc tells it."""

    pid: int
    started: int


class _Stat(msgspec.Struct, frozen=True):
    process: Process
    state: str
    parent: int
    group: int


def boot() -> str:
    """Return what tells this start of the machine from every other: process ids mean nothing beyond it."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def root_of(workload: Workload, folder: Path) -> Process:
    """Return the workload's first process. TargetError if it doesn't run, InputError if the stack doesn't say how to tell."""
    pid = pid_of(workload, folder)
    found = _stat(pid) if pid else None
    if found is None or found.state == "Z":
        raise TargetError(f"the workload {workload.name} doesn't run", "start it first: `aftershock stack status`")
    return found.process


def pid_of(workload: Workload, folder: Path) -> int | None:
    """Return the id of the workload's first process, None while it has none."""
    if workload.supervisor is not None:
        return supervisor.info(workload.supervisor).pid
    if workload.pid_file is None:
        raise InputError(
            f"the workload {workload.name} is no local process", "give it `supervisor:` or `pidFile:` in the Stack"
        )
    path = folder / workload.pid_file.path
    try:
        return int(path.read_text(encoding="ascii").split()[0])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, IndexError):
        raise TargetError(
            f"can't read a process id from {path}", "correct `pidFile:` of the workload in the Stack"
        ) from None


def state(process: Process) -> str | None:
    """Return the state's letter (R, S, D, T, …); None for a process that has ended, whoever has its id now."""
    found = _stat(process.pid)
    return found.state if found and found.process == process and found.state not in "ZX" else None


def tree(root: Process) -> list[Process]:
    """Return the process, everything that descends from it, and its process group if it leads one. Living ones only."""
    everyone = [found for pid in _pids() if (found := _stat(pid)) and found.state not in "ZX"]
    members = {root.pid: root}
    while more := [
        each for each in everyone
        if each.process.pid not in members and (each.parent in members or each.group == root.pid)
    ]:  # fmt: skip
        members |= {each.process.pid: each.process for each in more}
    return [each for each in members.values() if state(each) is not None]


def send(process: Process, number: signal.Signals) -> None:
    """Signal this very process; nothing if it has ended. TargetError if it belongs to somebody else."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if state(process) is not None:  # the handle is open: from here on the id can't change hands
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return
    except PermissionError:
        raise TargetError(
            f"the process {process.pid} belongs to another user: it can't be sent {number.name}",
            "run aftershock as that user, or as root",
        ) from None
    finally:
        os.close(handle)


def stop(root: Process) -> list[Process]:
    """Stop the tree, with whatever it forks meanwhile; return what was stopped by this."""
    stopped: list[Process] = []
    while fresh := [each for each in tree(root) if each not in stopped and state(each) != "T"]:
        for each in fresh:
            send(each, signal.SIGSTOP)
        await_state(lambda: all(state(each) in {"T", None} for each in fresh))
        stopped += fresh
    return stopped


def await_state(done: Callable[[], bool]) -> None:
    """Return once it is so, or after SETTLE seconds."""
    end = time.monotonic() + SETTLE
    while not done() and time.monotonic() < end:
        time.sleep(0.002)


def go_on(processes: list[Process]) -> None:
    """Resume these, where they are stopped."""
    for each in processes:
        if state(each) == "T":
            send(each, signal.SIGCONT)


def descendants(processes: list[Process]) -> list[Process]:
    """Return these and all that descends from them, as far as they live."""
    return list({member: None for process in processes if state(process) for member in tree(process)})


def kill_all(processes: list[Process]) -> None:
    """Kill these, and wait until they are gone."""
    for each in processes:
        send(each, signal.SIGKILL)
    await_state(lambda: all(state(each) is None for each in processes))


def kill(root: Process) -> list[Process]:
    """Kill the tree at once: stopped first, so that nothing of it can fork away. Return what was killed."""
    stop(root)
    doomed = tree(root)
    kill_all(doomed)
    return doomed


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _stat(pid: int) -> _Stat | None:
    """Read /proc/<pid>/stat (proc(5)): the name in parentheses may hold anything, so count from its end."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = told.rpartition(")")[2].split()
    return _Stat(Process(pid, int(fields[19])), fields[0], int(fields[1]), int(fields[2]))
