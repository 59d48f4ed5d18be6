"""Probes and load of one run: starts them, writes down what they say, watches the guardrails, and ends them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from aftershock.core.guardrail import Guard
from aftershock.core.history import SLICE, Aborting, Any_, Counted, Errored, Noted, Slice, Tripped
from aftershock.core.offered import Offered
from aftershock.errors import AftershockError
from aftershock.model.experiment import Guardrail
from aftershock.probes.order import Order, Sent
from aftershock.runtime.clock import RunClock

if TYPE_CHECKING:
    from aftershock.probes.process import Prober
    from aftershock.runtime.executor import Inputs
    from aftershock.runtime.shards import Start

DRAIN = 45.0
"""Seconds that the probes may take to wait for what is in flight and to read the ledgers back: more than they ask in vain."""

ARRIVAL = 120.0
"""Seconds that generators on other machines may take to come."""


class Sender(Protocol):
    """What sends, and says what came of it: a prober, or several as one."""

    def events(self) -> AsyncIterator[Any]:
        """Give out records; end with it."""

    async def rates(self, steps: Sequence[tuple[float, float]]) -> None:
        """Set the load's schedule."""

    async def finish(self) -> None:
        """Ask it to end."""

    async def kill(self) -> None:
        """End it at once."""


class Watch(msgspec.Struct):
    """The probers of a run. `active`, `record`, `abort` and `blind` are the executor's.

    `generators` starts those that share a load; None for processes beside this one.
    `active` tells whether the run is in its phase Active: guardrails watch only then.
    `blind` is called when a prober ends by itself: no fault is held that nobody watches.
    """

    inputs: "Inputs"
    active: Callable[[], bool]
    clock: RunClock
    record: Callable[[Any_], None]
    abort: Callable[[Aborting], None]
    blind: Callable[[], None]
    generators: "Start | None" = None
    offered: Offered = msgspec.field(default_factory=Offered)
    _probers: list[Sender] = msgspec.field(default_factory=list)
    _load: Sender | None = None
    _followers: list[asyncio.Task[None]] = msgspec.field(default_factory=list)
    _guards: list[Guard] = msgspec.field(default_factory=list)
    _draining: bool = False
    _newest: dict[str, int] = msgspec.field(default_factory=dict)

    async def start(self) -> None:
        """Start probes and load; return once both are ready. InputError or TargetError where one can't do its work."""
        plan = self.inputs.plan
        indicators = {indicator.name: indicator for indicator in self.inputs.stack.spec.indicators}
        self._guards = [Guard(rule, indicators[rule.indicator]) for rule in self.inputs.experiment.spec.guardrails]
        self._newest = dict.fromkeys(plan.watched, 0)
        if plan.watched:
            self._started(await _prober(self._order("probes", list(plan.watched))))
        if plan.load is not None:
            self._load = self._started(await self._generators(self._order("load", [plan.load[0]])))
            await self._load.rates([(self.clock.now(), plan.load[1])])

    async def _generators(self, order: Order) -> Sender:
        count = self.inputs.plan.shards
        if count == 1:
            return await _prober(order)
        from aftershock.runtime import shards

        return await (self.generators or shards.processes)(order, count, self.clock)

    def _started(self, prober: Sender) -> Sender:
        self._probers.append(prober)
        self._followers.append(asyncio.create_task(self._follow(prober)))
        return prober

    def _order(self, counted: Counted, indicators: list[str]) -> Order:
        gathering = ARRIVAL if self.inputs.plan.shards > 1 else 0.0
        return Order(
            counted=counted,
            origin=self.clock.monotonic,
            token=self.inputs.token,
            stack=self.inputs.stack,
            folder=str(self.inputs.folder),
            indicators=indicators,
            until=self.clock.now() + gathering + self.inputs.plan.longest + DRAIN,
        )

    async def schedule(self, begin: float) -> None:
        """Give the load its spikes ahead of time, the way back down included; Active began at run second `begin`."""
        if self._load is not None:
            await self._load.rates(self.inputs.plan.rates(begin))

    async def calm(self) -> None:
        """Take the load back to its rate at once: a spike that is cut short does not go on to its planned end."""
        if self._load is not None and self.inputs.plan.load is not None:
            await self._load.rates([(self.clock.now(), self.inputs.plan.load[1])])

    def reaches(self, until: float) -> bool:
        """Tell whether the record of every probed indicator reaches run second `until`."""
        return all(number * SLICE >= until for number in self._newest.values())

    async def _follow(self, prober: Sender) -> None:
        """Write down what a prober says until it ends; one that dies too early leaves the run without eyes."""
        try:
            async for event in prober.events():
                if isinstance(event, Sent):
                    self.offered.add(event.n, event.sent)
                    continue
                self.record(event)
                if isinstance(event, Slice) and event.counted == "probes":
                    self._take(event)
        except AftershockError as error:
            if not self._draining:
                self.record(Noted(at=self.clock.now(), text=f"{error.problem}; nobody watches any more: healing"))
                self.blind()
        except Exception as error:  # noqa: BLE001 - a bug in what reads must not leave a fault held unwatched
            problem = f"a bug in aftershock: {type(error).__name__}: {error}"
            self.record(Errored(at=self.clock.now(), problem=problem, advice="report it, with the run's journal"))
            self.blind()

    def _take(self, event: Slice) -> None:
        self._newest[event.indicator] = event.n + 1
        self._watch_guardrails(event)

    def _watch_guardrails(self, event: Slice) -> None:
        if not self.active():
            return
        for number, guard in enumerate(self._guards):
            lasted = guard.feed(event)
            if lasted is not None:
                self._trip(number, guard.rule, lasted)

    def _trip(self, number: int, rule: Guardrail, lasted: float) -> None:
        now = self.clock.now()
        self.record(Tripped(at=now, guardrail=number, indicator=rule.indicator, below=float(rule.below), lasted=lasted))
        what = f"{rule.indicator} was below {rule.below} for {lasted:g} s"
        self.abort(Aborting(at=now, reason="Guardrail", message=what))
        self._guards = []

    async def drain(self) -> None:
        """Let what is in flight come back, have the ledgers read, and end the probers; kill what doesn't end."""
        self._draining = True
        await asyncio.gather(*(prober.finish() for prober in self._probers))
        if self._followers:
            _, late = await asyncio.wait(self._followers, timeout=DRAIN)
            if late:
                self.record(Noted(at=self.clock.now(), text="the probes did not end in time and were killed"))
        for prober in self._probers:
            await prober.kill()


async def _prober(order: Order) -> "Prober":
    from aftershock.probes.process import Prober  # a run that measures nothing starts none

    return await Prober.start(order)
