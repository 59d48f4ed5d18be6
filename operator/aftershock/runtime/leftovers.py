"""What a run finds at its targets before it begins, and what it leaves there when it ends."""

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from aftershock.core.history import Aborting, Noted
from aftershock.core.lease import GRACE, Lease
from aftershock.errors import AftershockError, HeldError, TargetError
from aftershock.faults.fault import Site
from aftershock.model.stack import Stack
from aftershock.runtime import reaper
from aftershock.runtime.clock import RunClock
from aftershock.runtime.place import KUBERNETES
from aftershock.runtime.places import has_services

if TYPE_CHECKING:
    from aftershock.runtime.executor import Inputs

CLEANUP = 60.0
"""Seconds that cleanup may take: what is created for the run has this long, and the grace, beyond its planned end."""

PATIENCE = 15.0
"""Seconds that a place may take to answer again: a database that was killed is still recovering."""

API_PATIENCE = 600.0
"""Seconds that the Kubernetes API may take to answer again, if nothing else is in the way: what is left there, if anything,
ends within 2 s of its answering, and the verdict is worth the wait.
"""

AGAIN = 0.5


class Left(msgspec.Struct, frozen=True):
    """A line a trace that is left, and one a place that did not answer."""

    left: list[str] = msgspec.field(default_factory=list)
    unasked: list[str] = msgspec.field(default_factory=list)

    @property
    def api_alone(self) -> bool:
        """Tell whether only the Kubernetes API did not answer."""
        return not self.left and all(line.startswith(KUBERNETES) for line in self.unasked)


async def clear_the_way(
    inputs: "Inputs", record: Callable[..., None], clock: RunClock, stop: asyncio.Event
) -> "Inputs":
    """Heal what is past its expiry, refuse what another run holds, create the links that exist only for this run.

    Return the inputs with those links as they are now.

    Every place that the stack names has to answer: what can't be asked now could not be found clean afterwards either.
    """
    swept = await reaper.sweep(inputs.stack, inputs.folder, scope="expired")
    for line in swept.healed:
        record(Noted(at=clock.now(), text=f"left by an earlier run: {line}"))
    if swept.unreachable:
        raise TargetError(
            f"the stack {inputs.stack.metadata.name} can't be asked what is left of earlier runs: "
            + "; ".join(swept.unreachable),
            "nothing was injected; put that right and run again",
        )
    if swept.left:
        raise HeldError(
            f"the stack {inputs.stack.metadata.name} is not clean: {'; '.join(swept.left)}",
            "put that right, or `aftershock halt` ends every run and fault",
        )
    others = await reaper.leftovers(inputs.stack, inputs.folder)
    if others.left:
        raise HeldError(
            f"another run holds the stack {inputs.stack.metadata.name}: {'; '.join(others.left)}",
            "wait for its lease to end, or `aftershock halt` ends every run and fault",
        )
    await _create_links(inputs)
    if not has_services(inputs.stack):
        return inputs
    from aftershock.runtime import fronting

    return await fronting.stand(inputs, record, clock, stop, CLEANUP)


def guard(inputs: "Inputs", clock: RunClock, abort: Callable[[Aborting], None]) -> "asyncio.Task[None] | None":
    """Start to see that what was put in front of Services stays there, and abort the run if not; None if nothing was."""
    if not has_services(inputs.stack):
        return None
    from aftershock.runtime import fronting

    return asyncio.create_task(fronting.guard(inputs, clock, abort))


async def _create_links(inputs: "Inputs") -> None:
    first = next((one for one in inputs.stack.spec.links if one.created), None)
    if first is None:
        return
    from aftershock.faults import created, link

    now = await link.clock(Site(inputs.stack, first.name, inputs.folder))
    expires = math.ceil(now + inputs.plan.longest + CLEANUP + GRACE)
    await created.create(inputs.stack, inputs.token, expires)


async def _remove_links(inputs: "Inputs") -> None:
    if has_services(inputs.stack):
        from aftershock.runtime import fronting

        with suppress(AftershockError):  # the places are asked about it too
            await fronting.remove(inputs)
    if any(link.created for link in inputs.stack.spec.links):
        from aftershock.faults import created

        with suppress(AftershockError):  # the places are asked about it too
            await created.remove(inputs.stack, inputs.token)


async def heal(inputs: "Inputs") -> None:
    """Heal all that this run holds, as the reaper would: with a restart of what is wedged, where the Stack says how."""
    await reaper.sweep(inputs.stack, inputs.folder, scope="all", run=inputs.token)


async def heal_one(inputs: "Inputs", lease: Lease) -> list[str]:
    """Heal one fault as the reaper would; what else the run holds stays, a restart of what is wedged included.

    Return what was done and what could not be, a line each.
    """
    swept = await reaper.sweep(inputs.stack, inputs.folder, scope="all", lease=lease)
    return [*swept.healed, *swept.left]


async def clean(inputs: "Inputs", patience: float = PATIENCE) -> Left:
    """Remove what was created for the run, ask every place what is left, heal that, and ask again for so many seconds."""
    await _remove_links(inputs)
    begun = time.monotonic()
    while True:
        left = await ask(inputs.stack, inputs.folder, inputs.token)
        waited = time.monotonic() - begun
        if (left.left == [] and left.unasked == []) or waited > (
            API_PATIENCE if patience and left.api_alone else patience
        ):
            return left
        if left.left:
            await heal(inputs)
        await asyncio.sleep(AGAIN)


async def ask(stack: Stack, folder: Path, token: str) -> Left:
    """Ask every place that the stack names what a run has left there."""
    found = await reaper.leftovers(stack, folder, run=token)
    return Left(list(found.left), list(found.unreachable))
