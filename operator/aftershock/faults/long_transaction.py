"""`long-transaction`: a transaction stays open, as one does that somebody forgot: nothing that it may see can be cleaned up.

It has a number of its own and a snapshot, as the application's role. Dead rows stay, tables grow, and what is older than it
can't be frozen. The server itself rolls it back when the lease ends.

Landed means that the server's horizon stands still at our transaction while others come and go, as another session sees it.
"""

from aftershock.adapters import postgres
from aftershock.adapters.postgres import Session
from aftershock.core.lease import Lease
from aftershock.faults.db_connection_exhaustion import clock, undo
from aftershock.faults.fault import Evidence, Fault, Parameters, Site
from aftershock.faults.leased_transaction import TransactionHold


class LongTransaction(Parameters, frozen=True, kw_only=True):
    """There is nothing to choose."""


class LongTransactionHold(TransactionHold):
    """One transaction for one lease."""

    def __init__(self, site: Site, lease: Lease, _wanted: LongTransaction) -> None:
        super().__init__(site, lease)
        self._number = 0

    async def work(self, opened: Session) -> None:
        """Have it see something, and get a number."""
        await postgres.perform(opened, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        ((number,),) = await postgres.query(opened, "SELECT txid_current()")
        self._number = int(number)

    async def observe(self) -> Evidence:
        """Ask how far back the server has to keep what is gone."""
        horizon = int(str(await self.asked("SELECT txid_snapshot_xmin(txid_current_snapshot())")))
        ours = await self.ours()
        stands = bool(ours) and 0 < horizon <= self._number
        age = await self.asked(
            "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8 FROM pg_stat_activity"
            " WHERE pid = ANY(%s)",
            [each.pid for each in ours],
        )
        saw = f"{len(ours)} transactions of this lease are open, for {float(str(age)):.1f} s; the horizon is {horizon}"
        saw += f", and ours is {self._number}" if self._number else ""
        return Evidence(stands, "pg_stat_activity, and the snapshot of another session", saw)


LONG_TRANSACTION = Fault(
    name="long-transaction",
    summary="A transaction stays open, and nothing that it may see can be cleaned up.",
    target="database",
    parameters=LongTransaction,
    hold=LongTransactionHold,
    clock=clock,
    undo=undo,
)
