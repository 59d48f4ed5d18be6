"""`cache-loss`: a cache is lost: killed, paused or cut off; the report says which, as `by`.

One that is killed comes back empty, as a Redis does that keeps nothing on disk: what it had has to be asked for anew, all at
once. Landed means that what is killed or paused answers nobody, and that what is cut off answers whoever asks past the links.
"""

from collections.abc import Mapping
from typing import Any

from aftershock.adapters import rediscache, secrets
from aftershock.core.lease import Lease
from aftershock.errors import InputError
from aftershock.faults import lost_part
from aftershock.faults.fault import Fault, Parameters, Site
from aftershock.faults.lost_part import Answer, By, LostPartHold
from aftershock.model.stack import Cache


class CacheLoss(Parameters, frozen=True, kw_only=True):
    """`by`: how it is lost."""

    by: By


class CacheLossHold(LostPartHold):
    """One cache that is lost for one lease."""

    client = "a client"

    def __init__(self, site: Site, lease: Lease, wanted: CacheLoss) -> None:
        refuse(site, wanted)
        super().__init__(site, lease, wanted.by)
        self._url = secrets.read(_cache(site).url, site.folder)
        self._name = site.target

    async def ask(self) -> Answer:
        """Ask whether it answers."""
        sound = await rediscache.answers(self._name, self._url)
        return Answer(alive=True, sound=sound, saw=f"past the links it {'answers' if sound else 'refuses the client'}")


def _cache(site: Site) -> Cache:
    for cache in site.stack.spec.caches:
        if cache.name == site.target:
            return cache
    known = ", ".join(each.name for each in site.stack.spec.caches) or "none"
    raise InputError(f"the stack has no cache {site.target}", f"its caches: {known}")


def refuse(site: Site, wanted: CacheLoss) -> None:
    """Refuse what could not be taken away and brought back: InputError."""
    _cache(site)
    lost_part.refuse(site, wanted.by)


def undo(site: Site, lease: Lease) -> Mapping[str, Any]:
    """Say what takes the fault away again, as data."""
    return {"operation": "restore-cache", "cache": site.target, "lease": lease.name}


CACHE_LOSS = Fault(
    name="cache-loss",
    summary="A cache is killed, paused or cut off.",
    target="cache",
    parameters=CacheLoss,
    hold=CacheLossHold,
    clock=lost_part.clock,
    undo=undo,
    refuse=refuse,
    alone=lambda site, wanted: lost_part.alone(site, wanted.by),
)
