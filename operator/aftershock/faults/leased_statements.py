"""Sessions that each go through one long statement: what faults share that keep a database at work until their lease ends.

The server needs nobody for it: the statement ends by the server's own clock, whatever becomes of us; then the server ends the
session too, as one that is idle.
"""

import asyncio
from collections.abc import Mapping

from aftershock.adapters import postgres
from aftershock.adapters.postgres import Session
from aftershock.core.lease import Lease
from aftershock.errors import TargetError
from aftershock.faults.fault import Site
from aftershock.faults.leased_sessions import EARLY, SessionsHold

IDLE_MS = 50
"""Milliseconds after which the server ends a session whose statement is over."""


class StatementsHold(SessionsHold):
    """The part of a Hold that every such fault has. `count`: how many sessions."""

    count: int = 1
    settings: Mapping[str, str] = {}
    """What the sessions are opened with, besides what ends them."""

    def __init__(self, site: Site, lease: Lease) -> None:
        super().__init__(site, lease)
        self.going: list[asyncio.Task[None]] = []

    def statement(self, until: float) -> str:
        """Return what each session does until then, seconds since the epoch on the server's clock.

        No text of a user's stands in it: that is a value, which it reads as `current_setting('aftershock.<name>')`.
        """
        raise NotImplementedError

    def values(self) -> Mapping[str, str]:
        """Return those values, by name."""
        return {}

    async def inject(self) -> None:
        """Open the sessions, then set them going."""
        if self.held:
            return
        # it ends one that is never set going
        settings = {"idle_session_timeout": f"{await self.left_ms()}", **self.settings}
        opening = [postgres.connect(self.login, self.lease.name, settings) for _ in range(self.count)]
        opened = await asyncio.gather(*opening, return_exceptions=True)
        self.held = [each for each in opened if not isinstance(each, BaseException)]
        for each in opened:
            if isinstance(each, BaseException):
                raise each
        await asyncio.gather(*(self._tell(each) for each in self.held))
        text = self.statement(self.lease.expires - EARLY)
        self.going = [asyncio.create_task(postgres.execute(each, text)) for each in self.held]

    async def heal(self) -> None:
        """End them."""
        await super().heal()
        await self._settle()

    async def close(self) -> None:
        """Let go of everything."""
        await super().close()
        await self._settle()

    async def working(self) -> int:
        """Return how many of the sessions the server has at work."""
        found = await self.asked(
            "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s) AND state = 'active'",
            [each.pid for each in await self.ours()],
        )
        return int(str(found))

    async def _tell(self, opened: Session) -> None:
        for name, value in self.values().items():
            await postgres.query(opened, "SELECT set_config('aftershock.' || %s, %s, false)", name, value)
        # it ends a statement that waits for somebody who never lets go, or has no moment to look at the clock
        await postgres.query(opened, "SELECT set_config('statement_timeout', %s, false)", f"{await self.left_ms()}")

    async def _settle(self) -> None:
        """What has become of the statements is told by the evidence: here they are only waited for."""
        going, self.going = self.going, []
        for each in going:
            each.cancel()
        for said in await asyncio.gather(*going, return_exceptions=True):
            if isinstance(said, BaseException) and not isinstance(said, (TargetError, asyncio.CancelledError)):
                raise said


def again(until: float, body: str) -> str:
    """Return a statement that goes through `body` again and again until then, each time as a transaction of its own."""
    return (
        f"DO $$ BEGIN PERFORM set_config('idle_session_timeout', '{IDLE_MS}', false); COMMIT;"
        f" WHILE clock_timestamp() < to_timestamp({until:.3f}) LOOP {body} COMMIT; END LOOP; END $$"
    )
