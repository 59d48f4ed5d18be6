"""Sessions of a database that bear a lease's name and that the server itself ends with it: what faults inside a database share.

Either one transaction that is held open (`leased_transaction`), or statements that go on by themselves on the server
(`leased_statements`).
"""

import asyncio
import time
from collections.abc import Mapping
from typing import LiteralString

from aftershock.adapters import postgres, secrets
from aftershock.adapters.postgres import Activity, Login, Session
from aftershock.core.lease import Lease
from aftershock.errors import InputError, TargetError
from aftershock.faults.db_connection_exhaustion import database_of, observer_of
from aftershock.faults.fault import Site

EARLY = 0.2
"""Seconds by which the server ends them before the lease ends."""

GONE = 3.0
"""Seconds that the server may take to end a session."""


class SessionsHold:
    """The part of a Hold that every fault inside a database has."""

    canary_settings: Mapping[str, str] = {}
    """What the canary's session is opened with."""

    def __init__(self, site: Site, lease: Lease) -> None:
        self.site, self.lease = site, lease
        database = database_of(site)
        self.login = Login(database.name, secrets.read(database.dsn, site.folder))
        self.watch = observer_of(database, site)
        self._observer: Session | None = None
        self._canary: Session | None = None
        self.held: list[Session] = []

    async def prepare(self) -> None:
        """Connect the observer, and see that it sees our sessions."""
        observer = await self.observing()
        await postgres.verify(observer, self.watch)
        if not await postgres.sees(observer, self.login.user):
            raise InputError(
                f"the observer {self.watch.user} can't see what sessions of the role {self.login.user} are called",
                "give the database an `observer:` that may: GRANT pg_monitor TO …",
            )

    async def heal(self) -> None:
        """Let go, and wait until the server has ended the sessions."""
        await self._let_go()
        end = time.monotonic() + GONE
        while ours := await self.ours():
            await postgres.terminate(await self.observing(), [each.pid for each in ours])
            if time.monotonic() > end:
                raise TargetError(f"the session {self.lease.name} doesn't end", "the server ends it with the lease")
            await asyncio.sleep(0.02)

    async def left(self) -> list[str]:
        """Name our sessions that the server still has."""
        return [f"session {each.pid} of the database {self.login.database}: {each.name}" for each in await self.ours()]

    async def close(self) -> None:
        """Let go of everything."""
        await self._let_go()
        opened = [each for each in (self._canary, self._observer) if each is not None]
        self._canary = self._observer = None
        await asyncio.gather(*(postgres.close(each) for each in opened))

    async def ours(self) -> list[Activity]:
        """Return the sessions of this lease, as the server has them."""
        return [each for each in await postgres.activity(await self.observing()) if each.name == self.lease.name]

    async def observing(self) -> Session:
        """Return the observer's session."""
        if self._observer is None or self._observer.closed:
            self._observer = await postgres.connect(self.watch, postgres.OBSERVER)
        return self._observer

    async def asking(self) -> Session:
        """Return the canary's session, as the application's role.

        A fault connects it before it injects: the application's waiting connections may take every slot meanwhile.
        """
        if self._canary is None or self._canary.closed:
            self._canary = await postgres.connect(self.login, "aftershock-canary", self.canary_settings)
        return self._canary

    async def become(self, login: Login) -> None:
        """Go on by another login, the canary too. For before anything is injected."""
        canary, self._canary = self._canary, None
        if canary is not None:
            await postgres.close(canary)
        self.login = login

    async def asked(self, sql: LiteralString, *values: object) -> object:
        """Return the one value that the server answers to the observer."""
        ((value,),) = await postgres.query(await self.observing(), sql, *values)
        return value

    async def left_ms(self) -> int:
        """Return the milliseconds until the server is to end them."""
        left = self.lease.expires - EARLY - await postgres.now(await self.observing())
        if left <= 0:
            raise TargetError(f"the lease {self.lease.name} is over", "nothing to do: it ended by itself")
        return max(1, int(left * 1000))

    async def _let_go(self) -> None:
        held, self.held = self.held, []
        await asyncio.gather(*(postgres.close(each) for each in held))
