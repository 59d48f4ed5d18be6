"""`dependency-slow`: whoever asks one part of the stack for something waits for its answer, whichever link leads there.

Every link to the part has a latency toxic on what comes back. The part itself notices nothing, nor does who asks it past the
links. Landed means that a canary through each of these links meets the latency.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from aftershock.core.front import DEPENDENCY_SLOW as NAME
from aftershock.core.front import links_to
from aftershock.core.lease import Lease
from aftershock.errors import InputError
from aftershock.faults import link
from aftershock.faults.fault import Fault, Parameters, Site
from aftershock.faults.latency import JITTER, KIND, Latency, steady
from aftershock.faults.together import TogetherHold
from aftershock.faults.toxic import ToxicHold
from aftershock.model.rules.making import Cel
from aftershock.model.units import Duration


class DependencySlow(Parameters, frozen=True, kw_only=True):
    """Each answer takes `latency` longer, give or take `jitter`."""

    latency: Duration
    jitter: Duration = Duration(0)

    told: ClassVar[tuple[Cel, ...]] = JITTER

    def __post_init__(self) -> None:
        steady(self.latency, self.jitter)


class DependencySlowHold(TogetherHold):
    """All links to one part, slow for one lease."""

    def __init__(self, site: Site, lease: Lease, wanted: DependencySlow) -> None:
        refuse(site, wanted)
        each = Latency(latency=wanted.latency, jitter=wanted.jitter, direction="downstream")
        links = links_to(site.stack, site.target)
        super().__init__([ToxicHold(site.at(one.name), lease, each, KIND) for one in links])


def refuse(site: Site, _wanted: DependencySlow) -> None:
    """Refuse a part that no link leads to: InputError."""
    if not links_to(site.stack, site.target):
        raise InputError(f"no link leads to {site.target}", f"give the Stack links with `to: {site.target}`")


async def clock(site: Site) -> float:
    """Return the clock of the links' Toxiproxies: of the one that is ahead, seconds since the epoch."""
    return max([await link.clock(site.at(each.name)) for each in links_to(site.stack, site.target)])


def undo(site: Site, lease: Lease) -> Mapping[str, Any]:
    """Say what takes the fault away again, as data."""
    links = [each.name for each in links_to(site.stack, site.target)]
    return {"operation": "remove-toxics", "links": links, "lease": lease.name}


DEPENDENCY_SLOW = Fault(
    name=NAME,
    summary="Whatever a part of the stack is asked, its answer takes longer.",
    target="part",
    parameters=DependencySlow,
    hold=DependencySlowHold,
    clock=clock,
    undo=undo,
    refuse=refuse,
)
