"""A load that several generators send together, as if it were one: told what to do as one, heard as one record.

Every step of the load is agreed ahead of the instant at which it begins, so that all begin it at once. A generator that is
lost costs its share, which is then on record as not sent; the others go on.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from msgspec.structs import replace

from aftershock.core.history import SLICE, Any_, Ledgered, Noted, Sharded, Slice
from aftershock.core.shards import SKEW, Assembly, Part, Skew, Tally, merge_ledgers
from aftershock.errors import AftershockError, TargetError
from aftershock.probes.order import Heard, Order, Pong, Sent
from aftershock.probes.process import Prober
from aftershock.probes.schedule import Shares, nanoseconds
from aftershock.runtime.clock import RunClock

LEAD = 0.5
"""Seconds ahead of which a step is agreed: many times what a message takes."""

BEAT = 1.0
"""Seconds between two looks at each generator's clock."""

SILENT = 10.0
"""Seconds of looks without an answer after which a generator counts as lost. It is looks that count: an executor that was
frozen for so long has not asked meanwhile."""

Steps = Sequence[tuple[float, float]]


class Generator(Protocol):
    """One of those who send."""

    @property
    def where(self) -> str:
        """What to call it to a person."""

    def events(self) -> AsyncIterator[Heard]:
        """Give out what it says; end with it. AftershockError where it ended by itself."""

    async def rates(self, steps: Steps) -> None:
        """Set its schedule."""

    async def ping(self, at: float) -> None:
        """Ask for its clock."""

    async def finish(self) -> None:
        """Ask it to end."""

    async def kill(self) -> None:
        """End it at once."""


@dataclass(frozen=True)
class Member:
    """A generator that is ready. `offset`: its clock minus ours; `skew`: how wrong that may be, None for the same clock."""

    generator: Generator
    offset: float = 0.0
    skew: float | None = None


async def nothing() -> None:
    """Do nothing when all is over: processes leave nothing behind."""


class Shards:
    """The load of one order. `members` by number; `absent` are those that did not come, and why; `over` clears up at the end.

    `events` has to be read on from the start.
    """

    def __init__(
        self,
        order: Order,
        clock: RunClock,
        members: Mapping[int, Member],
        absent: Mapping[int, str] | None = None,
        over: Callable[[], Awaitable[None]] = nothing,
    ) -> None:
        self._order, self._clock, self._over = order, clock, over
        self._members = dict(members)
        self._living = set(members)
        self._count = len(members) + len(absent or {})
        self._shares = Shares(self._count, nanoseconds(order.until))
        self._assembly = Assembly(order.indicators[0], self._count, self._due)
        self._tally = Tally(self._count, self._due)
        self._skews = {shard: Skew(one.offset) for shard, one in members.items()}
        self._unanswered = dict.fromkeys(members, 0)
        self._skewed: set[int] = set()
        self._ledgers: dict[int, Ledgered] = {}
        self._queue: asyncio.Queue[Any_ | Sent | None] = asyncio.Queue()
        self._ending = False
        for shard, one in sorted(members.items()):
            self._tell(shard, "ready", skew=one.skew)
        for shard, why in sorted((absent or {}).items()):
            self._lose(shard, why)

    def _due(self, shard: int, n: int) -> int:
        return self._shares.owed(shard, nanoseconds(n * SLICE), nanoseconds((n + 1) * SLICE))

    # What is said to them

    async def rates(self, steps: Steps) -> None:
        """Set the load's schedule: what would have begun within `LEAD` begins then, with all at once."""
        agreed = _ahead(steps, self._clock.now() + LEAD)
        self._shares.agree(agreed)
        await self._each(lambda one: one.rates(agreed))

    async def finish(self) -> None:
        """Have them end together; `events` then ends by itself."""
        await self.rates([(self._clock.now() + LEAD, 0.0)])
        await asyncio.sleep(LEAD + SKEW)
        self._ending = True
        await self._each(lambda one: one.finish())

    async def kill(self) -> None:
        """End them at once. Never raises."""
        self._ending = True
        await asyncio.gather(*(one.generator.kill() for one in self._members.values()))
        await self._over()

    async def _each(self, say: Callable[[Generator], Awaitable[None]]) -> None:
        await asyncio.gather(*(say(self._members[shard].generator) for shard in sorted(self._living)))

    # What they say

    async def events(self) -> AsyncIterator[Any_ | Sent]:
        """Give out the record, and what was sent of the load, as they come; end once they have.

        TargetError after the last record if none of them is left too early.
        """
        hearing = asyncio.create_task(self._hear_all())
        try:
            while (event := await self._queue.get()) is not None:
                yield event
        finally:
            hearing.cancel()
        if not self._ending and not self._timely:
            raise TargetError(
                "no generator of the load is left", "the run's journal says what became of each; run again"
            )

    @property
    def _timely(self) -> bool:
        """Whether it is time for them to end by themselves."""
        return self._clock.now() >= self._order.until

    async def _hear_all(self) -> None:
        beating = asyncio.create_task(self._beat())
        try:
            await asyncio.gather(*(self._hear(shard, one.generator) for shard, one in self._members.items()))
        finally:
            beating.cancel()
        now = self._clock.now()
        for slice_ in self._assembly.rest(int(now / SLICE), now):
            self._queue.put_nowait(slice_)
        if (ledger := self._ledger(now)) is not None:
            self._queue.put_nowait(ledger)
        self._queue.put_nowait(None)

    async def _hear(self, shard: int, generator: Generator) -> None:
        why = "it ended by itself"
        try:
            async for heard in generator.events():
                self._take(shard, heard)
        except AftershockError as error:
            why = error.problem
        except Exception as error:  # noqa: BLE001 - what can't be understood must not stop the others
            why = f"what it said can't be read: {type(error).__name__}: {error}"
            await generator.kill()
        if not self._ending and not self._timely:
            self._lose(shard, why)
        self._living.discard(shard)
        self._give()

    def _take(self, shard: int, heard: Heard) -> None:
        self._unanswered[shard] = 0
        match heard:
            case Part():
                self._assembly.take(shard, heard)
                self._give()
            case Sent():
                self._tally.take(shard, heard.n, heard.sent)
                self._give()
            case Pong():
                self._skews[shard].look(heard.at, heard.clock, time.monotonic())
                self._look(shard)
            case Ledgered():
                self._ledgers[shard] = heard
            case Noted():
                self._queue.put_nowait(replace(heard, text=f"shard {shard} of {self._count}: {heard.text}"))
            case Slice() | _:
                raise TypeError(f"a shard says parts of slices, not {type(heard).__name__}")

    def _give(self) -> None:
        now = self._clock.now()
        for n, sent in self._tally.give(int(now / SLICE)):
            self._queue.put_nowait(Sent(n=n, sent=sent))
        for slice_ in self._assembly.give(int(now / SLICE), now):
            self._queue.put_nowait(slice_)

    def _ledger(self, now: float) -> Ledgered | None:
        """Return the record of what all wrote; of what a lost one wrote nothing is known."""
        name = self._order.indicators[0]
        if not any(one.name == name and one.ledger is not None for one in self._order.stack.spec.indicators):
            return None
        gone = [
            Ledgered(
                at=now, indicator=name, read=False, saw=f"shard {shard} of {self._count} did not read back its writes"
            )
            for shard in range(self._count)
            if shard not in self._ledgers
        ]
        return merge_ledgers([*self._ledgers.values(), *gone])

    # Whether they are there, and on time

    async def _beat(self) -> None:
        while True:
            for shard in sorted(self._living):
                if self._unanswered[shard] * BEAT > SILENT:
                    self._lose(shard, f"it has not answered for {SILENT:g} s")
                    await self._members[shard].generator.kill()
                else:
                    self._unanswered[shard] += 1
                    await self._members[shard].generator.ping(time.monotonic())
            self._give()
            await asyncio.sleep(BEAT)

    def _look(self, shard: int) -> None:
        why = self._skews[shard].amiss
        if why and shard not in self._skewed:
            self._skewed.add(shard)
            self._tell(shard, "skewed", why=why)

    def _lose(self, shard: int, why: str) -> None:
        if shard in self._members and shard not in self._living:
            return
        self._living.discard(shard)
        self._assembly.lose(shard)
        self._tally.lose(shard)
        self._tell(shard, "lost", why=why)

    def _tell(self, shard: int, state: str, *, why: str = "", skew: float | None = None) -> None:
        where = self._members[shard].generator.where if shard in self._members else ""
        event = Sharded(
            at=self._clock.now(),
            shard=shard,
            shards=self._count,
            state=state,  # type: ignore[arg-type]
            where=where,
            skew=skew,
            why=why,
        )
        self._queue.put_nowait(event)


def _ahead(steps: Steps, soonest: float) -> list[tuple[float, float]]:
    """Return the steps with none before `soonest`: what is in force then begins then.

    >>> _ahead([(1.0, 5.0), (2.0, 50.0), (9.0, 5.0)], 3.0)
    [(3.0, 50.0), (9.0, 5.0)]
    """
    ordered = sorted(steps)
    early = [rate for at, rate in ordered if at <= soonest]
    return [*((soonest, rate) for rate in early[-1:]), *(step for step in ordered if step[0] > soonest)]


Start = Callable[[Order, int, RunClock], Awaitable[Shards]]
"""Starts so many generators for an order; AftershockError where one refuses it."""


async def processes(order: Order, count: int, clock: RunClock) -> Shards:
    """Start generators as processes of this machine, which share its clock."""
    orders = [replace(order, shard=shard, shards=count) for shard in range(count)]
    starting = [asyncio.create_task(Prober.start(one)) for one in orders]
    try:
        await asyncio.wait(starting)
        probers = [one.result() for one in starting]
    except BaseException:
        await _undo(starting)
        raise
    return Shards(order, clock, {shard: Member(one) for shard, one in enumerate(probers)})


async def _undo(starting: Sequence["asyncio.Task[Prober]"]) -> None:
    """End those that have started, and those that are about to."""
    for one in starting:
        one.cancel()
    started = await asyncio.gather(*starting, return_exceptions=True)
    await asyncio.gather(*(one.kill() for one in started if isinstance(one, Prober)))
