"""`region-loss`: a region of the stack is lost, in one of three ways; the report says which, as `by`.

`links`: every link with an end in the region is down, through Toxiproxy. `network-policy`: the region's pods are cut off by
NetworkPolicies named by the lease; it needs a network that enforces them, and counts as landed only where canaries show
that they are cut off and still run. `evacuation`: the region's nodes take no new pods and the stack's own there are deleted
without grace. That skips the detection of the failure: it proves that there is room elsewhere, and leaves the recovery time
of a real loss unknown.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Literal

from aftershock.core.lease import Lease
from aftershock.errors import InputError
from aftershock.faults import link
from aftershock.faults.cluster import clock as api_clock
from aftershock.faults.evacuation import EvacuationHold
from aftershock.faults.fault import Evidence, Fault, Hold, Parameters, Site
from aftershock.faults.isolation import IsolationHold
from aftershock.faults.link_down import DownHold
from aftershock.faults.regions import links_of, region_of, workloads_in

NAME = "region-loss"


class RegionLoss(Parameters, frozen=True, kw_only=True):
    """`by`: the way in which the region is lost."""

    by: Literal["links", "network-policy", "evacuation"]


class LinksHold:
    """All links of one region, down for one lease."""

    def __init__(self, site: Site, lease: Lease) -> None:
        self.links = [DownHold(_at(site, each.name), lease) for each in links_of(site)]
        if not self.links:
            raise InputError(
                f"no link of the stack has an end in the region {site.target}",
                "give its workloads and databases `region:`, and its links `from:` and `to:`, in the Stack",
            )

    async def prepare(self) -> None:
        """Look at every link."""
        await asyncio.gather(*(each.prepare() for each in self.links))

    async def inject(self) -> None:
        """Take them all down."""
        await asyncio.gather(*(each.inject() for each in self.links))

    async def observe(self) -> Evidence:
        """Knock at every link; the region is lost when none lets anybody in."""
        seen = await asyncio.gather(*(each.observe() for each in self.links))
        down = sum(one.holds for one in seen)
        saw = f"{down} of {len(seen)} links are down: " + "; ".join(one.saw for one in seen)
        return Evidence(down == len(seen), "canaries at the region's links", saw)

    async def heal(self) -> None:
        """Bring them all back; one that fails keeps no other down."""
        done = await asyncio.gather(*(each.heal() for each in self.links), return_exceptions=True)
        for one in done:
            if isinstance(one, BaseException):
                raise one

    async def left(self) -> list[str]:
        """Name what of them is left."""
        return [line for lines in await asyncio.gather(*(each.left() for each in self.links)) for line in lines]

    async def close(self) -> None:
        """Let go of the connections to Toxiproxy."""
        await asyncio.gather(*(each.close() for each in self.links))


def _at(site: Site, target: str) -> Site:
    return Site(site.stack, target, site.folder, collateral=site.collateral)


def _hold(site: Site, lease: Lease, wanted: RegionLoss) -> Hold:
    match wanted.by:
        case "links":
            return LinksHold(site, lease)
        case "network-policy":
            return IsolationHold(site, lease)
        case "evacuation":
            return EvacuationHold(site, lease)


async def _clock(site: Site) -> float:
    """Return the clock of what the region is made of, Toxiproxies or the API server: of several the one that is ahead.

    So no part of the fault ends by its own clock before its time.
    """
    region = region_of(site)
    told = [await link.clock(_at(site, each.name)) for each in links_of(site) if each.toxiproxy is not None]
    if workloads_in(site) or (region is not None and region.nodes):
        told.append(await api_clock(site))
    if not told:
        raise InputError(
            f"the stack says nothing of what is in the region {site.target}",
            "give its workloads and databases `region:`, and its links `from:` and `to:`",
        )
    return max(told)


def undo(site: Site, lease: Lease) -> Mapping[str, Any]:
    """Say what takes the fault away again, as data."""
    return {"operation": "restore-region", "region": site.target, "lease": lease.name}


REGION_LOSS = Fault(
    name=NAME,
    summary="A region of the stack is lost.",
    target="region",
    parameters=RegionLoss,
    hold=_hold,
    clock=_clock,
    undo=undo,
)
