"""What a fault is to the rest of the house: a name, typed parameters, and a way to hold it for one lease."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import msgspec
from msgspec.structs import replace

from aftershock.core.lease import Lease
from aftershock.model.rules.making import Cel
from aftershock.model.stack import Stack, TargetKind


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Base of every fault's `with:`. Durations and percentages are unit types, as everywhere in YAML.

    What `__post_init__` refuses, `told` refuses at admission: `self` is the `with:`, in which nothing is filled in.
    """

    told: ClassVar[tuple[Cel, ...]] = ()


class Site(msgspec.Struct, frozen=True):
    """Where a fault is held: a named target of a stack. `folder` is where the stack's file lies; relative paths start there.

    `collateral`: Stack and Experiment both allow that what belongs to nobody in the Stack suffers too.
    """

    stack: Stack
    target: str
    folder: Path
    collateral: bool = False

    def at(self, target: str) -> "Site":
        """Return the same for another part of the stack."""
        return replace(self, target=target)


class Evidence(msgspec.Struct, frozen=True):
    """What a second observer saw. `holds` answers "is the fault there?"; `saw` is for the person who doubts it."""

    holds: bool
    observer: str
    saw: str


class Hold(Protocol):
    """One fault at one target for one lease. Every call has a deadline of its own and raises TargetError when it passes."""

    async def prepare(self) -> None:
        """Connect observers. Nothing at the target changes."""

    async def inject(self) -> None:
        """Inject. Injecting twice is injecting once."""

    async def observe(self) -> Evidence:
        """Ask the second observer: called before injection, about once a second while held, and after healing."""

    async def heal(self) -> None:
        """Remove the fault. Healing twice is healing once."""

    async def left(self) -> list[str]:
        """Ask the target what of this lease is left, a line each; empty is clean."""

    async def close(self) -> None:
        """Let go of observers. Never raises."""


@runtime_checkable
class Settling(Protocol):
    """A hold whose target takes its time by rules of its own, as pods have a grace period when they are asked to end."""

    settles: float
    """Seconds that it may take until the fault is there; known once the hold is prepared."""


def _nothing(_site: Site, _lease: Lease) -> Mapping[str, Any]:
    return {}


def _anything(_site: Site, _wanted: Any) -> None:
    """Refuse nothing."""


async def _no_doubt(_site: Site, _wanted: Any) -> None:
    """Doubt nothing."""


def _shared(_site: Site, _wanted: Any) -> Iterable[str]:
    return ()


def processes_of_target(site: Site, _wanted: Any) -> Iterable[str]:
    """Say that the fault is alone with the processes of its target."""
    return (processes_of(site.target),)


def processes_of(name: str) -> str:
    """Return what the processes of a part are called, where one fault at a time may have them."""
    return f"the processes of {name}"


class Fault(msgspec.Struct, frozen=True):
    """A registry entry. `clock` reads the target's own clock (seconds since the epoch); `undo` goes on record before inject.

    `refuse` raises InputError for what the Stack alone shows to be impossible or not allowed; it touches nothing. `alone` names
    what one fault at a time can have while it is held: two faults that name the same may not overlap. (That one is not twice at
    one target at once, the checker sees to.)

    `doubt` raises InputError for what the target itself says to be impossible; it asks, and changes nothing. TargetError where
    that doesn't answer.
    """

    name: str
    summary: str
    target: TargetKind
    parameters: type[Parameters]
    hold: Callable[[Site, Lease, Any], Hold]
    clock: Callable[[Site], Awaitable[float]]
    undo: Callable[[Site, Lease], Mapping[str, Any]] = _nothing
    refuse: Callable[[Site, Any], None] = _anything
    alone: Callable[[Site, Any], Iterable[str]] = _shared
    doubt: Callable[[Site, Any], Awaitable[None]] = _no_doubt
