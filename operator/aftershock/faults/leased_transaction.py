"""A transaction that is held open for one lease: what faults inside a database share. They differ in what it does first.

Its session bears the lease's name, and an `idle_in_transaction_session_timeout` that ends with the lease: the server itself
rolls it back, though we be frozen. The timeout is set before the transaction begins, and once more when it has done its work,
since it counts from the end of a statement.
"""

import asyncio
import time
from typing import LiteralString

from aftershock.adapters import postgres, secrets
from aftershock.adapters.postgres import Activity, Login, Session
from aftershock.core.lease import Lease
from aftershock.errors import InputError, TargetError
from aftershock.faults.db_connection_exhaustion import database_of, observer_of
from aftershock.faults.fault import Site

EARLY = 0.2
"""Seconds by which the server rolls back before the lease ends."""

GONE = 3.0
"""Seconds that the server may take to end a session."""

TIMEOUT = "idle_in_transaction_session_timeout"


class TransactionHold:
    """The part of a Hold that every fault inside a database has. `work` is done in the transaction, which then stays open."""

    def __init__(self, site: Site, lease: Lease) -> None:
        self.site, self.lease = site, lease
        database = database_of(site)
        self.login = Login(database.name, secrets.read(database.dsn, site.folder))
        self._watch = observer_of(database, site)
        self._observer: Session | None = None
        self._held: Session | None = None

    async def work(self, opened: Session) -> None:
        """Do in the open transaction what the fault is. Raises TargetError."""
        raise NotImplementedError

    async def prepare(self) -> None:
        """Connect the observer, and see that it sees our sessions."""
        observer = await self.observing()
        await postgres.verify(observer, self._watch)
        if not await postgres.sees(observer, self.login.user):
            raise InputError(
                f"the observer {self._watch.user} can't see what sessions of the role {self.login.user} are called",
                "give the database an `observer:` that may: GRANT pg_monitor TO …",
            )

    async def inject(self) -> None:
        """Begin, do the work, and let the server end it with the lease."""
        if self._held is not None:
            return
        opened = await postgres.connect(self.login, self.lease.name, {TIMEOUT: f"{await self._left_ms()}"})
        self._held = opened
        await postgres.perform(opened, "BEGIN")
        await self.work(opened)
        await postgres.query(opened, "SELECT set_config(%s, %s, false)", TIMEOUT, f"{await self._left_ms()}")

    async def heal(self) -> None:
        """Roll back, and wait until the server has ended the session."""
        held, self._held = self._held, None
        if held is not None:
            await postgres.close(held)
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
        held, self._held = self._held, None
        observer, self._observer = self._observer, None
        await asyncio.gather(*(postgres.close(each) for each in (held, observer) if each is not None))

    async def ours(self) -> list[Activity]:
        """Return the sessions of this lease, as the server has them."""
        return [each for each in await postgres.activity(await self.observing()) if each.name == self.lease.name]

    async def observing(self) -> Session:
        """Return the observer's session."""
        if self._observer is None or self._observer.closed:
            self._observer = await postgres.connect(self._watch, postgres.OBSERVER)
        return self._observer

    async def asked(self, sql: LiteralString, *values: object) -> object:
        """Return the one value that the server answers to the observer."""
        ((value,),) = await postgres.query(await self.observing(), sql, *values)
        return value

    async def _left_ms(self) -> int:
        """Return the milliseconds until the server is to roll back."""
        left = self.lease.expires - EARLY - await postgres.now(await self.observing())
        if left <= 0:
            raise TargetError(f"the lease {self.lease.name} is over", "nothing to do: it ended by itself")
        return max(1, int(left * 1000))
