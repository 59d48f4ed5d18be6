"""`db-lock-contention`: a table of PostgreSQL, or some of its rows, is locked, and whoever needs it waits.

`blocks: everything` locks the table so that not even a reader gets through (ACCESS EXCLUSIVE, as a migration does); `blocks:
writes` lets readers through (EXCLUSIVE); `rows` locks the first so many rows, for writers of those (FOR UPDATE). The locks are
those of one transaction, as the application's role, and the server itself rolls it back when the lease ends.

Landed means that a canary of the application's role is turned away where it asks for the same and doesn't wait, and that the
server names our session as the one that has the lock.
"""

from typing import ClassVar, Literal, LiteralString

from aftershock.adapters import postgres
from aftershock.adapters.postgres import Session
from aftershock.core.lease import Lease
from aftershock.faults import tables
from aftershock.faults.db_connection_exhaustion import clock, undo
from aftershock.faults.fault import Evidence, Fault, Parameters, Site
from aftershock.faults.leased_transaction import TransactionHold
from aftershock.model.rules.making import Cel

WAIT_MS = 2000
"""Milliseconds for which we wait for the lock: others wait behind us meanwhile."""


class LockContention(Parameters, frozen=True, kw_only=True):
    """`table`: its name, or `schema.name`. `blocks`: whom the lock of the whole table keeps out. `rows`: so many instead."""

    table: str
    blocks: Literal["everything", "writes"] = "everything"
    rows: int | None = None

    told: ClassVar[tuple[Cel, ...]] = (
        Cel("self.table.size() > 0", "table: a name"),
        Cel("!has(self.rows) || self.rows >= 1", "rows: 1 or more"),
        Cel("!has(self.rows) || !has(self.blocks)", "blocks: leave it out where `rows` are locked"),
    )

    def __post_init__(self) -> None:
        if not self.table:
            raise ValueError("table: a name")
        if self.rows is not None and self.rows < 1:
            raise ValueError("rows: 1 or more")
        if self.rows is not None and self.blocks != "everything":
            raise ValueError("blocks: leave it out where `rows` are locked")

    @property
    def what(self) -> str:
        """What is locked, for a person."""
        many = f"the first {self.rows} rows of" if self.rows else "the whole of"
        return f"{many} the table {self.table}"

    @property
    def takes(self) -> LiteralString:
        """The statement that takes the lock; `{}` is the table, the second one the number of rows."""
        if self.rows is not None:
            return "SELECT 1 FROM {} ORDER BY ctid LIMIT {} FOR UPDATE"
        if self.blocks == "everything":
            return "LOCK TABLE {} IN ACCESS EXCLUSIVE MODE"
        return "LOCK TABLE {} IN EXCLUSIVE MODE"

    @property
    def asks(self) -> LiteralString:
        """What a canary asks for, without waiting: as a reader of the table, a writer of it, or a writer of those rows."""
        if self.rows is not None:
            return "SELECT 1 FROM {} ORDER BY ctid LIMIT {} FOR UPDATE NOWAIT"
        if self.blocks == "everything":
            return "LOCK TABLE {} IN ACCESS SHARE MODE NOWAIT"
        return "LOCK TABLE {} IN ROW EXCLUSIVE MODE NOWAIT"


class LockHold(TransactionHold):
    """One table's lock for one lease."""

    def __init__(self, site: Site, lease: Lease, wanted: LockContention) -> None:
        super().__init__(site, lease)
        self.wanted = wanted
        self._table = tuple(wanted.table.split("."))

    async def prepare(self) -> None:
        """Connect the canary, and see that there is such a table, and rows to lock."""
        await super().prepare()
        await tables.known(await self.asking(), self.login.database, self.wanted.table, self.wanted.rows)

    async def work(self, opened: Session) -> None:
        """Take the lock. TargetError where somebody else has it for too long."""
        await postgres.query(opened, "SELECT set_config('lock_timeout', %s, true)", f"{WAIT_MS}")
        await postgres.perform(opened, self.wanted.takes, self._table, self.wanted.rows)

    async def observe(self) -> Evidence:
        """Have a canary ask for the same, and the server say who has it."""
        opened = await self.asking()
        await postgres.perform(opened, "BEGIN")
        try:
            refused = await postgres.turned_away(opened, self.wanted.asks, self._table, self.wanted.rows)
        finally:
            await postgres.perform(opened, "ROLLBACK")
        pids = [each.pid for each in await self.ours()]
        has = await self.asked(
            "SELECT count(*) FROM pg_locks WHERE pid = ANY(%s) AND granted AND locktype = 'relation'", pids
        )
        told = "is turned away" if refused else "gets it"
        saw = f"a canary that asks for {self.wanted.what} {told}; the server has {has} locks of our session"
        return Evidence(refused and bool(has), "a canary, and pg_locks", saw)


DB_LOCK_CONTENTION = Fault(
    name="db-lock-contention",
    summary="A table, or some of its rows, is locked, and whoever needs it waits.",
    target="database",
    parameters=LockContention,
    hold=LockHold,
    clock=clock,
    undo=undo,
    alone=lambda site, wanted: (f"the table {wanted.table} of {site.target}",),
)
