"""The life of one injection: intent on record, inject, landed and proved again and again, heal, prove healed.

Whatever happens in between, what was injected is healed: by this code, or else by the lease and the reaper.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Coroutine

import msgspec

from aftershock.core.history import Healed, Healing, Injected, Intended, Noted, Observed
from aftershock.core.lease import GRACE, Lease
from aftershock.core.plan import Step
from aftershock.errors import AftershockError, TargetError
from aftershock.faults.fault import Evidence, Fault, Hold, Parameters, Settling, Site
from aftershock.faults.traffic_spike import SpikeHold, TrafficSpike
from aftershock.runtime.clock import RunClock
from aftershock.runtime.recorder import Recorder

LOOK_EVERY = 1.0
"""Seconds between two looks of the second observer while a fault is held."""

HEAL_AGAIN = 0.5
GONE = 5.0
"""Seconds after healing in which the second observer may still see the fault, before that is held against the run."""

LARGEST_SKEW = 5.0
"""Seconds that a target's clock may differ from ours. A lease counts on the target's clock, the plan on ours."""

INJECT_WITHIN = 20.0
"""Seconds that an injection may take; every call within it has a shorter deadline of its own."""


class Injection(msgspec.Struct, frozen=True):
    """One step with what it takes to carry it out."""

    step: Step
    fault: Fault
    site: Site
    parameters: Parameters


class Circumstances(msgspec.Struct, frozen=True):
    """What an injection shares with the rest of the run.

    `heal_hard` asks the reaper's way of healing for help, and says what that came to; `offered` tells whether the load is a
    factor above its rate, and `calm` takes it back to its rate at once.
    """

    token: str
    clock: RunClock
    recorder: Recorder
    stop: asyncio.Event
    heal_hard: Callable[[Lease], Awaitable[list[str]]]
    offered: Callable[[float], Evidence]
    calm: Callable[[], Awaitable[None]]


class Ready(msgspec.Struct, frozen=True):
    """An injection whose observers are connected and have looked. `leased`: when its target's clock was read, run seconds."""

    injection: Injection
    hold: Hold
    lease: Lease
    skew: float
    leased: float


async def get_ready(injection: Injection, around: Circumstances) -> Ready:
    """Do all that comes before an injection, up to the observer's first look. Nothing at the target changes."""
    lease, skew = await _lease(injection, around.token)
    ready = Ready(
        injection, injection.fault.hold(injection.site, lease, injection.parameters), lease, skew, around.clock.now()
    )
    try:
        await ready.hold.prepare()
        await _look(injection, around, ready.hold, "before")
    except BaseException:
        await ready.hold.close()
        raise
    return ready


async def carry_out(ready: Ready, around: Circumstances) -> None:
    """Hold one fault for its window, or until `around.stop` is set. Raises what made it fail, after healing."""
    try:
        _intend(ready, around)
        await _hold_and_heal(ready, around)
    finally:
        await ready.hold.close()


async def _lease(injection: Injection, token: str) -> tuple[Lease, float]:
    before = time.time()
    target = await injection.fault.clock(injection.site)
    ours = (before + time.time()) / 2
    skew = target - ours
    if abs(skew) > LARGEST_SKEW:
        raise TargetError(
            f"the clock of {injection.step.target} differs from this machine's by {skew:+.1f} s",
            "set both by NTP: a lease counts on the target's clock",
        )
    length = injection.step.end - injection.step.start
    return Lease(injection.fault.name, token, math.ceil(target + length + GRACE)), skew


def _intend(ready: Ready, around: Circumstances) -> None:
    injection, step, lease = ready.injection, ready.injection.step, ready.lease
    around.recorder.record(
        Intended(
            at=around.clock.now(),
            injection=step.injection,
            fault=step.fault,
            target=step.target,
            lease=lease.name,
            expires=lease.expires,
            skew=round(ready.skew, 3),
            settles=ready.hold.settles if isinstance(ready.hold, Settling) else 0.0,
            parameters=dict(step.parameters),
            undo=dict(injection.fault.undo(injection.site, lease)),
        ),
        durable=True,
    )


async def _hold_and_heal(ready: Ready, around: Circumstances) -> None:
    injection, hold = ready.injection, ready.hold
    number = injection.step.injection
    started = around.clock.now()
    try:
        async with asyncio.timeout(INJECT_WITHIN):
            await hold.inject()
        around.recorder.record(Injected(at=around.clock.now(), injection=number, started=started))
        await _keep_proving(injection, around, hold, planned_end(injection.step, ready.leased, started))
    except TimeoutError:
        raise TargetError(f"injecting {injection.step.fault} took too long", "look at the target's load") from None
    finally:
        await _heal(injection, around, hold, ready.lease)


def planned_end(step: Step, leased: float, started: float) -> float:
    """Return when to heal, run seconds: after the step's length, and in time before the lease ends.

    The lease counts from `leased`, when its target's clock was read; observers that were slow to connect and to look take
    from the grace, and beyond half of that from the hold: the fault's own end shall not be mistaken for one that came off.
    """
    length = step.end - step.start
    return min(started + length, leased + length + GRACE / 2)


async def _keep_proving(injection: Injection, around: Circumstances, hold: Hold, until: float) -> None:
    while (left := until - around.clock.now()) > 0 and not around.stop.is_set():
        looked = around.clock.now()
        await unless(around.stop, _look(injection, around, hold, "during", within=left))
        pause = min(until, looked + LOOK_EVERY) - around.clock.now()
        await wait(around.stop, max(0.0, pause))


async def _look(
    injection: Injection, around: Circumstances, hold: Hold, when: str, within: float | None = None
) -> bool:
    """Ask the second observer once; return whether the fault is there, by its word.

    A look that fails is a note: a gap in the evidence, which the judge will see.
    """
    asked = around.clock.now()
    try:
        async with asyncio.timeout(within):
            if isinstance(hold, SpikeHold) and isinstance(injection.parameters, TrafficSpike):
                hold.tell(around.offered(injection.parameters.factor))
            evidence = await hold.observe()
    except TimeoutError:
        return False
    except AftershockError as error:
        if when == "before":
            raise
        around.recorder.record(
            Noted(at=around.clock.now(), text=f"no evidence of {injection.step.fault}: {error.problem}")
        )
        return False
    around.recorder.record(
        Observed(
            at=around.clock.now(),
            injection=injection.step.injection,
            when=when,  # type: ignore[arg-type]
            holds=evidence.holds,
            observer=evidence.observer,
            saw=evidence.saw,
            asked=asked,
        )
    )
    return evidence.holds


async def _heal(injection: Injection, around: Circumstances, hold: Hold, lease: Lease) -> None:
    """Heal, again and again until the target says that nothing is left, at the most until the reaper has had its turn."""
    number = injection.step.injection
    _record_quietly(around, Healing(at=around.clock.now(), injection=number))
    if isinstance(hold, SpikeHold) and around.stop.is_set():
        await around.calm()
    deadline = time.monotonic() + max(0.0, lease.expires - time.time()) + GRACE + 1
    problem = await _heal_once(hold)
    told: set[str] = set()
    while problem and time.monotonic() < deadline:
        for line in await around.heal_hard(lease):  # it may have restarted something: the record has to say so
            if line not in told:
                _record_quietly(around, Noted(at=around.clock.now(), text=line))
                told.add(line)
        await asyncio.sleep(HEAL_AGAIN)
        problem = await _heal_once(hold)
    saw = problem or "the target has nothing of this lease left"
    _record_quietly(around, Healed(at=around.clock.now(), injection=number, clean=not problem, saw=saw))
    await _see_it_gone(injection, around, hold)


async def _see_it_gone(injection: Injection, around: Circumstances, hold: Hold) -> None:
    """Look until the fault isn't seen any more, for a while: what is known of an effect comes later than its end."""
    deadline = time.monotonic() + GONE
    while await _look(injection, around, hold, "after", within=GONE) and time.monotonic() < deadline:  # noqa: ASYNC110  # it tells nobody
        await asyncio.sleep(HEAL_AGAIN)


async def _heal_once(hold: Hold) -> str:
    """Heal and ask the target; return what is wrong, empty when it is clean."""
    try:
        await hold.heal()
        return "; ".join(await hold.left())
    except AftershockError as error:
        return error.problem


def _record_quietly(around: Circumstances, event: Healing | Healed | Noted) -> None:
    """Record what healing does; a journal that can't be written must not keep a fault from being healed."""
    try:
        around.recorder.record(event)
    except AftershockError:
        around.stop.set()


async def unless(stop: asyncio.Event, work: Coroutine[None, None, object]) -> None:
    """Do the work, but give it up when `stop` is set: healing waits for no look, and a look that it cuts is no evidence."""
    working, stopped = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
        if not working.done():
            working.cancel()
        await asyncio.wait({working})
    if not working.cancelled():
        working.result()


async def wait(stop: asyncio.Event, seconds: float) -> bool:
    """Wait so long, or until `stop` is set; return whether it is."""
    if seconds > 0 and not stop.is_set():
        try:
            async with asyncio.timeout(seconds):
                await stop.wait()
        except TimeoutError:
            pass
    return stop.is_set()
