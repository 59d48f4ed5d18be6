"""What all faults of a link share: its Toxiproxy, its proxy, its parameters, and the canary that goes through it."""

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar, Literal

from msgspec.structs import replace

from aftershock.adapters import canary, toxiproxy
from aftershock.adapters.canary import Line
from aftershock.adapters.lastseen import remember
from aftershock.adapters.threads import within
from aftershock.adapters.toxiproxy import Proxy, Server
from aftershock.core.lease import Lease, parse
from aftershock.errors import InputError, TargetError
from aftershock.faults.created import proxy_of, server_of
from aftershock.faults.fault import Parameters, Site
from aftershock.model.rules import cel
from aftershock.model.rules.making import Cel
from aftershock.model.stack import Link
from aftershock.model.units import Duration, Percentage

PATIENCE = 4.0
"""Seconds for one or two calls to Toxiproxy, one after the other, each with its own deadline."""

UNSEEN = 1e-3
"""The probability that all canaries of a round miss a toxic that only a share of connections meets."""

LEAST_TOXICITY = Percentage(0.07)
"""Under this share, more than 100 canaries would be needed."""

Direction = Literal["downstream", "upstream", "both"]


class ToxicParameters(Parameters, frozen=True, kw_only=True):
    """`direction`: what the client receives (downstream), what it sends (upstream), or both. `toxicity`: the share of
    connections that meet the toxic.
    """

    direction: Direction = "both"
    toxicity: Percentage = Percentage(1.0)

    told: ClassVar[tuple[Cel, ...]] = (
        Cel(f"!has(self.toxicity) || {cel.percentage('self.toxicity')} >= 7.0", "toxicity: between 7% and 100%"),
    )

    def __post_init__(self) -> None:
        if not LEAST_TOXICITY <= self.toxicity <= 1:
            raise ValueError("toxicity: between 7% and 100%: fewer could not be proved by 100 canaries")

    @property
    def ways(self) -> tuple[toxiproxy.Stream, ...]:
        """The directions, one by one."""
        return ("downstream", "upstream") if self.direction == "both" else (self.direction,)


def canaries(toxicity: float) -> int:
    """Return how many connections are needed to meet the toxic at least once, but for a probability of UNSEEN.

    (1 - toxicity) ** n <= UNSEEN, solved for n.

    >>> canaries(1.0), canaries(0.5), canaries(0.1)
    (1, 10, 66)
    """
    return 1 if toxicity >= 1 else math.ceil(math.log(UNSEEN) / math.log(1 - toxicity))


def milliseconds(duration: Duration) -> int:
    """Return the duration as Toxiproxy counts it."""
    return round(duration * 1000)


async def clock(site: Site) -> float:
    """Return the clock of the link's Toxiproxy, seconds since the epoch. It tells whole seconds; ours fills in the rest."""
    with server_of(site.stack, link_of(site)) as server:
        told = await within(PATIENCE, server.now)
    return toxiproxy.clock(told, time.time())


def undo(site: Site, lease: Lease) -> Mapping[str, Any]:
    """Say what takes the fault away again, as data."""
    link = link_of(site)
    return {"operation": "remove-toxics", "toxiproxy": link.toxiproxy, "link": link.name, "lease": lease.name}


def link_of(site: Site) -> Link:
    """Return the link that is the site's target. InputError if the stack names none such."""
    for link in site.stack.spec.links:
        if link.name == site.target:
            return link
    known = ", ".join(link.name for link in site.stack.spec.links) or "none"
    raise InputError(f"the stack has no link {site.target}", f"its links: {known}")


class LinkHold:
    """The part of a Hold that every fault of a link has."""

    def __init__(self, site: Site, lease: Lease, *, talks: bool = True) -> None:
        """`talks`: whether the canary has to know what is spoken through the link, which takes its time to find out."""
        self.site, self.lease, self._talks = site, lease, talks
        self.link = link_of(site)
        self.server: Server = server_of(site.stack, self.link)
        self.line: Line | None = None
        self._proxy: str | None = self.link.proxy

    async def prepare(self) -> None:
        """Find the proxy, and what is spoken through it if the canary is to talk."""
        proxy = await self._find()
        if not proxy.enabled:
            raise TargetError(f"the proxy {proxy.name} is disabled", "enable it first, or leave this link alone")
        host, port = toxiproxy.address(self.server, self._entered(proxy))
        self.line = await canary.meet(host, port) if self._talks else Line(host, port)

    def _entered(self, proxy: Proxy) -> Proxy:
        """Return the proxy as clients reach it: one in front of a Service is entered at the Service."""
        return proxy if self.link.listen is None or self.link.proxy is None else replace(proxy, listen=self.link.listen)

    @property
    def aside(self) -> str:
        """What is to be said of every look at a link in front of a Service."""
        if self.link.proxy is None or self.link.listen is None:
            return ""
        return "; connections to the Service from before the run go past Toxiproxy, untouched"

    async def left(self) -> list[str]:
        """Name the toxics of this lease that Toxiproxy still lists."""
        proxy = await self.proxy()
        listed = await within(PATIENCE, self.server.toxics, proxy)
        return [
            f"toxic {name} on the proxy {proxy} of Toxiproxy {self.server.name}"
            for name in listed
            if (found := parse(name)) and found.of("") == self.lease
        ]

    async def close(self) -> None:
        """Let go of the connections to Toxiproxy."""
        self.server.close()

    async def proxy(self) -> str:
        """Return the proxy's name; Toxiproxy is only asked for one that the run created."""
        return self._proxy or (await self._find()).name

    async def remember(self) -> None:
        """Write down what Toxiproxy holds now: once it is wedged, it can't tell what of it is ours."""
        with suppress(TargetError):
            await self._look()

    async def _look(self) -> dict[str, Proxy]:
        proxies = await within(PATIENCE, self.server.proxies)
        remember(self.site.folder, self.server.name, proxies)
        return proxies

    async def _find(self) -> Proxy:
        proxies = await self._look()
        proxy = proxy_of(self.link, proxies, self.lease.run)
        self._proxy = proxy.name
        return proxy
