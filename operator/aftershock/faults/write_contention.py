"""`write-contention`: several writers want the same rows all the time, and everybody else who writes them queues behind.

Each is a session of the application's role that locks the rows (FOR UPDATE), keeps them for a moment, commits, and begins
again: one statement each, which the server goes through by itself until the lease ends, whatever becomes of us; then it ends
the session too, as one that is idle. No row is changed.

Landed means that the server has all of these sessions at work, and that a canary of the application's role which asks for the
same rows, and doesn't wait, is turned away nearly every time.
"""

import asyncio
from collections.abc import Mapping
from typing import ClassVar

from aftershock.adapters import postgres
from aftershock.adapters.postgres import Session
from aftershock.core.lease import Lease
from aftershock.core.wording import counted
from aftershock.faults import tables
from aftershock.faults.db_connection_exhaustion import clock, undo
from aftershock.faults.fault import Evidence, Fault, Parameters, Site
from aftershock.faults.leased_statements import StatementsHold, again
from aftershock.model.rules import cel
from aftershock.model.rules.making import Cel
from aftershock.model.units import Duration

ASKS, ENOUGH, APART = 3, 2, 0.05
"""How often the canary asks at each look, how often it has to be turned away, and the seconds between two tries."""

LONGEST = Duration(10)
_ROWS = "SELECT 1 FROM {} ORDER BY ctid LIMIT {} FOR UPDATE NOWAIT"


class WriteContention(Parameters, frozen=True, kw_only=True):
    """`table`: its name, or `schema.name`. `rows`: the first so many of it are fought for. `sessions`: by so many. `hold`: for
    how long each keeps them.
    """

    table: str
    rows: int = 1
    sessions: int = 4
    hold: Duration = Duration(0.2)

    told: ClassVar[tuple[Cel, ...]] = (
        Cel("self.table.size() > 0", "table: a name"),
        Cel("!has(self.rows) || self.rows >= 1", "rows: 1 or more"),
        Cel("!has(self.sessions) || (self.sessions >= 2 && self.sessions <= 100)", "sessions: 2 to 100"),
        Cel(
            f"!has(self.hold) || ({cel.duration('self.hold')} >= duration('10ms')"
            f" && {cel.duration('self.hold')} <= duration('10s'))",
            "hold: 10ms to 10s",
        ),
    )

    def __post_init__(self) -> None:
        if not self.table:
            raise ValueError("table: a name")
        if self.rows < 1:
            raise ValueError("rows: 1 or more")
        if not 2 <= self.sessions <= 100:
            raise ValueError("sessions: 2 to 100: one alone fights with nobody")
        if not 0.01 <= self.hold <= LONGEST:
            raise ValueError("hold: 10ms to 10s")


class ContentionHold(StatementsHold):
    """The writers of one lease."""

    def __init__(self, site: Site, lease: Lease, wanted: WriteContention) -> None:
        super().__init__(site, lease)
        self.wanted, self.count = wanted, wanted.sessions

    def statement(self, until: float) -> str:
        """Lock the rows, keep them for a moment, and let go, again and again."""
        lock = f"SELECT 1 FROM %s ORDER BY ctid LIMIT {self.wanted.rows:d} FOR UPDATE"  # noqa: S608  # the table is a value
        take = f"EXECUTE format('{lock}', current_setting('aftershock.table')::regclass);"
        return again(until, f"{take} PERFORM pg_sleep({float(self.wanted.hold):.3f});")

    def values(self) -> Mapping[str, str]:
        """Say which table."""
        return {"table": tables.quoted(self.wanted.table)}

    async def prepare(self) -> None:
        """Connect the canary, and see that there is such a table, with so many rows."""
        await super().prepare()
        await tables.known(await self.asking(), self.login.database, self.wanted.table, self.wanted.rows)

    async def observe(self) -> Evidence:
        """Count the sessions that are at work, and have the canary ask a few times."""
        canary = await self.asking()
        refused = 0
        for n in range(ASKS):
            await asyncio.sleep(APART if n else 0)
            refused += await self._refused(canary)
        working = await self.working()
        saw = f"a canary that asks for the same {counted(self.wanted.rows, 'row')} is turned away {refused} of {ASKS} times"
        saw += f"; {working} of {self.wanted.sessions} sessions are at work"
        return Evidence(refused >= ENOUGH and working == self.wanted.sessions, "a canary, and pg_stat_activity", saw)

    async def _refused(self, canary: Session) -> bool:
        await postgres.perform(canary, "BEGIN")
        try:
            return await postgres.turned_away(canary, _ROWS, self.wanted.table.split("."), self.wanted.rows)
        finally:
            await postgres.perform(canary, "ROLLBACK")


WRITE_CONTENTION = Fault(
    name="write-contention",
    summary="Several writers want the same rows all the time, and everybody else who writes them queues behind.",
    target="database",
    parameters=WriteContention,
    hold=ContentionHold,
    clock=clock,
    undo=undo,
    alone=lambda site, wanted: (f"the table {wanted.table} of {site.target}",),
)
