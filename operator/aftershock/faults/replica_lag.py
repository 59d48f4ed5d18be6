"""`replica-lag`: a replica falls behind its primary, and whoever reads from it sees what is no longer so.

`by: replay` has the replica stop replaying what it gets. One statement on the replica pauses the replay, sleeps until the lease
is over and resumes it: the server itself ends the fault, though we be dead. A second session sleeps beside it and resumes as
well, should somebody end the first. The replica falls behind as fast as time passes, and is `lag` behind after that long.

`by: link` delays what comes from the primary by `lag`, by a toxic on the link between the two: the replica stays that far
behind. `ramp` is the time in which the delay grows to that.

Landed means three things at once: heartbeats written on the primary are `lag` old before they are on the replica; there is WAL
that it lacks; and a reader who logs in to the replica as the application does not see what was committed so long ago.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar, Literal, Protocol

from aftershock.adapters import postgres, secrets
from aftershock.adapters.postgres import Login, Session
from aftershock.adapters.threads import within
from aftershock.adapters.toxiproxy import Toxic
from aftershock.core.heartbeats import Heartbeat, Heartbeats, visible
from aftershock.core.lease import Lease
from aftershock.errors import InputError, TargetError
from aftershock.faults.db_connection_exhaustion import clock, database_of, observer_of
from aftershock.faults.fault import Evidence, Fault, Parameters, Site
from aftershock.faults.link import PATIENCE, LinkHold, milliseconds
from aftershock.model.rules import cel
from aftershock.model.rules.making import Cel
from aftershock.model.stack import Database
from aftershock.model.units import Duration

EVERY = 0.2
"""Seconds between two heartbeats."""

EARLY = 0.2
"""Seconds by which the server resumes before the lease ends."""

ENOUGH = 0.9
"""The share of `lag` from which on the replica counts as that far behind: heartbeats come with gaps."""

STEP = 0.5
"""Seconds between two steps of a ramp."""

PAUSED = 3.0
"""Seconds that the replica may take to pause: it finishes what it is replaying."""

LONGEST = Duration(50)
"""By the link: a receiver that hears nothing for a minute gives up its connection (`wal_receiver_timeout`)."""


class ReplicaLag(Parameters, frozen=True, kw_only=True):
    """`lag`: how far behind, at least; a second or more. `ramp`: by the link, in which time the delay grows to that."""

    lag: Duration = Duration(10)
    by: Literal["replay", "link"] = "replay"
    ramp: Duration = Duration(0)

    told: ClassVar[tuple[Cel, ...]] = (
        Cel(f"!has(self.lag) || {cel.duration('self.lag')} >= duration('1s')", "lag: 1 s or more"),
        Cel("(has(self.by) && self.by == 'link') || !has(self.ramp)", "ramp: only `by: link`"),
        Cel(
            f"!has(self.by) || self.by != 'link' || !has(self.lag) || {cel.duration('self.lag')} <= duration('50s')",
            "lag: 50 s at the most by the link",
        ),
    )

    def __post_init__(self) -> None:
        if self.lag < 1:
            raise ValueError("lag: 1 s or more: less can't be told from what is usual")
        if self.by == "link" and self.lag > LONGEST:
            raise ValueError("lag: 50 s at the most by the link: beyond, the replica gives its connection up")
        if self.by == "replay" and self.ramp:
            raise ValueError("ramp: only `by: link`; a replica that doesn't replay falls behind as time passes")


class _Way(Protocol):
    """How a replica is held back."""

    async def prepare(self) -> None: ...

    async def inject(self) -> None: ...

    async def held(self) -> tuple[bool, str]: ...

    async def heal(self) -> None: ...

    async def left(self) -> list[str]: ...

    async def close(self) -> None: ...


class ReplicaLagHold:
    """One replica that is held back for one lease."""

    def __init__(self, site: Site, lease: Lease, wanted: ReplicaLag) -> None:
        replica, primary = both(site)
        self.wanted, self.settles = wanted, float(wanted.lag + wanted.ramp)
        self._writer = observer_of(primary, site)
        self._reader = Login(replica.name, secrets.read(replica.dsn, site.folder))
        self._way: _Way = (
            Replay(observer_of(replica, site), lease)
            if wanted.by == "replay"
            else Delay(site.at(link_between(site, replica, primary)), lease, wanted)
        )
        self._beats = Heartbeats()
        self._writing: Session | None = None
        self._reading: Session | None = None
        self._beating: asyncio.Task[None] | None = None

    async def prepare(self) -> None:
        """Connect to both servers, and begin with the heartbeats."""
        self._reading = self._reading or await postgres.connect(self._reader, "aftershock-canary")
        ((recovers,),) = await postgres.query(self._reading, "SELECT pg_is_in_recovery()")
        if not recovers:
            raise InputError(
                f"the database {self._reader.database} is no replica: it takes writes itself",
                "correct `role:` and `of:` in the Stack, or see whether it was promoted",
            )
        await self._way.prepare()
        await self._beat()
        self._beating = self._beating or asyncio.create_task(self._beat_on())

    async def inject(self) -> None:
        """Hold it back."""
        await self._way.inject()

    async def observe(self) -> Evidence:
        """Compare what was written on the primary with what a reader of the replica sees."""
        await self._beat()
        if self._reading is None or self._reading.closed:
            self._reading = await postgres.connect(self._reader, "aftershock-canary")
        ((replayed, snapshot),) = await postgres.query(self._reading, REPLAYED)
        now, beat = time.monotonic(), self._beats.oldest(int(replayed))
        lag, behind = self._beats.lag(int(replayed), now), self._beats.behind(int(replayed))
        stale = beat is not None and not visible(beat.transaction, str(snapshot))
        held, said = await self._way.held()
        told = (
            f"a reader doesn't see what was committed {lag:.1f} s ago" if stale else "a reader sees what was committed"
        )
        far = lag >= ENOUGH * self.wanted.lag and behind > 0 and stale
        saw = f"{self._reader.database} is {lag:.1f} s and {behind} bytes behind; {told}; {said}"
        return Evidence(far and held, "heartbeats, and a reader of the replica", saw)

    async def heal(self) -> None:
        """Let it catch up."""
        await self._way.heal()

    async def left(self) -> list[str]:
        """Name what still holds it back."""
        return await self._way.left()

    async def close(self) -> None:
        """Let go of everything."""
        beating, self._beating = self._beating, None
        if beating is not None:
            beating.cancel()
            await asyncio.wait({beating})
        opened = [each for each in (self._writing, self._reading) if each is not None]
        self._writing = self._reading = None
        await asyncio.gather(*(postgres.close(each) for each in opened), self._way.close())

    async def _beat(self) -> None:
        """Write a heartbeat: a transaction of its own, which needs no table."""
        if self._writing is None or self._writing.closed:
            self._writing = await postgres.connect(self._writer, postgres.OBSERVER)
        ((transaction, _),) = await postgres.query(self._writing, BEAT)
        when = time.monotonic()
        ((place,),) = await postgres.query(self._writing, WRITTEN)
        self._beats.wrote(Heartbeat(int(place), when, int(transaction)))

    async def _beat_on(self) -> None:
        """Go on with it. A primary that does not take one shows in the evidence."""
        while True:
            await asyncio.sleep(EVERY)
            with suppress(TargetError):
                await self._beat()


BEAT = "SELECT txid_current(), pg_logical_emit_message(true, 'aftershock', 'heartbeat')::text"
WRITTEN = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint"
REPLAYED = "SELECT (coalesce(pg_last_wal_replay_lsn(), '0/0') - '0/0')::bigint, txid_current_snapshot()::text"


class Replay:
    """The replay of a replica, paused by the server for as long as a lease."""

    def __init__(self, login: Login, lease: Lease) -> None:
        self.login, self.lease = login, lease
        self._observer: Session | None = None
        self._holding: list[tuple[Session, asyncio.Task[None]]] = []

    async def prepare(self) -> None:
        """See that nobody else has paused it, and that we may."""
        observer = await self._observing()
        ((may,),) = await postgres.query(observer, "SELECT has_function_privilege('pg_wal_replay_pause()', 'EXECUTE')")
        if not may:
            raise InputError(
                f"the role {self.login.user} may not pause the replay of the database {self.login.database}",
                "give it an `observer:` that may (a superuser, or GRANT EXECUTE ON FUNCTION pg_wal_replay_pause(),"
                " pg_wal_replay_resume() TO …, on the primary)",
            )
        if (state := await postgres.replay_state(observer)) != "not paused":
            raise TargetError(
                f"the replay of the database {self.login.database} is {state} already",
                "somebody else holds it: SELECT pg_wal_replay_resume()",
            )

    async def inject(self) -> None:
        """Have the server pause it, and resume it by itself; wait until it has paused."""
        if self._holding:
            return
        left = self.lease.expires - EARLY - await postgres.now(await self._observing())
        if left <= 0:
            raise TargetError(f"the lease {self.lease.name} is over", "nothing to do: it ended by itself")
        for pause in (True, False):
            opened = await postgres.connect(self.login, self.lease.name, {"statement_timeout": "0"})
            task = asyncio.create_task(postgres.execute(opened, _statement(left, pause=pause)))
            self._holding.append((opened, task))
        end = time.monotonic() + PAUSED
        while await postgres.replay_state(await self._observing()) != "paused":
            if (failed := next((t for _, t in self._holding if t.done()), None)) is not None:
                await failed
            if time.monotonic() > end:
                raise TargetError(
                    f"the database {self.login.database} does not pause its replay", "see the server's log"
                )
            await asyncio.sleep(0.02)

    async def held(self) -> tuple[bool, str]:
        """Ask whether it is paused."""
        state = await postgres.replay_state(await self._observing())
        return state == "paused", f"its replay is {state}"

    async def heal(self) -> None:
        """Resume, and then end the sessions: one that is ended can't resume, and one that is not would do so later."""
        observer = await self._observing()
        await postgres.resume_replay(observer)
        ours = [each.pid for each in await postgres.activity(observer) if each.name == self.lease.name]
        await postgres.terminate(observer, ours)
        end = time.monotonic() + PAUSED
        while left := await self.left():
            if time.monotonic() > end:
                raise TargetError("; ".join(left), "the server ends it by itself with the lease")
            await asyncio.sleep(0.02)
        await self._let_go()

    async def left(self) -> list[str]:
        """Name our sessions, and the replay if it is not going on."""
        observer = await self._observing()
        named = f"of the database {self.login.database}: {self.lease.name}"
        found = [
            f"session {each.pid} {named}" for each in await postgres.activity(observer) if each.name == self.lease.name
        ]
        ((recovers,),) = await postgres.query(observer, "SELECT pg_is_in_recovery()")
        if recovers and (state := await postgres.replay_state(observer)) != "not paused":
            found.append(f"the replay of the database {self.login.database} is {state}")
        return found

    async def close(self) -> None:
        """Let go of the connections. What was not healed the server ends."""
        await self._let_go()
        observer, self._observer = self._observer, None
        if observer is not None:
            await postgres.close(observer)

    async def _let_go(self) -> None:
        holding, self._holding = self._holding, []
        for opened, task in holding:
            task.cancel()
            await asyncio.wait({task})
            with suppress(asyncio.CancelledError):
                task.exception()
            await postgres.close(opened)

    async def _observing(self) -> Session:
        if self._observer is None or self._observer.closed:
            self._observer = await postgres.connect(self.login, postgres.OBSERVER)
        return self._observer


def _statement(seconds: float, *, pause: bool) -> str:
    """Return one statement that holds the replay for so long, and resumes it also where somebody cancels it."""
    first = "PERFORM pg_wal_replay_pause(); " if pause else ""
    return (
        f"DO $$ BEGIN {first}PERFORM pg_sleep({seconds:.3f}); PERFORM pg_wal_replay_resume();"
        " EXCEPTION WHEN query_canceled THEN PERFORM pg_wal_replay_resume(); END $$"
    )


class Delay(LinkHold):
    """The link between a primary and its replica, slowed down by a toxic."""

    def __init__(self, site: Site, lease: Lease, wanted: ReplicaLag) -> None:
        super().__init__(site, lease, talks=False)
        self.wanted = wanted
        self._name = lease.of("downstream").name
        self._growing: asyncio.Task[None] | None = None

    async def inject(self) -> None:
        """Add the toxic; where it is to grow, have it grow."""
        proxy = await self.proxy()
        first = 0.0 if self.wanted.ramp else 1.0
        await within(PATIENCE, self.server.add_toxic, proxy, self._toxic(first))
        await self.remember()
        if self.wanted.ramp and self._growing is None:
            self._growing = asyncio.create_task(self._grow(proxy))

    async def held(self) -> tuple[bool, str]:
        """Ask Toxiproxy whether it has it."""
        listed = await within(PATIENCE, self.server.toxics, await self.proxy())
        there = self._name in listed
        return there, f"Toxiproxy {'lists' if there else 'does not list'} {self._name}"

    async def heal(self) -> None:
        """Remove it."""
        await self._stop()
        await within(PATIENCE, self.server.remove_toxic, await self.proxy(), self._name)

    async def close(self) -> None:
        """Let go of Toxiproxy."""
        await self._stop()
        await super().close()

    def _toxic(self, share: float) -> Toxic:
        """Return it with so much of its delay. Heartbeats come with gaps: so much more makes `lag` the least."""
        latency = round(milliseconds(self.wanted.lag) * share + EVERY * 1000 * share)
        return Toxic(self._name, "latency", "downstream", 1.0, {"latency": latency, "jitter": 0})

    async def _grow(self, proxy: str) -> None:
        began, share = time.monotonic(), 0.0
        while share < 1:
            await asyncio.sleep(STEP)
            share = min(1.0, (time.monotonic() - began) / float(self.wanted.ramp))
            with suppress(TargetError):  # shows in the evidence
                await within(PATIENCE, self.server.change_toxic, proxy, self._toxic(share))

    async def _stop(self) -> None:
        growing, self._growing = self._growing, None
        if growing is not None:
            growing.cancel()
            await asyncio.wait({growing})


def both(site: Site) -> tuple[Database, Database]:
    """Return the replica that is the site's target, and its primary. InputError where the stack has no such."""
    replica = database_of(site)
    primary = next((each for each in site.stack.spec.databases if each.name == replica.of), None)
    if replica.role != "replica" or primary is None:
        known = ", ".join(each.name for each in site.stack.spec.databases if each.role == "replica") or "none"
        raise InputError(
            f"the database {replica.name} is no replica in the Stack",
            f"name one with `role: replica` and `of:`; those are: {known}",
        )
    return replica, primary


def link_between(site: Site, replica: Database, primary: Database) -> str:
    """Return the name of the link through which a replica follows its primary. InputError where there is none."""
    ends = (replica.name, primary.name)
    for link in site.stack.spec.links:
        if (link.from_, link.to) == ends:
            return link.name
    raise InputError(f"no link leads from {replica.name} to {primary.name}", "give the Stack one, or take `by: replay`")


def refuse(site: Site, wanted: ReplicaLag) -> None:
    """Refuse what is no replica, and what follows its primary through no link: InputError."""
    replica, primary = both(site)
    if wanted.by == "link":
        link_between(site, replica, primary)


def undo(site: Site, lease: Lease) -> Mapping[str, Any]:
    """Say what takes the fault away again, as data."""
    return {"operation": "resume-replay", "database": site.target, "lease": lease.name}


REPLICA_LAG = Fault(
    name="replica-lag",
    summary="A replica falls behind its primary.",
    target="database",
    parameters=ReplicaLag,
    hold=ReplicaLagHold,
    clock=clock,
    undo=undo,
    refuse=refuse,
)
