"""The places that a stack names, where a fault of ours can be: what lies there, and how it is taken away.

A place is a Toxiproxy (one that the stack names, or one that a run has put in front of a Service), a database, the Kubernetes
API, or the stack's own folder. Each tells what bears our name by its own clock; each is asked and healed by itself, with a
deadline, so that one that is dead holds up no other.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from aftershock.adapters import postgres, records, secrets
from aftershock.adapters.postgres import Login, SlotsTakenError
from aftershock.adapters.threads import within
from aftershock.core.lease import Lease, parse
from aftershock.errors import TargetError
from aftershock.faults import fronts
from aftershock.faults.process import PATIENCE, heal_record
from aftershock.model.stack import Database, Stack
from aftershock.runtime.front_place import FrontPlace
from aftershock.runtime.kubernetes_place import KubernetesPlace, in_cluster
from aftershock.runtime.place import HEAL, LOOK, Looked, Place, Trace, undo_all
from aftershock.runtime.toxiproxy_place import ToxiproxyPlace


def places(stack: Stack, folder: Path) -> Iterator[Place]:
    """Yield every place that the stack names."""
    for each in stack.spec.toxiproxies:
        yield ToxiproxyPlace(each, folder)
    for service in fronts.services(stack):
        yield FrontPlace(stack, service, folder)
    for database in stack.spec.databases:
        yield DatabasePlace(database, folder)
    if in_cluster(stack):
        yield KubernetesPlace(stack)
    yield FolderPlace(folder)


class DatabasePlace:
    """Sessions whose application_name is a lease's. The server ends them by itself; this is for what outlived that."""

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
        """Terminate the sessions."""
        names = {trace.lease.name for trace in traces}
        async with asyncio.timeout(HEAL), postgres.session(self._login(), postgres.OBSERVER) as opened:
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


class FolderPlace:
    """Lease records: processes that are paused, held down or were killed. This machine's clock."""

    name = "the stack's folder"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def look(self) -> Looked:
        """Read the names of the records: they are all that is needed to know what is due."""
        return await within(LOOK, self._look)

    async def heal(self, traces: list[Trace]) -> list[str]:
        """Undo what the records say."""
        return await within(HEAL + PATIENCE, undo_all, traces)

    async def repair(self, due: Callable[[Lease, float], bool]) -> list[str]:
        """Nothing of ours wedges a folder."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is kept open."""

    def _look(self) -> Looked:
        looked = Looked(time.time(), [])
        for path in records.paths(self.folder):
            if lease := parse(path.stem):
                looked.traces.append(self._trace(lease, path))
            else:
                looked.odd.append(f"{path} is no lease record of ours")
        return looked

    def _trace(self, lease: Lease, path: Path) -> Trace:
        return Trace(lease, f"{lease.fault} on record in {path}", lambda: heal_record(self.folder, lease.name))
