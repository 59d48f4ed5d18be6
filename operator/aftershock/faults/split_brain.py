"""`split-brain`: two regions are cut from each other, and both go on taking writes.

Every link with one end in the one region and the other end in the other is down. Clients, and what else there is, notice
nothing by it: they go on wherever they are. What both regions write of the same meanwhile conflicts once they meet again.

Landed means that nobody gets through any of these links, and that on both sides a canary of the application's role, who logs in
past every link, finds a database that takes writes.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from aftershock.adapters import postgres, secrets
from aftershock.adapters.postgres import Login
from aftershock.core.front import SPLIT_BRAIN as NAME
from aftershock.core.front import links_between
from aftershock.core.lease import Lease
from aftershock.errors import InputError, TargetError
from aftershock.faults import link
from aftershock.faults.fault import Evidence, Fault, Parameters, Site
from aftershock.faults.link_down import DownHold, being_up
from aftershock.faults.regions import inside, links_of
from aftershock.faults.together import TogetherHold
from aftershock.model.stack import Database, Link


class SplitBrain(Parameters, frozen=True, kw_only=True):
    """`from`: the region that the target is cut from."""

    from_: str = msgspec.field(name="from")


class SplitBrainHold(TogetherHold):
    """Two regions that are cut from each other for one lease."""

    def __init__(self, site: Site, lease: Lease, wanted: SplitBrain) -> None:
        refuse(site, wanted)
        super().__init__([DownHold(site.at(each.name), lease) for each in _between(site, wanted)])
        self._sides = {
            region: [Login(each.name, secrets.read(each.dsn, site.folder)) for each in _primaries(site.at(region))]
            for region in (site.target, wanted.from_)
        }

    async def prepare(self) -> None:
        """See that both regions take writes, and look at every link between them."""
        for region, (takes, saw) in (await self._asked()).items():
            if not takes:
                raise TargetError(f"the region {region} takes no writes: {saw}", "see whether its database runs")
        await super().prepare()

    async def observe(self) -> Evidence:
        """Knock at the links, and write on both sides."""
        seen, sides = await asyncio.gather(super().observe(), self._asked())
        told = "; ".join(f"in {region}, {saw}" for region, (_, saw) in sides.items())
        both = all(takes for takes, _ in sides.values())
        return Evidence(seen.holds and both, f"{seen.observer}, and a login in each region", f"{seen.saw}; {told}")

    async def _asked(self) -> dict[str, tuple[bool, str]]:
        """Tell of each region whether it takes writes, and what was seen of that."""
        return {region: await self._side(logins) for region, logins in self._sides.items()}

    async def _side(self, logins: Iterable[Login]) -> tuple[bool, str]:
        said = []
        for login in logins:
            try:
                async with postgres.session(login, "aftershock-canary") as opened:
                    await postgres.query(opened, "SELECT txid_current()")  # a replica, or one that only reads, has none
            except TargetError as error:
                said.append(f"{login.database}: {error.problem}")
            else:
                return True, f"{login.database} takes writes"
        return False, "; ".join(said)


def _between(site: Site, wanted: SplitBrain) -> list[Link]:
    return links_between(site.stack, site.target, wanted.from_)


def _primaries(site: Site) -> list[Database]:
    return [each for each in site.stack.spec.databases if each.role == "primary" and each.name in inside(site)]


def refuse(site: Site, wanted: SplitBrain) -> None:
    """Refuse two regions that are one, that no link connects, or of which one takes no writes by itself: InputError."""
    if wanted.from_ == site.target:
        raise InputError(f"the region {site.target} can't be cut from itself", "name another one in `from`")
    for region in (site.target, wanted.from_):
        if not _primaries(site.at(region)):
            raise InputError(
                f"no database in the region {region} takes writes",
                "name regions that each have a primary: the other databases could only lag",
            )
    if not _between(site, wanted):
        raise InputError(
            f"no link connects the regions {site.target} and {wanted.from_}",
            "give the Stack the links by which their parts reach each other, and the parts `region:`",
        )


async def clock(site: Site) -> float:
    """Return the clock of the links' Toxiproxies: of the one that is ahead, seconds since the epoch."""
    return max([await link.clock(site.at(each.name)) for each in links_of(site) if each.toxiproxy is not None])


def undo(site: Site, lease: Lease) -> Mapping[str, Any]:
    """Say what takes the fault away again, as data."""
    return {"operation": "mend-regions", "region": site.target, "lease": lease.name}


SPLIT_BRAIN = Fault(
    name=NAME,
    summary="Two regions are cut from each other, and both go on taking writes.",
    target="region",
    parameters=SplitBrain,
    hold=SplitBrainHold,
    clock=clock,
    undo=undo,
    refuse=refuse,
    alone=lambda site, wanted: tuple(being_up(each.name) for each in _between(site, wanted)),
)
