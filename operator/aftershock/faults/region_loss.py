"""`region-loss`: a region of the stack is lost, in one of five ways; the report says which, as `by`.

On any stack, `links`: every link with an end in the region is down, through Toxiproxy, while what is in it runs: canaries
outside and inside must disagree. On a local stack also `everything`: its links are down and its workloads and databases are
killed and held down, at once; and `databases`: those alone.

In a cluster also `network-policy`: the region's pods are cut off by NetworkPolicies named by the lease; it needs a network
that enforces them, and counts as landed only where canaries show that they are cut off and still run. And `evacuation`: the
region's nodes take no new pods and the stack's own there are deleted without grace. That skips the detection of the failure:
it proves that there is room elsewhere, and leaves the recovery time of a real loss unknown.
"""

import time
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

from aftershock.core.lease import Lease
from aftershock.errors import InputError
from aftershock.faults import link
from aftershock.faults.cluster import clock as api_clock
from aftershock.faults.evacuation import EvacuationHold
from aftershock.faults.fault import Fault, Hold, Parameters, Site, processes_of
from aftershock.faults.isolation import IsolationHold
from aftershock.faults.link_down import being_up
from aftershock.faults.region_links import Flap, LinksHold
from aftershock.faults.region_processes import ProcessesHold, complete
from aftershock.faults.regions import links_of, local_in, region_of, total, workloads_in
from aftershock.model.rules import cel
from aftershock.model.rules.making import Cel
from aftershock.model.units import Duration

NAME = "region-loss"
SHORTEST = 0.5
"""Seconds that one turn of a flapping region lasts at least: a look at it has to fit in."""


class RegionLoss(Parameters, frozen=True, kw_only=True):
    """`by`: the way in which the region is lost. `asymmetric`: others can't reach it, but it reaches them, and believes that
    it is alive. `down` and `up`: it flaps, and for how long by turns. `allowTotalLoss`: the region may be all that there is.
    """

    by: Literal["links", "everything", "databases", "network-policy", "evacuation"]
    asymmetric: bool = False
    down: Duration | None = None
    up: Duration | None = None
    allow_total_loss: bool = False

    told: ClassVar[tuple[Cel, ...]] = (
        Cel("has(self.down) == has(self.up)", "down, up: give both or neither"),
        Cel(f"!has(self.down) || {cel.duration('self.down')} >= duration('500ms')", "down: at least 500ms"),
        Cel(f"!has(self.up) || {cel.duration('self.up')} >= duration('500ms')", "up: at least 500ms"),
        Cel("!has(self.down) || self.by == 'links'", "down, up: only with `by: links`"),
        Cel("!has(self.asymmetric) || !self.asymmetric || self.by == 'links'", "asymmetric: only with `by: links`"),
    )

    def __post_init__(self) -> None:
        if (self.down is None) != (self.up is None):
            raise ValueError("down, up: give both or neither")
        for name, value in (("down", self.down), ("up", self.up)):
            if value is not None and value < SHORTEST:
                raise ValueError(f"{name}: at least 500ms")
        if self.by != "links" and self.down is not None:
            raise ValueError("down, up: only with `by: links`")
        if self.by != "links" and self.asymmetric:
            raise ValueError("asymmetric: only with `by: links`")

    @property
    def flap(self) -> Flap | None:
        """How it flaps, None if it doesn't."""
        return None if self.down is None or self.up is None else Flap(float(self.down), float(self.up))


def _hold(site: Site, lease: Lease, wanted: RegionLoss) -> Hold:
    refuse(site, wanted)
    match wanted.by:
        case "links":
            return LinksHold(site, lease, asymmetric=wanted.asymmetric, flap=wanted.flap)
        case "everything":
            return ProcessesHold(site, lease, LinksHold(site, lease) if links_of(site) else None, databases_only=False)
        case "databases":
            return ProcessesHold(site, lease, None, databases_only=True)
        case "network-policy":
            return IsolationHold(site, lease)
        case "evacuation":
            return EvacuationHold(site, lease)


def refuse(site: Site, wanted: RegionLoss) -> None:
    """Refuse the loss of all that there is, unless that is meant, and that of what could not be brought back.

    In a cluster the Stack doesn't say what else there is: there it is the network, or the room elsewhere, that decides.
    """
    if wanted.by in {"network-policy", "evacuation"}:
        return
    if total(site) and not wanted.allow_total_loss:
        raise InputError(
            f"nothing of the stack is outside the region {site.target}: its loss would be that of everything",
            "write `allowTotalLoss: true` in `with:` if that is meant",
        )
    if wanted.by != "links":
        complete(site, databases_only=wanted.by == "databases")


def alone(site: Site, wanted: RegionLoss) -> Iterable[str]:
    """Name what no other fault can have meanwhile: all that the region's loss takes away."""
    if wanted.by in {"everything", "databases"}:
        yield from (processes_of(each.name) for each in local_in(site, databases_only=wanted.by == "databases"))
    if wanted.by in {"everything", "links"}:
        yield from (being_up(each.name) for each in links_of(site))


async def _clock(site: Site) -> float:
    """Return the clock of what the region is made of, Toxiproxies or the API server: of several the one that is ahead.

    So no part of the fault ends by its own clock before its time.
    """
    region = region_of(site)
    told = [await link.clock(site.at(each.name)) for each in links_of(site) if each.toxiproxy is not None]
    if local_in(site):
        told.append(time.time())
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
    refuse=refuse,
    alone=alone,
)
