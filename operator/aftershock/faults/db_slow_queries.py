"""`db-slow-queries`: everybody's queries are slow, since complex queries of somebody keep the server busy.

Each of `sessions` sessions of the application's role goes through one statement on the server, which reads the whole table
again and again and computes something of every row; without a `table` it only computes. The server ends it by its own clock
with the lease, whatever becomes of us. Nothing is written, locked or kept from being cleaned up, and each session has one
processor busy at the most.

Landed means that the server has all of these sessions at work, and that a canary of the application's role, whose query is
always the same small computation, waits `slowdown` times as long for it as before, by the server's own clock: the middle one
of several now, and of several at the slowest of the looks before. A server with more processors than that has room for both,
and nothing has landed: raise `sessions`.
"""

import time
from collections.abc import Mapping
from statistics import median
from typing import ClassVar

from aftershock.adapters import postgres
from aftershock.core.lease import Lease
from aftershock.errors import TargetError
from aftershock.faults import tables
from aftershock.faults.db_connection_exhaustion import clock, undo
from aftershock.faults.fault import Evidence, Fault, Parameters, Site
from aftershock.faults.leased_statements import StatementsHold, again
from aftershock.model.rules.making import Cel

BEFORE, NOW = 9, 5
"""How often the canary asks before the injection, and at each look."""

ENOUGH = 1.0
"""Seconds after which a look has the canary ask no more."""

PATIENCE_MS = 2500
"""Milliseconds after which the server ends a canary's query: it was slow enough."""

_COMPUTE = "PERFORM count(md5(n::text)) FROM generate_series(1, 20000) AS n;"
"""Some 10 ms, so that the loop around it ends on time."""

_READ = "EXECUTE format('SELECT count(md5(t::text)) FROM %s AS t', current_setting('aftershock.table')::regclass);"


class SlowQueries(Parameters, frozen=True, kw_only=True):
    """`sessions`: so many complex queries at the same time. `table`: what they read, its name or `schema.name`. `slowdown`: how
    many times as long as before a query has to take.
    """

    sessions: int = 4
    table: str | None = None
    slowdown: float = 1.5

    told: ClassVar[tuple[Cel, ...]] = (
        Cel("!has(self.sessions) || (self.sessions >= 1 && self.sessions <= 100)", "sessions: 1 to 100"),
        Cel("!has(self.table) || self.table.size() > 0", "table: a name"),
        Cel("!has(self.slowdown) || self.slowdown > 1.0", "slowdown: more than 1"),
    )

    def __post_init__(self) -> None:
        if not 1 <= self.sessions <= 100:
            raise ValueError("sessions: 1 to 100")
        if self.table == "":
            raise ValueError("table: a name")
        if self.slowdown <= 1:
            raise ValueError("slowdown: more than 1")


class SlowQueriesHold(StatementsHold):
    """The complex queries of one lease."""

    settings: Mapping[str, str] = {"max_parallel_workers_per_gather": "0"}
    canary_settings: Mapping[str, str] = {"statement_timeout": f"{PATIENCE_MS}"}

    def __init__(self, site: Site, lease: Lease, wanted: SlowQueries) -> None:
        super().__init__(site, lease)
        self.wanted, self.count = wanted, wanted.sessions
        self._usual, self._before = 0.0, True

    def statement(self, until: float) -> str:
        """Read and compute, again and again."""
        return again(until, _COMPUTE if self.wanted.table is None else _READ)

    def values(self) -> Mapping[str, str]:
        """Say which table."""
        return {} if self.wanted.table is None else {"table": tables.quoted(self.wanted.table)}

    async def prepare(self) -> None:
        """Connect the canary, see that the table can be read, and how long a query takes."""
        await super().prepare()
        canary = await self.asking()
        if self.wanted.table is not None:
            await tables.known(canary, self.login.database, self.wanted.table, None)
            await postgres.count(canary, self.wanted.table.split("."), 1)
        self._usual = await self._took(BEFORE)

    async def inject(self) -> None:
        """Set them going; what the canary meets from now on is no measure any more."""
        self._before = False
        await super().inject()

    async def observe(self) -> Evidence:
        """Have the canary ask a few times, and count the sessions that are at work."""
        if not self._usual:
            raise TargetError("the canary doesn't know yet how long its query takes", "call prepare() first")
        took = await self._took(NOW)
        if self._before:  # a server that is slow at times without us is not slow by us
            self._usual = max(self._usual, took)
        working = await self.working()
        times, wanted = took / self._usual, self.wanted
        saw = (
            f"a canary's query takes {took * 1000:.0f} ms, {times:.1f} times the {self._usual * 1000:.0f} ms of before"
        )
        saw += f"; {working} of {wanted.sessions} sessions are at work"
        if working == wanted.sessions and times < wanted.slowdown:
            saw += f", which leaves the server room: for {wanted.slowdown:g} times as long, raise `sessions`"
        slow = times >= wanted.slowdown and working == wanted.sessions
        return Evidence(slow, "a canary, and pg_stat_activity", saw)

    async def _took(self, asks: int) -> float:
        """Return the seconds that the canary's query takes: the median, which one that was unlucky doesn't move."""
        canary, begun = await self.asking(), time.monotonic()
        took = [await postgres.work(canary, PATIENCE_MS / 1000)]
        while len(took) < asks and time.monotonic() < begun + ENOUGH:
            took.append(await postgres.work(canary, PATIENCE_MS / 1000))
        return median(took)


DB_SLOW_QUERIES = Fault(
    name="db-slow-queries",
    summary="Queries are slow, since complex queries of somebody keep the server busy.",
    target="database",
    parameters=SlowQueries,
    hold=SlowQueriesHold,
    clock=clock,
    undo=undo,
)
