"""`disk-full`: the volume of a tablespace is full: whoever writes more there is told so, and whoever reads gets on.

One session fills a table of its own in the tablespace until not even a page fits, and takes what others give back meanwhile, as
one statement that the server goes through by itself; when the lease ends it rolls back, and the server removes the table's
files, whatever becomes of us. The table is a temporary one: a server that crashes meanwhile removes the files when it starts
again. While it is held, nothing that the transaction may see can be cleaned up, as in `long-transaction`.

The tablespace has to be one of the stack's own, on a small volume of its own: never the server's, whose log has to be written
somewhere. Where that can be seen to share a volume with the tablespace, the fault is refused; and it never writes more than
`most`: a volume that still has room then is let go of. It is the application's role that writes; where that may not, the
observer's.

Landed means that our session is there, and that a canary of the same role which writes a row is told that the disk is full.

A volume of 1 GB for it, say, is mounted on the server; then, as its superuser: `CREATE TABLESPACE attachments LOCATION
'/volumes/attachments'; GRANT CREATE ON TABLESPACE attachments TO meetings;`. On the timeline:
`{at: 2s, for: 25s, fault: disk-full, target: primary, with: {tablespace: attachments, most: 1200M}}`.
"""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from aftershock.adapters import postgres
from aftershock.core.lease import Lease
from aftershock.errors import InputError, TargetError
from aftershock.faults.db_connection_exhaustion import clock, undo
from aftershock.faults.fault import Evidence, Fault, Parameters, Site
from aftershock.faults.leased_statements import IDLE_MS, StatementsHold
from aftershock.model.rules.making import Cel
from aftershock.model.units import Quantity

FILLING = 15.0
"""Seconds in which the volume has to be full."""

AGAIN = 0.2
"""Seconds after which the server tries again whether somebody has given something back."""

ROOM_IS_LEFT = "AF001"
"""The SQLSTATE by which the statement says so."""

_OWN = "tablespace: one of the stack's own, and none of the server's (pg_…)"


class DiskFull(Parameters, frozen=True, kw_only=True):
    """`tablespace`: its name. `most`: bytes that may be written there at the most."""

    tablespace: str
    most: Quantity = Quantity(1_000_000_000)

    told: ClassVar[tuple[Cel, ...]] = (
        Cel("self.tablespace.size() > 0 && !self.tablespace.startsWith('pg_')", _OWN),
        Cel("!has(self.most) || self.most.matches('[1-9]')", "most: more than zero"),
    )

    def __post_init__(self) -> None:
        if not self.tablespace or self.tablespace.startswith("pg_"):
            raise ValueError(_OWN)
        if self.most <= 0:
            raise ValueError("most: more than zero")


class DiskFullHold(StatementsHold):
    """One full tablespace for one lease."""

    def __init__(self, site: Site, lease: Lease, wanted: DiskFull) -> None:
        super().__init__(site, lease)
        self.wanted = wanted

    def statement(self, until: float) -> str:
        """Fill it, keep it full, and roll back."""
        return _FILL.format(until=f"{until:.3f}")

    def values(self) -> Mapping[str, str]:
        """Say which tablespace, and how much."""
        return {"tablespace": self.wanted.tablespace, "most": f"{self.wanted.most:.0f}"}

    async def prepare(self) -> None:
        """See that there is such a tablespace, that it may be filled, and that it isn't full already."""
        await super().prepare()
        name, database = self.wanted.tablespace, self.login.database
        observer = await self.observing()
        if await self.asked("SELECT pg_is_in_recovery()"):
            raise InputError(
                f"the database {database} is a replica, which writes nothing of its own", "name its primary"
            )
        known = await postgres.tablespaces(observer)
        if name not in known:
            own = ", ".join(known) or "none"
            raise InputError(f"the database {database} has no tablespace {name}", f"those of its own: {own}")
        if postgres.here(self.login) and _shared(known[name], await postgres.data_folder(observer)):
            raise InputError(
                f"the tablespace {name} shares a volume with the server's own data: full, it would stop the server",
                "give it a small volume of its own",
            )
        await self._become_who_may()
        if not await postgres.has_room(await self.asking(), name):
            raise TargetError(f"the tablespace {name} is full already", "make room there first")

    async def inject(self) -> None:
        """Fill it, and wait until it is full."""
        await super().inject()
        end = time.monotonic() + FILLING
        while not await self._asleep():
            for each in self.going:
                if each.done():
                    raise self._ended(each)
            if time.monotonic() > end:
                raise TargetError(
                    f"the tablespace {self.wanted.tablespace} is not full after {FILLING:g} s",
                    "give it a smaller volume",
                )
            await asyncio.sleep(0.02)

    async def observe(self) -> Evidence:
        """Have the canary write, and look for our session."""
        name, canary = self.wanted.tablespace, await self.asking()
        room = await postgres.has_room(canary, name)
        working = await self.working()
        ((size,),) = await postgres.query(canary, "SELECT pg_tablespace_size(%s::name)", name)
        told = "finds room" if room else "is told that the disk is full"
        saw = f"a canary that writes a row in the tablespace {name} {told}; {size} bytes are written there"
        saw += "; our session keeps it full" if working else "; no session of ours is at work"
        return Evidence(not room and working == 1, "a canary, and pg_stat_activity", saw)

    async def _become_who_may(self) -> None:
        name, role = self.wanted.tablespace, self.login.user
        for each in (self.login, self.watch):
            await self.become(each)
            if await postgres.may_fill(await self.asking(), name):
                return
        raise InputError(
            f"the role {role} may not create temporary tables in the tablespace {name}",
            f"GRANT CREATE ON TABLESPACE {name} TO {role}, and TEMPORARY ON its DATABASE",
        )

    async def _asleep(self) -> bool:
        """Ask whether it waits for others to give something back: then it is full."""
        return bool(
            await self.asked(
                "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s) AND wait_event = 'PgSleep'",
                [each.pid for each in await self.ours()],
            )
        )

    def _ended(self, task: "asyncio.Task[None]") -> TargetError:
        """Say why the statement is over already."""
        error = task.exception()
        if not isinstance(error, TargetError):
            return TargetError("the statement that fills the tablespace is over", "see the server's log")
        if postgres.sqlstate(error) != ROOM_IS_LEFT:
            return error
        return TargetError(
            f"the tablespace {self.wanted.tablespace} still has room after {self.wanted.most} bytes: it is no small volume of"
            " its own",
            "give it one, or raise `most`",
        )


_FILL = f"""DO $$
DECLARE
    page int := current_setting('block_size');
    most bigint := current_setting('aftershock.most')::bigint / page;
    largest bigint := greatest(most / 32, 1);
    chunk bigint := largest;
    room bigint;
    taken boolean;
BEGIN
    PERFORM set_config('idle_session_timeout', '{IDLE_MS}', false); COMMIT;
    EXECUTE format('CREATE TEMP TABLE aftershock_filler (page text) TABLESPACE %I', current_setting('aftershock.tablespace'));
    ALTER TABLE pg_temp.aftershock_filler ALTER page SET STORAGE PLAIN;
    WHILE clock_timestamp() < to_timestamp({{until}}) LOOP
        room := most - pg_total_relation_size('pg_temp.aftershock_filler') / page;
        IF room <= 0 THEN
            RAISE 'room is left' USING ERRCODE = '{ROOM_IS_LEFT}';
        END IF;
        BEGIN
            INSERT INTO pg_temp.aftershock_filler SELECT repeat('x', page - 200) FROM generate_series(1, least(chunk, room));
            taken := true;
        EXCEPTION WHEN disk_full THEN
            taken := false;
        END;
        IF taken THEN
            chunk := least(2 * chunk, largest);
        ELSIF chunk > 1 THEN
            chunk := chunk / 2;
        ELSE
            PERFORM pg_sleep({AGAIN});
        END IF;
    END LOOP;
    RAISE 'the lease is over';
END $$"""  # noqa: S608  # only numbers of ours stand in it
"""A row fills a page. Of a chunk that did not fit as much is written as did: what is left is for smaller ones."""


def _shared(folder: str, data: str | None) -> bool:
    """Tell whether a tablespace on this machine is on a volume of the server's own data, as far as we may see.

    One whose folder is no absolute path lies among the data.
    """
    if not folder.startswith("/"):
        return True
    devices = [_device(Path(each)) for each in ((data, f"{data}/pg_wal") if data else ())]
    return _device(Path(folder)) in [each for each in devices if each is not None]


def _device(folder: Path) -> int | None:
    try:
        return folder.stat().st_dev
    except OSError:
        return None


DISK_FULL = Fault(
    name="disk-full",
    summary="The volume of a tablespace is full.",
    target="database",
    parameters=DiskFull,
    hold=DiskFullHold,
    clock=clock,
    undo=undo,
)
