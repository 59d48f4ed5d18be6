"""The reaper and `halt` as commands: which stacks to look at, and what to say about it."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from aftershock.core.lease import Lease
from aftershock.errors import AftershockError, InputError
from aftershock.model.stack import Stack
from aftershock.runtime import folders, lost, reaper
from aftershock.runtime.folders import RunFolder
from aftershock.runtime.loading import stack_files, stack_from
from aftershock.runtime.reaper import Scope

Say = Callable[[str], None]
PATIENCE = 10.0
"""Seconds that a run told to end may take to heal and judge, before it is ended by force; faults are healed meanwhile."""

STUCK = 9


def once(names: Sequence[str], say: Say) -> int:
    """Heal what is past its expiry in the places of the stacks; return the exit code."""
    return _sweep(names, say, "expired")


def _sweep(names: Sequence[str], say: Say, scope: Scope, runs: Sequence[str | None] = (None,)) -> int:
    """Heal in every stack, of all runs or of those with these tokens; a stack that can't be read keeps no other waiting."""
    worst = 0
    files = stack_files(names)
    if not files:
        say("no stack on this machine; name one with --stack")
    for file in files:
        try:
            worst = max(worst, *(asyncio.run(_sweep_one(file, say, scope, run)) for run in runs))
        except AftershockError as error:
            say(f"{file.parent.name}: STUCK: {error.problem}: {error.advice}")
            worst = max(worst, STUCK)
    return worst


async def _sweep_one(file: Path, say: Say, scope: Scope, run: str | None) -> int:
    stack = stack_from(file)
    before = lost.ended_of_late(stack.metadata.name, time.time()) if scope == "expired" else []
    swept = await reaper.sweep(stack, file.parent, scope=scope, run=run)
    for line in [*swept.healed, *await lost.conclude_lost(stack, file.parent)]:
        say(f"{stack.metadata.name}: {line}")
    for line in [*swept.left, *swept.unreachable]:
        say(f"{stack.metadata.name}: {'StuckOnCleanup' if line in swept.stuck else 'STUCK'}: {line}")
    if not (swept.healed or swept.left or swept.unreachable):
        say(f"{stack.metadata.name}: nothing to heal")
    for line in [*(_not_due(swept.held) if scope == "expired" else []), *before]:
        say(f"{stack.metadata.name}: {line}")
    return STUCK if swept.left or swept.unreachable else 0


def _not_due(held: Sequence[Lease]) -> list[str]:
    """Say what is there and may be, a line a lease, the first to end first."""
    leases = sorted(set(held), key=lambda lease: (lease.expires, lease.name))
    return [f"not due before {datetime.fromtimestamp(one.expires, UTC):%H:%M:%S} UTC: {one.name}" for one in leases]


def watch(names: Sequence[str], say: Say) -> int:
    """Go on healing until ended by a signal."""

    async def each_round(stack: Stack, folder: Path) -> None:
        for line in await lost.conclude_lost(stack, folder):
            say(line)

    asyncio.run(reaper.watch(lambda: stack_files(names), report=say, each_round=each_round))
    return 0


def halt(name: str | None, names: Sequence[str], say: Say) -> int:
    """End runs (all, or the one named) and heal every fault they hold, at once; return the exit code.

    Of a run that is named, only its own faults are healed: another's stay what they are.
    """
    running = [folder for folder in folders.every() if folder.alive() and (not name or folder.name.startswith(name))]
    if name == "":
        raise InputError("an empty name for a run", "name the run, or leave the name out to end every run")
    if name is not None and not running:
        raise InputError(f"no run named {name} is going on", "`aftershock report` lists the runs there are")
    for folder in running:
        folder.ask_to_halt()
        _signal(folder, signal.SIGTERM)
        say(f"{folder.name}: told to end")
    runs = [None] if name is None else [folder.name.rpartition("-")[2] for folder in running]
    said: set[str] = set()

    def say_first(line: str) -> None:
        said.add(line)
        say(line)

    def say_what_is_new(line: str) -> None:
        if line not in said and ("STUCK: " in line or "StuckOnCleanup: " in line):
            say(line)

    _sweep(names, say_first, "all", runs)
    undying = _await(running, say)
    return max(undying, _sweep(names, say_what_is_new, "all", runs))


def _await(running: Sequence[RunFolder], say: Say) -> int:
    """Wait until every executor is gone, by force where it must be; return the exit code.

    A killed process goes when the kernel comes to it: until then its run can't be ended for it.
    """
    deadline = time.monotonic() + PATIENCE
    killed = [folder for folder in running if not _gone(folder, deadline)]
    for folder in killed:
        _signal(folder, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE
    undying = [folder for folder in killed if not _gone(folder, deadline)]
    for folder in running:
        say(f"{folder.name}: {_ending(folder, killed, undying)}")
    return STUCK if undying else 0


def _gone(folder: RunFolder, deadline: float) -> bool:
    while alive := folder.alive():
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return not alive


def _ending(folder: RunFolder, killed: Sequence[RunFolder], undying: Sequence[RunFolder]) -> str:
    if folder in undying:
        return "STUCK: does not end, though it was killed; see what its process waits for, then `aftershock reap`"
    return "did not end, and was killed" if folder in killed else "ended"


def _signal(folder: RunFolder, number: signal.Signals) -> None:
    """Signal the executor that holds the folder's lock: while it does, the id on record is its own."""
    run = folder.read()
    executor = (run.status.executor if run is not None else None) or ""
    if executor.isdecimal() and int(executor) > 1 and folder.alive():
        with contextlib.suppress(ProcessLookupError, PermissionError, OverflowError):
            os.kill(int(executor), number)
