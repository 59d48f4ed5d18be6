"""What a place is to the reaper: where a fault of ours can be, what lies there, and how it is taken away."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from aftershock.core.lease import Lease
from aftershock.errors import AftershockError, TargetError, WedgedError

LOOK = 4.0
"""Seconds that one place may take to be looked at."""

HEAL = 20.0
"""Seconds that it may take to be healed, the restart of a wedged part included."""

KUBERNETES = "the Kubernetes API"
"""What the place of that kind is called."""


class Trace(msgspec.Struct, frozen=True):
    """Something that bears our name: `what` it is, for a person; `undo` takes it away (in a thread; twice is once)."""

    lease: Lease
    what: str
    undo: Callable[[], None] | None = None

    def __str__(self) -> str:
        return self.what


class Looked(msgspec.Struct, frozen=True):
    """What bears our name at a place, and the place's clock (seconds since the epoch). `odd`: what can't be told."""

    now: float
    traces: list[Trace]
    odd: list[str] = msgspec.field(default_factory=list)


class Place(Protocol):
    """Where a fault of ours can be. `costly`: whoever looks again and again should leave it some time in between."""

    name: str
    costly: bool

    async def look(self) -> Looked:
        """Return what bears our name here. TargetError if the place can't be asked."""

    async def heal(self, traces: list[Trace]) -> list[str]:
        """Take these away; return what was done, a line each. TargetError if something could not be."""

    async def repair(self, due: Callable[[Lease, float], bool]) -> list[str]:
        """Do what can be done about a place that is wedged; return what was done. TargetError: StuckOnCleanup."""

    def close(self) -> None:
        """Let go of connections."""


def undo_all(traces: list[Trace]) -> list[str]:
    """Undo one after the other; those that fail don't keep the others, and are raised in the end."""
    done, failed = [], list[AftershockError]()
    for trace in traces:
        try:
            if trace.undo is not None:
                trace.undo()
            done.append(trace.what)
        except WedgedError:
            raise
        except AftershockError as error:
            failed.append(error)
    if len(failed) == 1:
        raise failed[0]
    if failed:
        raise TargetError("; ".join(one.problem for one in failed), "; ".join({one.advice: None for one in failed}))
    return done
