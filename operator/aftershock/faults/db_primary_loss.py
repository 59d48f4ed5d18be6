"""`db-primary-loss`: the database that takes the writes is lost, in one of three ways; the report says which, as `by`.

`kill`: its processes are killed at once and stay down until the lease is over, as when its machine loses power. `pause`: they
are stopped and go on later, as when a hypervisor freezes it: it takes connections and answers nobody. `partition`: every link
with an end at it is down while it runs, and believes that it is the primary.

Landed means that a client and the server disagree as they should: nobody logs in to what is killed or paused, past every link;
to what is cut off nobody gets through a link, and a login past them still finds a primary.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Literal

from aftershock.adapters import postgres
from aftershock.core.front import links_at
from aftershock.core.lease import Lease
from aftershock.errors import InputError, TargetError
from aftershock.faults import link
from aftershock.faults.db_connection_exhaustion import database_of, observer_of
from aftershock.faults.fault import Evidence, Fault, Hold, Parameters, Site
from aftershock.faults.link_down import DownHold
from aftershock.faults.process_pause import PauseHold
from aftershock.faults.region_processes import LostHold
from aftershock.model.stack import Workload

KNOCK = 1.5
"""Seconds that a canary's login may take: one that a paused server accepts and never answers would wait for longer."""


class PrimaryLoss(Parameters, frozen=True, kw_only=True):
    """`by`: how it is lost."""

    by: Literal["kill", "pause", "partition"]


class PrimaryLossHold:
    """One primary that is lost for one lease."""

    def __init__(self, site: Site, lease: Lease, wanted: PrimaryLoss) -> None:
        refuse(site, wanted)
        self.wanted = wanted
        database = database_of(site)
        self._login = observer_of(database, site)
        self._parts = _parts(site, lease, wanted)

    async def prepare(self) -> None:
        """See that it is a primary, that it can be reached past the links, and that it can be brought back."""
        if (told := await self._asked()) != "primary":
            raise InputError(
                f"the database {self._login.database} is no primary now: {told}",
                "correct `role:` in the Stack, or see whether another one was promoted",
            )
        await asyncio.gather(*(each.prepare() for each in self._parts))

    async def inject(self) -> None:
        """Lose it."""
        await asyncio.gather(*(each.inject() for each in self._parts))

    async def observe(self) -> Evidence:
        """Ask whoever did it, and a canary that logs in past the links."""
        looking = asyncio.gather(*(each.observe() for each in self._parts))
        seen, told = await asyncio.gather(looking, self._asked())
        gone = all(one.holds for one in seen)
        alone = told == "primary" if self.wanted.by == "partition" else told not in ("primary", "replica", "full")
        observers = dict.fromkeys(one.observer for one in seen)
        saw = "; ".join(one.saw for one in seen) + f"; {_SAID.get(told, told)}"
        return Evidence(gone and alone, ", ".join((*observers, "and a login past the links")), saw)

    async def heal(self) -> None:
        """Bring it back; one link that fails keeps no other down."""
        for one in await asyncio.gather(*(each.heal() for each in self._parts), return_exceptions=True):
            if isinstance(one, BaseException):
                raise one

    async def left(self) -> list[str]:
        """Name what of it is left."""
        return [line for lines in await asyncio.gather(*(each.left() for each in self._parts)) for line in lines]

    async def close(self) -> None:
        """Let go of observers."""
        await asyncio.gather(*(each.close() for each in self._parts))

    async def _asked(self) -> str:
        """Return `primary` or `replica` as it says itself, `full` where it has no slot, else why nobody gets in."""
        try:
            async with asyncio.timeout(KNOCK), postgres.session(self._login, "aftershock-canary") as opened:
                ((recovers,),) = await postgres.query(opened, "SELECT pg_is_in_recovery()")
                return "replica" if recovers else "primary"
        except TimeoutError:
            return f"no login within {KNOCK:g} s"
        except postgres.SlotsTakenError:
            return "full"
        except TargetError as error:
            return error.problem


_SAID = {
    "primary": "past the links it answers, and is the primary",
    "replica": "past the links it answers, as a replica",
    "full": "past the links it answers that it has no slot left",
}


def _parts(site: Site, lease: Lease, wanted: PrimaryLoss) -> list[Hold]:
    match wanted.by:
        case "kill":
            return [LostHold(site, lease)]
        case "pause":
            return [PauseHold(site, lease)]
        case "partition":
            return [DownHold(site.at(each.name), lease) for each in links_at(site.stack, site.target)]


def refuse(site: Site, wanted: PrimaryLoss) -> None:
    """Refuse what is no primary, and what could not be taken away and brought back: InputError."""
    database = database_of(site)
    if database.role != "primary":
        known = ", ".join(each.name for each in site.stack.spec.databases if each.role == "primary") or "none"
        raise InputError(f"the database {database.name} is no primary in the Stack", f"its primaries: {known}")
    if wanted.by == "partition":
        if not links_at(site.stack, site.target):
            raise InputError(
                f"no link has an end at the database {database.name}",
                f"give the Stack links with `to: {database.name}`, or take `by: kill` or `pause`",
            )
        return
    workload = _workload(site)
    if workload is None or (wanted.by == "kill" and workload.supervisor is None):
        raise InputError(
            f"the database {database.name} can't be taken down and brought back",
            f"it needs a workload {database.name} with `supervisor:` in the Stack; for pods: `pod-kill` or"
            " `workload-hold-down` of their workload",
        )


def _workload(site: Site) -> Workload | None:
    """Return the local workload that the database is: the one of its name."""
    for each in site.stack.spec.workloads:
        if each.name == site.target and (each.supervisor or each.pid_file):
            return each
    return None


async def _clock(site: Site) -> float:
    """Return this machine's clock, or that of the links' Toxiproxies: the one that is ahead."""
    told = [
        await link.clock(site.at(each.name)) for each in links_at(site.stack, site.target) if each.toxiproxy is not None
    ]
    return max([*told, time.time()] if _workload(site) else told)


def undo(site: Site, lease: Lease) -> Mapping[str, Any]:
    """Say what takes the fault away again, as data."""
    return {"operation": "restore-primary", "database": site.target, "lease": lease.name}


DB_PRIMARY_LOSS = Fault(
    name="db-primary-loss",
    summary="The database that takes the writes is killed, paused or cut off.",
    target="database",
    parameters=PrimaryLoss,
    hold=PrimaryLossHold,
    clock=_clock,
    undo=undo,
    refuse=refuse,
)
