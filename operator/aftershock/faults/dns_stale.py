"""`dns-stale`: a DNS server goes on leading clients to one region, whatever has become of it.

Its answers don't change any more: what it answers when the fault begins it answers until the lease is over, though the region
be dead; or with `to` it leads to a region that it may not have chosen. It goes on looking at every region, and leads by what it
finds as soon as it is let go.

It needs a gdnsd on this machine. In its file of forced states the region is up, and every other is down, under the lease's
name; what others have forced there is overruled meanwhile, and stays.

Landed means that the server answers that region's address, and says itself that the region is up and the others are down by
force; what it finds when it looks itself is told beside it.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from aftershock.adapters import admin_state, gdnsd
from aftershock.adapters.gdnsd import State
from aftershock.adapters.threads import within
from aftershock.core.lease import Lease
from aftershock.errors import InputError, TargetError
from aftershock.faults.fault import Evidence, Fault, Parameters, Site
from aftershock.faults.process import clock
from aftershock.model.problem import choose
from aftershock.model.stack import GdnsdControl, Resolver
from aftershock.probes.names import resolve_at

NAME = "dns-stale"
PATIENCE = 5.0
"""Seconds for one question to the server, or one change of its file."""

NOTICED = 8.0
"""Seconds in which the server has to have noticed that its file has changed: it takes up to two, and answers follow."""

AGAIN = 0.1


class DnsStale(Parameters, frozen=True, kw_only=True):
    """`to`: the region that clients are led to; without it, the one that they are led to when the fault begins."""

    to: str | None = None


class Led(msgspec.Struct, frozen=True):
    """Where the server leads clients, an address, and what it says of each region."""

    address: str
    states: Mapping[str, tuple[State, ...]]


class DnsStaleHold:
    """One DNS server whose answers are held for one lease."""

    def __init__(self, site: Site, lease: Lease, wanted: DnsStale) -> None:
        refuse(site, wanted)
        self.resolver, control = _resolver(site), _control(site)
        self.lease, self.to = lease, wanted.to
        self._file, self._socket = site.folder / control.admin_state, site.folder / control.control
        self._ways = {way.region: way.address for way in self.resolver.ways}

    async def prepare(self) -> None:
        """See that it leads where the Stack says, by looking at each region, and that nobody holds its answers already."""
        led = await self._led()
        if blind := [f"{region} ({self._ways[region]})" for region, states in led.states.items() if not states]:
            raise InputError(
                f"the DNS server {self.resolver.name} doesn't look at {', '.join(blind)}",
                "compare `resolver.ways` of the Stack with the addresses that `gdnsdctl states` lists",
            )
        to = self.to or self._region(led.address)
        if self._holds(led, to):
            raise TargetError(
                f"what the DNS server {self.resolver.name} answers is held already: {self._told(led)}",
                f"take that out of {self._file} first",
            )
        await within(PATIENCE, admin_state.read, self._file)

    async def inject(self) -> None:
        """Force the region up and the others down, and wait until the server has noticed."""
        self.to = to = self.to or self._region((await self._led()).address)
        up = {address: region == to for region, address in self._ways.items()}
        await within(PATIENCE, admin_state.hold, self._file, up, self.lease)
        if not await self._until(self._held):
            raise TargetError(
                f"the DNS server {self.resolver.name} isn't held after {NOTICED:g} s: {self._told(await self._led())}",
                f"see its log: of {self._file} it takes nothing if there is a line that it can't read",
            )

    async def observe(self) -> Evidence:
        """Ask for the way as a client does, and the server for what it goes by."""
        led = await self._led()
        return Evidence(self._held(led), "a DNS query, and gdnsd's own states", self._told(led))

    async def heal(self) -> None:
        """Take our lines away. A server that is down goes by what is left as soon as it is started."""
        if await within(PATIENCE, admin_state.release, self._file, {self.lease.name}):
            try:
                await self._until(self._free)
            except TargetError:
                return  # nobody is led by it now

    async def left(self) -> list[str]:
        """Say whether lines of ours are still there."""
        leases = admin_state.leases(await within(PATIENCE, admin_state.read, self._file))
        return [f"{self.lease.name} in {self._file}"] if self.lease in leases else []

    async def close(self) -> None:
        """Nothing is kept open."""

    async def _until(self, so: Callable[[Led], bool]) -> bool:
        end = time.monotonic() + NOTICED
        while not so(await self._led()):
            if time.monotonic() > end:
                return False
            await asyncio.sleep(AGAIN)  # it tells nobody
        return True

    async def _led(self) -> Led:
        asked, told = await asyncio.gather(
            within(PATIENCE, _ask, self.resolver), within(PATIENCE, gdnsd.states, self._socket)
        )
        return Led(asked, {region: _of(address, told) for region, address in self._ways.items()})

    def _held(self, led: Led) -> bool:
        return self._holds(led, self.to)

    def _free(self, led: Led) -> bool:
        """Tell whether it leads by what it says itself again: answers follow its states within a second."""
        well = [region for region, states in led.states.items() if any(each.said == "UP" for each in states)]
        return not self._held(led) and (not well or led.address in {self._ways[region] for region in well})

    def _holds(self, led: Led, to: str | None) -> bool:
        """Tell whether clients are led to this region, and whether that is forced, there and everywhere else."""
        return led.address == self._ways.get(to or "") and all(
            each.forced and each.said == ("UP" if region == to else "DOWN")
            for region, states in led.states.items()
            for each in states
        )

    def _region(self, address: str) -> str:
        for region, its in self._ways.items():
            if its == address:
                return region
        raise TargetError(
            f"the DNS server {self.resolver.name} leads clients of {self.resolver.host} to {address}, which is in no region",
            "compare `resolver.ways` of the Stack with what it answers",
        )

    def _told(self, led: Led) -> str:
        regions = {address: region for region, address in self._ways.items()}
        where = f"{regions.get(led.address, 'elsewhere')} ({led.address})"
        said = "; ".join(f"{region} is {_words(states)}" for region, states in led.states.items())
        return f"clients of {self.resolver.host} are led to {where}; by the server's word {said}"


def _ask(resolver: Resolver) -> str:
    """Return the address that a client is led to. TargetError where that is not one."""
    try:
        found, _ = resolve_at(resolver.address, resolver.host or "", 0)
    except OSError as error:
        raise TargetError(
            f"the DNS server {resolver.name} doesn't say where {resolver.host} is: {error}", "see whether it runs"
        ) from None
    addresses = [str(address[0]) for _, address in found]
    if len(addresses) > 1:
        raise TargetError(
            f"the DNS server {resolver.name} leads clients of {resolver.host} to several addresses at once:"
            f" {', '.join(addresses)}",
            "name in `resolver.host` of the Stack a host that it leads to one at a time",
        )
    return addresses[0]


def _of(address: str, told: Mapping[str, State]) -> tuple[State, ...]:
    """Return the states of all that is looked at at an address."""
    return tuple(state for key, state in told.items() if key.startswith(f"{address}/"))


def _words(states: Iterable[State]) -> str:
    return ", ".join(
        f"{each.said} by force (it finds it {each.found})" if each.forced else each.said for each in states
    )


def _resolver(site: Site) -> Resolver:
    resolver = site.stack.spec.resolver
    if resolver is None or resolver.name != site.target:
        known = f"its resolver is {resolver.name}" if resolver else "give it `resolver:`"
        raise InputError(f"the stack has no DNS server {site.target}", known)
    return resolver


def _control(site: Site) -> GdnsdControl:
    resolver = _resolver(site)
    if resolver.gdnsd is None:
        raise InputError(
            f"what the DNS server {resolver.name} answers can't be held",
            "say in the Stack how, if it is a gdnsd on this machine: `resolver.gdnsd`, with `host` and `ways`",
        )
    return resolver.gdnsd


def refuse(site: Site, wanted: DnsStale) -> None:
    """Refuse a server whose answers can't be held, and a region that it doesn't lead to: InputError."""
    _control(site)
    regions = [way.region for way in _resolver(site).ways]
    if wanted.to is not None and wanted.to not in regions:
        raise InputError(
            f"the DNS server {site.target} leads nobody to {wanted.to}",
            choose(wanted.to, regions, "add it to `resolver.ways` of the Stack"),
        )


def undo(site: Site, lease: Lease) -> Mapping[str, Any]:
    """Say what takes the fault away again, as data."""
    return {"operation": "release-answers", "resolver": site.target, "lease": lease.name}


DNS_STALE = Fault(
    name=NAME,
    summary="A DNS server goes on leading clients to one region, whatever has become of it.",
    target="resolver",
    parameters=DnsStale,
    hold=DnsStaleHold,
    clock=clock,
    undo=undo,
    refuse=refuse,
    alone=lambda site, _: (f"what the DNS server {site.target} answers",),
)
