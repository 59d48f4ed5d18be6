"""A toxic held on a link: what the seven faults that are one toxic each share.

Evidence is two things at once: a canary through the link that meets the effect, and Toxiproxy's own list with every toxic
of the lease in it. The canary is a new connection each time.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from aftershock.adapters.canary import Line
from aftershock.adapters.threads import within
from aftershock.adapters.toxiproxy import Toxic
from aftershock.core.lease import Lease
from aftershock.errors import InputError, TargetError
from aftershock.faults.fault import Evidence, Fault, Site
from aftershock.faults.link import PATIENCE, LinkHold, ToxicParameters, canaries, clock, undo

CLEAR = 0.1
"""Seconds. An effect this long is no noise; a shorter one has to be met three times in a row."""

AT_ONCE = 16
"""Canaries under way at the same time."""

ROUNDS = 2
"""How often a look tries to meet a toxic that only a share of connections meets, before it says that it is gone."""


class Sight(msgspec.Struct, frozen=True):
    """What one canary met: the effect or not, and in words."""

    effect: bool
    saw: str


class Kind(msgspec.Struct, frozen=True):
    """One of Toxiproxy's toxics as a fault.

    `shows(line, wanted, ways)` sends one canary that tells whether the toxic acts in all `ways` (1 or 2 directions).
    `doubt` says why no canary could tell here, None if one can. `effect(line, wanted)`: seconds that the canary would
    notice in one direction. `talks`: whether the canary has to know what is spoken.
    """

    type: str
    attributes: Callable[[Any], dict[str, int]]
    shows: Callable[[Line, Any, int], Awaitable[Sight]]
    doubt: Callable[[Line, Any], str | None]
    effect: Callable[[Line, Any], float] = lambda _line, _wanted: CLEAR
    talks: bool = True


class ToxicHold(LinkHold):
    """One kind of toxic on one link for one lease."""

    def __init__(self, site: Site, lease: Lease, wanted: ToxicParameters, kind: Kind) -> None:
        super().__init__(site, lease, talks=kind.talks)
        self.wanted, self.kind = wanted, kind
        self._limit = asyncio.Semaphore(AT_ONCE)

    async def prepare(self) -> None:
        """Find the proxy; refuse what no canary could prove. Nothing at the target changes."""
        await super().prepare()
        assert self.line is not None
        if doubt := self.kind.doubt(self.line, self.wanted):
            raise InputError(f"{self.lease.fault} on the link {self.link.name} could not be proved: {doubt}", _ADVICE)

    async def inject(self) -> None:
        """Add the toxics, one a direction; one that is there already stays as it is."""
        await within(PATIENCE, self._add, await self.proxy())
        await self.remember()

    async def observe(self) -> Evidence:
        """Send canaries through the link, and read Toxiproxy's list."""
        if self.line is None:
            raise TargetError("the canary doesn't know the link yet", "call prepare() first")
        listed = await within(PATIENCE, self.server.toxics, await self.proxy())
        effect, saw = await self._ask()
        missing = [each for each in self._names() if each not in listed]
        if effect and missing:
            saw += f", but Toxiproxy doesn't list {' and '.join(missing)}: the effect is not ours, or not whole"
        elif not missing:
            saw += f"; Toxiproxy lists {' and '.join(self._names())}"
        return Evidence(effect and not missing, f"canary through the link {self.link.name}", saw + self.aside)

    async def heal(self) -> None:
        """Remove the toxics of this lease, unless they are gone already."""
        await within(PATIENCE, self._remove, await self.proxy())

    def _names(self) -> list[str]:
        return [self.lease.of(way).name for way in self.wanted.ways]

    def _add(self, proxy: str) -> None:
        attributes = self.kind.attributes(self.wanted)
        for way in self.wanted.ways:
            name = self.lease.of(way).name
            self.server.add_toxic(proxy, Toxic(name, self.kind.type, way, float(self.wanted.toxicity), attributes))

    def _remove(self, proxy: str) -> None:
        for name in self._names():
            self.server.remove_toxic(proxy, name)

    async def _ask(self) -> tuple[bool, str]:
        """Every connection must meet the effect, or with a toxicity under 100% at least one of enough."""
        if self.wanted.toxicity < 1:
            return await self._ask_many(canaries(self.wanted.toxicity))
        assert self.line is not None
        attempts = 1 if self.kind.effect(self.line, self.wanted) >= CLEAR else 3
        sight = Sight(effect=False, saw="")
        for _ in range(attempts):
            sight = await self._send(len(self.wanted.ways))
            if not sight.effect:
                break
        return sight.effect, f"{self.line} {sight.saw}"

    async def _ask_many(self, count: int) -> tuple[bool, str]:
        """Send `count` canaries; if none meets the effect, as many again: a fault is held for many looks, any of which may
        be unlucky.
        """
        sights: list[Sight] = []
        while len(sights) < ROUNDS * count and not any(sight.effect for sight in sights):
            sights += await asyncio.gather(*(self._send(1) for _ in range(count)))
        met = [sight for sight in sights if sight.effect]
        example = f"; one of them {met[0].saw}" if met else ""
        return bool(met), f"{len(met)} of {len(sights)} new connections met it{example}"

    async def _send(self, ways: int) -> Sight:
        assert self.line is not None
        async with self._limit:
            return await self.kind.shows(self.line, self.wanted, ways)


_ADVICE = "change the fault's `with:`, or target a link through which PostgreSQL, HTTP or Redis is spoken"


def toxic_fault(name: str, summary: str, parameters: type[ToxicParameters], kind: Kind) -> Fault:
    """Return the registry's entry for a fault that is one toxic."""
    return Fault(
        name=name,
        summary=summary,
        target="link",
        parameters=parameters,
        hold=lambda site, lease, wanted: ToxicHold(site, lease, wanted, kind),
        clock=clock,
        undo=undo,
    )


def speechless(line: Line) -> str | None:
    """Say so if nothing can be exchanged through the link."""
    if line.speech == "unknown":
        return "neither PostgreSQL nor HTTP nor Redis answers through it"
    return None
