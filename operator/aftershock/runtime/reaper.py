"""The reaper: heals what bears our name and is past its lease, wherever a stack names a place. It remembers nothing.

It needs neither operator nor executor, and never touches what bears another name. Places are looked at side by side: a
dead one delays no other. `watch` survives whatever happens to the places, the stack files, the disk or its own output.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec

from aftershock.core.lease import Lease
from aftershock.errors import AftershockError, InputError, WedgedError
from aftershock.model.load import load
from aftershock.model.stack import Stack
from aftershock.runtime.place import Looked, Place
from aftershock.runtime.places import places
from aftershock.runtime.telling import Teller

Scope = Literal["expired", "all"]
Due = Callable[[Lease, float], bool]
Looking = Callable[[str, str, "Sweep"], object]
EVERY = 0.25
"""Seconds between two looks at a place that answers at once."""

COSTLY_EVERY = 1.0
"""Seconds between two looks at a database (each costs it a login, and it ends our sessions by itself) or at an API server."""


class Sweep(msgspec.Struct):
    """What one sweep found, a line each. `healed`: what was undone. `left`: what is still there though it was due, or,
    when only asked, what is there. `unreachable`: places that could not be asked. `stuck`: the lines of `left` that need
    somebody's hands (StuckOnCleanup), each with what to do. `held` and `due`: the leases found when it began.
    """

    healed: list[str] = msgspec.field(default_factory=list)
    left: list[str] = msgspec.field(default_factory=list)
    unreachable: list[str] = msgspec.field(default_factory=list)
    stuck: list[str] = msgspec.field(default_factory=list)
    held: list[Lease] = msgspec.field(default_factory=list)
    due: list[Lease] = msgspec.field(default_factory=list)

    def add(self, other: "Sweep") -> None:
        """Take in what another place had."""
        self.healed += other.healed
        self.left += other.left
        self.unreachable += other.unreachable
        self.stuck += other.stuck
        self.held += other.held
        self.due += other.due


async def sweep(
    stack: Stack, folder: Path, *, scope: Scope = "expired", run: str | None = None, lease: Lease | None = None
) -> Sweep:
    """Heal, in all places of the stack: what is past its lease, or with `all` whatever its lease.

    `folder`: where the stack's file lies. `run` (a token) or `lease` confine it to what is of that run, or that lease;
    of a run, that includes the proxies that were created for it.
    """
    due = _due(scope, run, lease)
    return await _everywhere(stack, folder, lambda place: heal(place, due))


async def leftovers(stack: Stack, folder: Path, run: str | None = None) -> Sweep:
    """Ask all places what bears our name (of one run, if given), expired or not, and touch nothing."""
    return await _everywhere(stack, folder, lambda place: _ask(place, run))


async def heal(place: Place, due: Due) -> Sweep:
    """Look at one place, and heal what is due there."""
    swept = Sweep()
    try:
        looked = await place.look()
        for trace in looked.traces:
            (swept.due if due(trace.lease, looked.now) else swept.held).append(trace.lease.of(""))
        swept.left = list(looked.odd)
        swept.healed = await _heal(place, looked, due)
    except WedgedError as wedged:
        swept.add(await _repair(place, wedged, due))
    except HealingError as error:
        swept.left.append(str(error))
    except AftershockError as error:
        swept.unreachable = [_line(place, error)]
    return swept


class HealingError(Exception):
    """Something that is due could not be taken away: it is left."""


async def _heal(place: Place, looked: Looked, due: Due) -> list[str]:
    wanted = [trace for trace in looked.traces if due(trace.lease, looked.now)]
    if not wanted:
        return []
    try:
        return [f"healed {what}" for what in await place.heal(wanted)]
    except WedgedError:
        raise
    except AftershockError as error:
        raise HealingError(_line(place, error)) from None


async def _repair(place: Place, wedged: WedgedError, due: Due) -> Sweep:
    try:
        return Sweep(healed=await place.repair(due))
    except AftershockError as error:
        line = f"{_line(place, error)} [{wedged.problem}]"
        return Sweep(left=[line], stuck=[line])


async def _ask(place: Place, run: str | None) -> Sweep:
    looked = await place.look()
    return Sweep(left=[trace.what for trace in looked.traces if run in {None, trace.lease.run}])


async def _everywhere(stack: Stack, folder: Path, act: Callable[[Place], Awaitable[Sweep]]) -> Sweep:
    whole = Sweep()
    for part in await asyncio.gather(*(_safely(place, act) for place in places(stack, folder))):
        whole.add(part)
    return whole


async def _safely(place: Place, act: Callable[[Place], Awaitable[Sweep]]) -> Sweep:
    """Whatever one place does to us, the others are healed all the same."""
    try:
        return await act(place)
    except AftershockError as error:
        return Sweep(unreachable=[_line(place, error)])
    except Exception as error:  # noqa: BLE001 - a bug with one place must not keep the others from being healed
        return Sweep(unreachable=[f"{place.name}: {type(error).__name__}: {error}"])
    finally:
        place.close()


def _due(scope: Scope, run: str | None = None, only: Lease | None = None) -> Due:
    def due(lease: Lease, now: float) -> bool:
        concerned = run in {None, lease.run} and only in {None, lease.of("")}
        return concerned and (scope == "all" or lease.expired(now))

    return due


def _line(place: Place, error: AftershockError) -> str:
    return f"{place.name}: {error.problem}: {error.advice}"


async def watch(
    files: Callable[[], Iterable[Path]],
    *,
    report: Callable[[str], object],
    every: float = EVERY,
    each_round: Callable[[Stack, Path], Awaitable[object]] | None = None,
    looked: Looking | None = None,
) -> None:
    """Heal what is past its lease, for ever. Ends only by being cancelled, or with its process.

    `files` names the stack files, read anew each round; `report` gets a line for whatever was done or is amiss;
    `each_round` is awaited for each stack, one call at a time; `looked` gets stack, place and what each look came to.
    """
    watcher = _Watcher(report, every, each_round, looked)
    while True:
        with suppress(Exception):
            watcher.round(files())
        await asyncio.sleep(every)


def read_stack(file: Path) -> Stack:
    """Read the stack that stands in the file."""
    for document in load(file).sound():
        if isinstance(document.object, Stack):
            return document.object
    raise InputError(f"{file} has no Stack in it", "name a file that has")


class _Watcher:
    """What a watch has under way: one task a place, so that a slow one is the only one to wait for itself."""

    def __init__(
        self,
        report: Callable[[str], object],
        every: float,
        each_round: Callable[[Stack, Path], Awaitable[object]] | None,
        looked: Looking | None,
    ) -> None:
        self._tell, self._every, self._each_round, self._looked = Teller(report), every, each_round, looked
        self._busy: dict[tuple[Path, str], asyncio.Task[None]] = {}
        self._read: dict[Path, tuple[tuple[float, int], Stack]] = {}

    def round(self, files: Iterable[Path]) -> None:
        """Start a look at every place where none is under way."""
        self._busy = {key: task for key, task in self._busy.items() if not task.done()}
        for file in files:
            try:
                stack = self._stack(file)
            except (AftershockError, OSError) as error:
                self._tell.amiss(f"{file}: {error}")
                continue
            self._start(stack, file)

    def _stack(self, file: Path) -> Stack:
        """Read the file, if it is not the one that was read last. One that can't be read any more stands as it was."""
        status = file.stat()
        mark = (status.st_mtime, status.st_size)
        known = self._read.get(file)
        if known is not None and known[0] == mark:
            return known[1]
        try:
            stack = read_stack(file)
        except AftershockError as error:
            if known is None:
                raise
            self._tell.amiss(f"{file}: {error}; going on with what stood there before")
            return known[1]
        self._read[file] = (mark, stack)
        return stack

    def _start(self, stack: Stack, file: Path) -> None:
        for place in places(stack, file.parent):
            key = (file, place.name)
            if key not in self._busy:
                self._busy[key] = asyncio.create_task(self._tend(place, stack.metadata.name))
            else:
                place.close()
        if self._each_round is not None and (file, "") not in self._busy:
            self._busy[file, ""] = asyncio.create_task(self._hook(self._each_round, stack, file))

    async def _tend(self, place: Place, stack: str) -> None:
        done = await _safely(place, lambda place: heal(place, _due("expired")))
        if self._looked is not None:
            with suppress(Exception):  # whoever counts must not keep the reaper from healing
                self._looked(stack, place.name, done)
        for line in done.healed:
            self._tell.say(f"{stack}: {line}")
        for line in [*done.left, *done.unreachable]:
            self._tell.amiss(f"{stack}: {'StuckOnCleanup: ' if line in done.stuck else ''}{line}")
        if place.costly:
            await asyncio.sleep(max(0.0, COSTLY_EVERY - self._every))

    async def _hook(self, hook: Callable[[Stack, Path], Awaitable[object]], stack: Stack, file: Path) -> None:
        try:
            await hook(stack, file.parent)
        except Exception as error:  # noqa: BLE001 - a lost run that can't be concluded must not end the reaper
            self._tell.amiss(f"{file}: {type(error).__name__}: {error}")
