"""A database as a place: its sessions that bear our name."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from aftershock.adapters import postgres, secrets
from aftershock.adapters.postgres import Login, SlotsTakenError
from aftershock.core.lease import Lease, parse
from aftershock.errors import TargetError
from aftershock.model.stack import Database
from aftershock.runtime.place import HEAL, LOOK, Looked, Trace

REPLICA_LAG = "replica-lag"


class DatabasePlace:
    """Sessions whose application_name is a lease's. The server ends them by itself; this is for what outlived that."""

    costly = True

    def __init__(self, spec: Database, folder: Path) -> None:
        self.name = f"database {spec.name}"
        self.spec, self.folder = spec, folder

    async def look(self) -> Looked:
        """Read pg_stat_activity. With every slot taken there is none to look from, unless the observer has one."""
        try:
            async with asyncio.timeout(LOOK), postgres.session(self._login(), postgres.OBSERVER) as opened:
                now = await postgres.now(opened)
                activity = await postgres.activity(opened)
        except TimeoutError:
            raise TargetError(f"the {self.name} did not answer within {LOOK:g} s", "see whether it runs") from None
        except SlotsTakenError as error:
            raise TargetError(
                f"{error.problem}; sessions of ours end by themselves with their lease",
                "give the database an `observer:` that may use reserved slots, to be told of them meanwhile",
            ) from None
        counted: dict[Lease, int] = {}
        for each in activity:
            if lease := parse(each.name):
                counted[lease] = counted.get(lease, 0) + 1
        return Looked(
            now, [Trace(lease, f"{n} sessions {lease.name} of the {self.name}") for lease, n in counted.items()]
        )

    async def heal(self, traces: list[Trace]) -> list[str]:
        """Terminate the sessions. One that holds a replica's replay can't resume it once it is terminated: that goes first."""
        names = {trace.lease.name for trace in traces}
        async with asyncio.timeout(HEAL), postgres.session(self._login(), postgres.OBSERVER) as opened:
            if any(trace.lease.fault == REPLICA_LAG for trace in traces):
                await postgres.resume_replay(opened)
            doomed = [each.pid for each in await postgres.activity(opened) if each.name in names]
            await postgres.terminate(opened, doomed)
            end = time.monotonic() + LOOK
            while any(each.name in names for each in await postgres.activity(opened)):
                if time.monotonic() > end:
                    raise TargetError(f"sessions of the {self.name} don't end", "see the server's log")
                await asyncio.sleep(0.02)
        return [trace.what for trace in traces]

    async def repair(self, due: Callable[[Lease, float], bool]) -> list[str]:
        """Nothing of ours wedges a database."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is kept open."""

    def _login(self) -> Login:
        return Login(self.spec.name, secrets.read(self.spec.observer or self.spec.dsn, self.folder))
