"""`db-connection-exhaustion`: PostgreSQL's slots are taken, as the application's role, until it refuses.

Each session held bears the lease's name and an `idle_session_timeout` that ends with the lease: the server itself ends it,
though we be frozen. So a held session never runs a query again: that would start its timer anew. While held, slots that
the application gives back are taken too.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar

from aftershock.adapters import postgres, secrets
from aftershock.adapters.postgres import Activity, Login, Session, SlotsTakenError
from aftershock.core.lease import Lease
from aftershock.errors import InputError, TargetError
from aftershock.faults.fault import Evidence, Fault, Parameters, Site
from aftershock.model.rules.making import Cel
from aftershock.model.stack import Database

AT_ONCE = 8
"""Logins under way at the same time."""

EVERY = 0.1
"""Seconds between two attempts to take what the application gave back."""

EARLY = 0.2
"""Seconds by which sessions end before the lease: their timers start when they are verified, not when they are opened."""

GONE = 3.0
"""Seconds that the server may take to end sessions that were closed."""


class Exhaustion(Parameters, frozen=True, kw_only=True):
    """`leave`: slots left free, beyond the sessions that others held at the time. `role`: the DSN's user, unless given;
    another one logs in with the DSN's password.
    """

    leave: int = 0
    role: str | None = None

    told: ClassVar[tuple[Cel, ...]] = (Cel("!has(self.leave) || self.leave >= 0", "leave: 0 or more"),)

    def __post_init__(self) -> None:
        if self.leave < 0:
            raise ValueError("leave: 0 or more")


class ExhaustionHold:
    """The sessions of one lease."""

    def __init__(self, site: Site, lease: Lease, wanted: Exhaustion) -> None:
        self.lease, self.wanted = lease, wanted
        database = database_of(site)
        dsn = secrets.read(database.dsn, site.folder)
        self.login = Login(database.name, dsn, wanted.role)
        self._application = Login(database.name, dsn).user
        self._collateral = site.collateral
        self._watch = observer_of(database, site)
        self._observer: Session | None = None
        self._ahead = 0.0  # the server's clock minus our monotonic one
        self._held: list[Session] = []
        self._others: set[int] = set()  # process ids of sessions that were there before
        self._slots = 0
        self._keeping: asyncio.Task[None] | None = None

    async def prepare(self) -> None:
        """Connect the observer while there are slots, and see that it can see."""
        if self._observer is None:
            self._observer = await postgres.connect(self._watch, postgres.OBSERVER)
        await postgres.verify(self._observer, self._watch)
        if not await postgres.sees(self._observer, self.login.user):
            raise InputError(
                f"the observer {self._watch.user} can't see what sessions of the role {self.login.user} are called",
                f"give the database an `observer:` that may (GRANT pg_monitor TO …), or correct `role`: is there a role"
                f" {self.login.user}?",
            )
        if self.wanted.leave:
            await self._refuse_to_leave_all(self._observer)
        if not self._collateral:
            await self._refuse_collateral()
        self._ahead = await postgres.now(self._observer) - time.monotonic()

    async def _refuse_to_leave_all(self, observer: Session) -> None:
        """Raise InputError where `leave` is as much as there is: nothing would be taken, and only the canaries would crowd."""
        room = await postgres.room(observer, self.login.user)
        if self.wanted.leave >= room:
            raise InputError(
                f"`leave: {self.wanted.leave}` would leave all there is: {self.login.user} could have {room} more slots of"
                f" {self.login.database} now",
                f"leave {room - 1} at the most" if room > 1 else "leave it out, and every slot is taken",
            )

    async def _refuse_collateral(self) -> None:
        """Raise InputError where the server has clients that belong to nobody in the Stack: they would be refused too.

        Superusers have slots of their own, which no exhaustion takes. A session that is still logging in is nobody's yet.
        """
        own = {
            self.login.user,
            self._application,
            self._watch.user,
            *await postgres.superusers(await self._observing()),
        }
        strangers = sorted({each.role for each in await self._activity() if each.role} - own)
        if strangers:
            raise InputError(
                f"the server of {self.login.database} also serves clients that the stack doesn't name:"
                f" {', '.join(strangers)}",
                "they would be refused too; if that is meant, say `allow: {collateral: true}` in both Stack and Experiment",
            )

    async def inject(self) -> None:
        """Take every slot, give `leave` back, and keep it so."""
        if self._keeping is None:
            await self._fill()
            activity = await self._activity()
            self._others = {each.pid for each in activity if each.name != self.lease.name}
            self._slots = len(activity)
            await asyncio.gather(*(postgres.close(self._held.pop()) for _ in range(self._leave())))
            self._keeping = asyncio.create_task(self._keep())

    async def observe(self) -> Evidence:
        """Count our sessions on the server, and have a canary try to log in."""
        activity = await self._activity()
        ours = sum(each.name == self.lease.name for each in activity)
        refusal = await self._canary()
        tried = self.wanted.leave + 1
        asked = "a new login" if tried == 1 else f"{tried} new logins at once"
        saw = f"{ours} slots are held by sessions of this lease; {asked} as {self.login.user}: {refusal or 'accepted'}"
        return Evidence(ours > 0 and refusal is not None, "pg_stat_activity and a canary that logs in", saw)

    async def heal(self) -> None:
        """Close our sessions, and wait until the server has ended them."""
        await self._stop_keeping()
        held, self._held = self._held, []
        await asyncio.gather(*(postgres.close(each) for each in held))
        end = time.monotonic() + GONE
        while ours := await self._ours():
            if time.monotonic() > end - GONE / 2:
                await postgres.terminate(await self._observing(), [each.pid for each in ours])
            if time.monotonic() > end:
                raise TargetError(
                    f"{len(ours)} sessions of {self.lease.name} don't end", "the server ends them by itself"
                )
            await asyncio.sleep(0.02)

    async def left(self) -> list[str]:
        """Name our sessions that the server still has."""
        return [f"session {each.pid} of the database {self.login.database}: {each.name}" for each in await self._ours()]

    async def close(self) -> None:
        """Let go of everything."""
        await self._stop_keeping()
        held, self._held = self._held, []
        observer, self._observer = self._observer, None
        await asyncio.gather(*(postgres.close(each) for each in [*held, *([observer] if observer else [])]))

    def _leave(self) -> int:
        return min(self.wanted.leave, len(self._held))

    async def _fill(self) -> None:
        """Log in until two whole rounds were refused: one could be a slot that was just being given back."""
        refused = 0
        while refused < 2:
            taken = await self._take(AT_ONCE)
            refused = 0 if taken else refused + 1

    async def _take(self, count: int) -> int:
        """Try to take `count` slots at once; return how many were to be had."""
        results = await asyncio.gather(*(self._log_in() for _ in range(count)), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, SlotsTakenError):
                raise result
        return sum(not isinstance(result, BaseException) for result in results)

    async def _log_in(self) -> None:
        """Hold one more session, after the server has confirmed that it will end it."""
        milliseconds = int((self.lease.expires - EARLY - self._ahead - time.monotonic()) * 1000)
        milliseconds -= milliseconds % 1000 == 0  # so that the server tells it in milliseconds
        if milliseconds < 1:
            raise TargetError(f"the lease {self.lease.name} is over", "nothing to do: it ended by itself")
        settings = {"idle_session_timeout": f"{milliseconds}"}
        opened = await postgres.connect(self.login, self.lease.name, settings)
        self._held.append(opened)
        try:
            await postgres.verify(opened, self.login, milliseconds)
        except TargetError:
            self._held.remove(opened)
            await postgres.close(opened)
            raise

    async def _keep(self) -> None:
        """Take what the application gives back, until the lease is over. A failure shows in the evidence."""
        while time.monotonic() + self._ahead < self.lease.expires - 2 * EARLY:
            with suppress(TargetError):
                await self._take(await self._missing())
            await asyncio.sleep(EVERY)

    async def _missing(self) -> int:
        """Return how many slots to try: with `leave`, as many as were given back by those who were there before."""
        if self.wanted.leave == 0:
            return 2
        there = {each.pid for each in await self._activity()}
        return max(0, self._slots - self.wanted.leave - len(self._others & there) - len(self._held))

    async def _stop_keeping(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._keeping
            self._keeping = None

    async def _canary(self) -> str | None:
        """Return what a refused login was told; None if none of leave + 1 at once was refused.

        Asked three times at most: in the instant in which somebody gives a slot back, a canary may well get it.
        """
        for _ in range(3):
            refusal = await self._try_logins(self.wanted.leave + 1)
            if refusal is not None:
                return refusal
            if not self._held:
                break
            await asyncio.sleep(EVERY)
        return None

    async def _try_logins(self, count: int) -> str | None:
        tries = (postgres.connect(self.login, "aftershock-canary") for _ in range(count))
        results = await asyncio.gather(*tries, return_exceptions=True)
        await asyncio.gather(*(postgres.close(each) for each in results if not isinstance(each, BaseException)))
        refusals = [each for each in results if isinstance(each, SlotsTakenError)]
        for each in results:
            if isinstance(each, BaseException) and not isinstance(each, SlotsTakenError):
                raise each
        if not refusals:
            return None
        fitted = f"{count - len(refusals)} fitted, " if count > 1 else ""
        return f"{fitted}refused: {refusals[0].problem}"

    async def _ours(self) -> list[Activity]:
        return [each for each in await self._activity() if each.name == self.lease.name]

    async def _activity(self) -> list[Activity]:
        return await postgres.activity(await self._observing())

    async def _observing(self) -> Session:
        if self._observer is None or self._observer.closed:
            self._observer = await postgres.connect(self._watch, postgres.OBSERVER)
        return self._observer


def database_of(site: Site) -> Database:
    """Return the database that is the site's target. InputError if the stack names none such."""
    for database in site.stack.spec.databases:
        if database.name == site.target:
            return database
    known = ", ".join(each.name for each in site.stack.spec.databases) or "none"
    raise InputError(f"the stack has no database {site.target}", f"its databases: {known}")


def observer_of(database: Database, site: Site) -> Login:
    """Return how the observer logs in: by its own DSN, or else as the application."""
    return Login(database.name, secrets.read(database.observer or database.dsn, site.folder))


async def clock(site: Site) -> float:
    """Return the server's clock, seconds since the epoch."""
    async with postgres.session(observer_of(database_of(site), site), postgres.OBSERVER) as opened:
        return await postgres.now(opened)


def undo(site: Site, lease: Lease) -> Mapping[str, Any]:
    """Say what takes the fault away again, as data."""
    return {"operation": "terminate-sessions", "database": site.target, "lease": lease.name}


DB_CONNECTION_EXHAUSTION = Fault(
    name="db-connection-exhaustion",
    summary="PostgreSQL's connection slots are taken until it refuses.",
    target="database",
    parameters=Exhaustion,
    hold=ExhaustionHold,
    clock=clock,
    undo=undo,
)
