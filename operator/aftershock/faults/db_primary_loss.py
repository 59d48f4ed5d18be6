"""`db-primary-loss`: the database that takes the writes is lost: killed, paused or cut off; the report says which, as `by`.

Landed means that nobody logs in to what is killed or paused, and that what is cut off is the primary still, for who logs in
past the links. Of a database that fails over, it is the server which takes the writes when the fault begins.
"""

from collections.abc import Mapping
from typing import Any

from aftershock.adapters import postgres
from aftershock.core.lease import Lease
from aftershock.errors import InputError
from aftershock.faults import failover, lost_part
from aftershock.faults.db_connection_exhaustion import database_of, observer_of
from aftershock.faults.fault import Fault, Parameters, Site
from aftershock.faults.lost_part import Answer, By, LostPartHold


class PrimaryLoss(Parameters, frozen=True, kw_only=True):
    """`by`: how it is lost."""

    by: By


class PrimaryLossHold(LostPartHold):
    """One primary that is lost for one lease."""

    client = "a login"

    def __init__(self, site: Site, lease: Lease, wanted: PrimaryLoss) -> None:
        super().__init__(site, lease, wanted.by)
        self._login = observer_of(database_of(site), site)

    async def ask(self) -> Answer:
        """Ask whether it is a primary. A database that has no slot left is there, too."""
        try:
            async with postgres.session(self._login, "aftershock-canary") as opened:
                ((recovers,),) = await postgres.query(opened, "SELECT pg_is_in_recovery()")
        except postgres.SlotsTakenError:
            return Answer(alive=True, sound=False, saw="past the links it answers that it has no slot left")
        kind = "a replica" if recovers else "the primary"
        return Answer(alive=True, sound=not recovers, saw=f"past the links it answers, and is {kind}")


def refuse(site: Site, wanted: PrimaryLoss) -> None:
    """Refuse what is no primary, and what could not be taken away and brought back: InputError."""
    database = database_of(site)
    if database.role != "primary":
        known = ", ".join(each.name for each in site.stack.spec.databases if each.role == "primary") or "none"
        raise InputError(f"the database {database.name} is no primary in the Stack", f"its primaries: {known}")
    if database.failover is not None:
        failover.refuse(site, database.failover, wanted.by)
    else:
        lost_part.refuse(site, wanted.by)


async def doubt(site: Site, _wanted: PrimaryLoss) -> None:
    """Ask who manages the database, if it has somebody, whether another server would take over."""
    if (managed := database_of(site).failover) is not None:
        await failover.doubt(site, managed)


def _hold(site: Site, lease: Lease, wanted: PrimaryLoss) -> LostPartHold:
    refuse(site, wanted)
    if (managed := database_of(site).failover) is not None:
        return failover.LostMemberHold(site, lease, wanted.by, managed)
    return PrimaryLossHold(site, lease, wanted)


def undo(site: Site, lease: Lease) -> Mapping[str, Any]:
    """Say what takes the fault away again, as data."""
    return {"operation": "restore-primary", "database": site.target, "lease": lease.name}


DB_PRIMARY_LOSS = Fault(
    name="db-primary-loss",
    summary="The database that takes the writes is killed, paused or cut off.",
    target="database",
    parameters=PrimaryLoss,
    hold=_hold,
    clock=lost_part.clock,
    undo=undo,
    refuse=refuse,
    alone=lambda site, wanted: lost_part.alone(site, wanted.by),
    doubt=doubt,
)
