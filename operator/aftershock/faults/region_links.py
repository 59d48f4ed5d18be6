"""A region lost by its links: all of them, or only those by which others reach it; for good, or again and again.

Canaries from outside knock at the links, canaries from inside at the doors of what runs in the region: what listens behind a
link into it, reached without the link. While the network alone is lost they disagree, and that is the evidence.
"""

import asyncio
import re
import time
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from aftershock.adapters import canary
from aftershock.adapters.canary import Line
from aftershock.adapters.threads import within
from aftershock.core.lease import Lease
from aftershock.errors import AftershockError, InputError
from aftershock.faults.fault import Evidence, Site
from aftershock.faults.link import PATIENCE, LinkHold
from aftershock.faults.link_down import DownHold
from aftershock.faults.regions import inside, links_of
from aftershock.model.stack import Link

_THROUGH = re.compile(r" through \S+")
"""What tells the links' evidence from each other: an address."""


class Flap(msgspec.Struct, frozen=True):
    """Seconds for which the links are down, and then up, by turns."""

    down: float
    up: float


class Door(msgspec.Struct, frozen=True):
    """What listens in the region behind one link, reached without it. `name` is the part's."""

    name: str
    line: Line

    async def open(self) -> bool:
        """Tell whether somebody answers, in the speech that was spoken there before the fault."""
        ask = canary.knock if self.line.speech == "unknown" else canary.talk
        return (await ask(self.line)).end == "answered"


class SwitchedHold(DownHold):
    """A link that is down, or flaps, for one lease. Its companion stands there all the time, so that the reaper finds it."""

    async def door(self) -> tuple[str, int] | None:
        """Return the address behind the link, None where it can't be told."""
        found = await self._find()
        host, _, port = found.upstream.rpartition(":")
        return (host.strip("[]"), int(port)) if host and port.isdigit() else None

    async def switch(self, *, up: bool) -> None:
        """Let it through, or not. A link whose companion is gone is not ours any more: it is left up."""
        proxy = await self.proxy()
        await within(4 * PATIENCE, lambda: self._switch(proxy, up=up))

    def _switch(self, proxy: str, *, up: bool) -> None:
        if self.lease.name not in self.server.toxics(proxy):
            return
        if up:
            self.server.enable(proxy)
            return
        self.server.disable(proxy)
        if self.lease.name not in self.server.toxics(proxy):  # healed while we were frozen between the two calls
            self.server.enable(proxy)


class LinksHold:
    """The links of one region, down for one lease. `asymmetric`: only those by which others come in."""

    def __init__(self, site: Site, lease: Lease, *, asymmetric: bool = False, flap: Flap | None = None) -> None:
        self.site, self.lease, self.flap, self.asymmetric = site, lease, flap, asymmetric
        cut = [each for each in links_of(site) if not asymmetric or _inward(site, each)]
        self.links = [SwitchedHold(site.at(each.name), lease) for each in cut]
        kept = [each for each in links_of(site) if each not in cut]
        self.kept = [LinkHold(site.at(each.name), lease) for each in kept]
        if not self.links:
            what = "by which others reach" if asymmetric else "of the stack has an end in"
            raise InputError(
                f"no link {what} the region {site.target}",
                "give its workloads and databases `region:`, and its links `from:` and `to:`, in the Stack",
            )
        self.doors: list[Door] = []
        self._turn = asyncio.Lock()
        self._up = False
        self._over = asyncio.Event()
        self._flapping: asyncio.Task[None] | None = None
        self._amiss = ""

    async def prepare(self) -> None:
        """Look at every link, and find the doors behind those that lead into the region."""
        await asyncio.gather(*(each.prepare() for each in [*self.links, *self.kept]))
        found = await asyncio.gather(*(self._door(each) for each in self.links if _into(self.site, each.link)))
        self.doors = list({(each.line.host, each.line.port): each for each in found if each}.values())

    async def inject(self) -> None:
        """Take them down; where they flap, by turns from now on."""
        if self._flapping is None:
            await asyncio.gather(*(each.inject() for each in self.links))
            if self.flap is not None:
                self._flapping = asyncio.create_task(self._flaps(self.flap))

    async def observe(self) -> Evidence:
        """Ask from outside and from inside: out of reach, and alive."""
        async with self._turn:
            outside = await asyncio.gather(*(each.observe() for each in self.links))
            answering = await asyncio.gather(*(each.open() for each in self.doors))
            leaving = await asyncio.gather(*(_passes(each) for each in self.kept))
            down = sum(one.holds for one in outside)
            due = 0 if self._up else len(outside)
            left = await self.left()
        agreed = down == due and bool(left) and not self._amiss
        saw = f"from outside, {down} of {len(outside)} links are down: {_told(self.links, outside)}"
        if self.flap is not None:
            saw += f"; they flap, and should be {'up' if self._up else 'down'} now{self._amiss}"
        saw += f"; from inside, {_count(answering, 'part')} answered"
        if self.asymmetric:
            saw += f", and {_count(leaving, 'link')} out of it or within it let a canary through"
        alive = all(answering) and (not self.asymmetric or all(leaving))
        return Evidence(agreed and alive, "canaries at the region's links and at the doors behind them", saw)

    async def unreachable(self) -> tuple[bool, str]:
        """Tell whether all links are down, whatever lives behind them, and what was seen."""
        seen = await asyncio.gather(*(each.observe() for each in self.links))
        down = sum(one.holds for one in seen)
        return down == len(seen), f"{down} of {len(seen)} links are down: {_told(self.links, seen)}"

    async def heal(self) -> None:
        """Bring them all back; one that fails keeps no other down."""
        await self._settle()
        done = await asyncio.gather(*(each.heal() for each in self.links), return_exceptions=True)
        for one in done:
            if isinstance(one, BaseException):
                raise one

    async def left(self) -> list[str]:
        """Name what of them is left."""
        return [line for lines in await asyncio.gather(*(each.left() for each in self.links)) for line in lines]

    async def close(self) -> None:
        """Let go of the connections to Toxiproxy."""
        await self._settle()
        await asyncio.gather(*(each.close() for each in [*self.links, *self.kept]))

    async def _settle(self) -> None:
        """End the flapping; a turn that is under way is waited for, so that none comes after the healing."""
        self._over.set()
        if self._flapping is not None:
            with suppress(asyncio.CancelledError):
                await self._flapping

    async def _flaps(self, flap: Flap) -> None:
        while not self._over.is_set() and time.time() < self.lease.expires:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), flap.up if self._up else flap.down)
            if self._over.is_set() or time.time() >= self.lease.expires:
                return
            async with self._turn:
                try:
                    await asyncio.gather(*(each.switch(up=not self._up) for each in self.links))
                except AftershockError as error:
                    self._amiss = f"; but {error.problem}"
                self._up = not self._up

    async def _door(self, link: SwitchedHold) -> Door | None:
        address = await link.door()
        if address is None or (await canary.knock(Line(*address))).end != "answered":
            return None
        return Door(link.link.to or link.link.name, await canary.meet(*address))


async def _passes(link: LinkHold) -> bool:
    return link.line is not None and await Door(link.link.name, link.line).open()


def _told(links: Sequence[LinkHold], seen: Sequence[Evidence]) -> str:
    """Say what was seen at the links, once for all those of which the same is so."""
    alike: dict[str, list[str]] = {}
    for each, one in zip(links, seen, strict=True):
        alike.setdefault(_THROUGH.sub("", one.saw), []).append(each.link.name)
    return "; ".join(f"{', '.join(names)}: {saw}" for saw, names in alike.items())


def _inward(site: Site, link: Link) -> bool:
    return _into(site, link) and link.from_ not in inside(site)


def _into(site: Site, link: Link) -> bool:
    return link.to in inside(site)


def _count(answers: list[bool], what: str) -> str:
    return f"{sum(answers)} of {len(answers)} {what}{'' if len(answers) == 1 else 's'}"
