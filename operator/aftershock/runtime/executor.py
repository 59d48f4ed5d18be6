"""Carries out one run: phase after phase, each move on record, and every exit through Cleanup.

The table of moves is core's; what is judged, and whether the stack is steady, are core's too. This file waits, calls
adapters, and writes down what happened.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from aftershock.core.history import Aborting, Any_, Cleaned, Ended, Entered, Errored, Fronting, Noted, Sharded
from aftershock.core.lease import Lease
from aftershock.core.phases import Event as Move
from aftershock.core.phases import Phase, advance
from aftershock.core.plan import Plan
from aftershock.core.shards import amiss
from aftershock.core.steady import recovered, steady
from aftershock.core.verdict import Truth
from aftershock.errors import AftershockError, HeldError
from aftershock.faults.fault import Evidence
from aftershock.model.era import Era
from aftershock.model.experiment import Experiment
from aftershock.model.stack import Stack
from aftershock.runtime import leftovers
from aftershock.runtime.clock import RunClock
from aftershock.runtime.holding import Circumstances, Injection, Ready, carry_out, get_ready, unless, wait
from aftershock.runtime.recorder import Recorder
from aftershock.runtime.watching import Watch

if TYPE_CHECKING:
    from aftershock.runtime.shards import Start

TICK = 0.2
"""Seconds between two questions whether the stack has recovered."""


Early = Mapping[int, asyncio.Task[Ready]]
"""Injections that get ready, or are, by number."""


class Inputs(msgspec.Struct, frozen=True):
    """All that a run needs, read and checked. `folder` is where the stack's file lies."""

    run: str
    token: str
    experiment: Experiment
    stack: Stack
    eras: Sequence[Era]
    plan: Plan
    injections: Sequence[Injection]
    folder: Path


class Executor(msgspec.Struct):
    """One run. `abort` may be called at any time, from a signal handler too."""

    inputs: Inputs
    recorder: Recorder
    clock: RunClock
    phase: Phase = Phase.PENDING
    failure: AftershockError | None = None
    stop: asyncio.Event = msgspec.field(default_factory=asyncio.Event)
    generators: "Start | None" = None
    _watch: Watch | None = None
    _guard: asyncio.Task[None] | None = None

    def abort(self, event: Aborting) -> None:
        """Cut the run short: heal, clean up, judge. The first reason stands."""
        if not self.stop.is_set() and self.phase not in {Phase.CLEANUP, Phase.JUDGING, Phase.FINISHED}:
            self._record(event)
            self.stop.set()

    async def execute(self) -> None:
        """Run to the end of Cleanup. Errors are recorded, and kept in `failure`; nothing is left behind for them."""
        try:
            await self._undisturbed()
        except AftershockError as error:
            self._fail(error)
        finally:
            await self._clean_up()

    async def _undisturbed(self) -> None:
        self.inputs = await leftovers.clear_the_way(self.inputs, self.recorder.record, self.clock, self.stop)
        await self._start_watching()
        if self.stop.is_set():
            return
        self._guard = leftovers.guard(self.inputs, self.clock, self.abort)
        self._move(Move.STARTED)
        if not await self._baseline() or self.stop.is_set():
            return
        early = await self._get_ready()
        self._move(Move.STEADY)
        await self._active(early)
        if self.stop.is_set():
            return
        self._move(Move.HEALED)
        await self._recover()

    async def _start_watching(self) -> None:
        self._watch = Watch(
            self.inputs,
            lambda: self.phase is Phase.ACTIVE,
            self.clock,
            self._record,
            self.abort,
            self.stop.set,
            self.generators,
        )
        await unless(self.stop, self._watch.start())

    # Phases

    async def _baseline(self) -> bool:
        begin = self.clock.now()
        if await wait(self.stop, self.inputs.plan.baseline):
            if (lacking := self._lacking()) and self.recorder.history().first(Aborting) is None:
                self._move(Move.NOT_STEADY, lacking)
            return False
        await self._settled(begin + self.inputs.plan.baseline)
        wrong = self._contradictions(begin, begin + self.inputs.plan.baseline)
        if wrong and not self.stop.is_set():
            self._move(Move.NOT_STEADY, wrong)
        return not wrong

    def _contradictions(self, begin: float, end: float) -> str:
        """Return what keeps the baseline from being steady; empty where nothing does. No baseline, no objection."""
        history = self.recorder.history()
        if (lacking := self._lacking()) or end <= begin:
            return lacking
        claims = [claim for era in self.inputs.eras for claim in steady(history, era.spec.objectives, begin, end)]
        return "; ".join(f"{one.name}: {one.finding}" for one in claims if one.truth is not Truth.TRUE)

    def _lacking(self) -> str:
        """Return what the load lacks of being what it says; empty where nothing. Without it nothing could be proved."""
        return "; ".join(amiss(self.recorder.history().all(Sharded)))

    async def _settled(self, until: float) -> None:
        """Give the slices of a stretch the time to come in: an answer may take as long as its timeout."""
        slowest = max((float(i.timeout) for i in self.inputs.stack.spec.indicators), default=0.0)
        while not self._reaches(until) and self.clock.now() < until + slowest + 1:
            if await wait(self.stop, TICK / 4):
                return

    def _reaches(self, until: float) -> bool:
        return self._watch is None or self._watch.reaches(until)

    async def _get_ready(self) -> Early:
        """Have whatever starts with the timeline get ready before it, so that it starts then: to connect and look takes time.

        What comes later does so in its own time: a fault before it may be at the same target. What fails is raised in its turn.
        """
        early = {
            each.step.injection: asyncio.create_task(get_ready(each, self._circumstances()))
            for each in self.inputs.injections
            if each.step.start <= 0
        }
        if early:
            await unless(self.stop, asyncio.wait(early.values()))
        return early

    async def _active(self, early: Early) -> None:
        begin = self.clock.now()
        if self._watch is not None:
            await self._watch.schedule(begin)
        await asyncio.gather(*(self._hold(each, early.get(each.step.injection)) for each in self.inputs.injections))
        await wait(self.stop, begin + self.inputs.plan.active - self.clock.now())

    async def _hold(self, injection: Injection, early: asyncio.Task[Ready] | None) -> None:
        if await wait(self.stop, injection.step.start):
            await _forgo(early)
            return
        try:
            await carry_out(await (early or get_ready(injection, self._circumstances())), self._circumstances())
        except AftershockError as error:
            self._fail(error)

    def _circumstances(self) -> Circumstances:
        async def heal_hard(lease: Lease) -> list[str]:
            return await leftovers.heal_one(self.inputs, lease)

        def offered(factor: float) -> Evidence:
            load = self.inputs.plan.load
            if load is None or self._watch is None:
                return Evidence(holds=False, observer="the load's own count", saw="no load is sent")
            holds, saw = self._watch.offered.multiplied(load[1], factor, self.clock.now())
            return Evidence(holds=holds, observer="the load's own count", saw=saw)

        async def calm() -> None:
            if self._watch is not None:
                await self._watch.calm()

        return Circumstances(self.inputs.token, self.clock, self.recorder, self.stop, heal_hard, offered, calm)

    async def _recover(self) -> None:
        plan, begin = self.inputs.plan, self.clock.now()
        while not self.stop.is_set():
            why = self._not_recovered(begin)
            if not why:
                self._move(Move.RECOVERED, f"every objective has held for {plan.steady:g} s")
                return
            if self.clock.now() >= begin + plan.watch:
                self._move(Move.WATCH_OVER, why)
                return
            await wait(self.stop, min(TICK, begin + plan.watch - self.clock.now()))

    def _not_recovered(self, since: float) -> str:
        """Return what the stack still lacks of having recovered; empty where it has."""
        history, now, long = self.recorder.history(), self.clock.now(), self.inputs.plan.steady
        found = [recovered(history, era.spec.objectives, since, now, long) for era in self.inputs.eras]
        return "; ".join(one.why for one in found if not one.yes)

    async def _clean_up(self) -> None:
        if self._guard is not None:
            self._guard.cancel()
        refused = self.phase is Phase.PENDING and self.recorder.history().first(Fronting) is None
        if self.phase is not Phase.CLEANUP:
            self._move(Move.ABORT)
        if self._watch is not None:
            await self._watch.drain()
        left = await leftovers.clean(self.inputs, patience=0 if refused else leftovers.PATIENCE)
        self._record(Cleaned(at=self.clock.now(), left=left.left, unasked=left.unasked))
        self._move(Move.CLEAN)
        self._record(Ended(at=self.clock.now()))

    # The record

    def _move(self, move: Move, why: str = "") -> None:
        self.phase = advance(self.phase, move)
        self._record(Entered(at=self.clock.now(), phase=self.phase.name.capitalize(), why=why))

    def _record(self, event: Any_) -> None:
        """Record; a journal that can't be written ends the run, and healing goes on."""
        try:
            self.recorder.record(event)
        except AftershockError as error:
            self.failure = self.failure or error
            self.stop.set()

    def _fail(self, error: AftershockError) -> None:
        """Keep what went wrong, and end. That somebody else holds the target is no failure, but the report has to say it."""
        self.failure = self.failure or error
        if isinstance(error, HeldError):
            self._record(Noted(at=self.clock.now(), text=error.problem))
        elif error is not self.recorder.failure:
            self._record(Errored(at=self.clock.now(), problem=error.problem, advice=error.advice))
        self.stop.set()


async def _forgo(early: asyncio.Task[Ready] | None) -> None:
    """Let go of an injection that got ready and is not to be: the run ends first."""
    if early is None:
        return
    early.cancel()
    await asyncio.wait({early})
    if not early.cancelled() and early.exception() is None:
        await early.result().hold.close()
