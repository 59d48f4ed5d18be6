"""A tablespace of a real PostgreSQL on a small volume of its own, which is full for a while, and for nobody else."""

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aftershock.adapters.toxiproxy import Server
from aftershock.errors import InputError, TargetError
from aftershock.faults import disk_full
from aftershock.faults.fault import Evidence, Site
from aftershock.stacks import postgres as pg
from aftershock.stacks.account import give, unprivileged
from component.conftest import Postgres, database_site, until
from component.replicated import WORDS, pair
from component.test_link_faults import hold_of, life
from component.test_reaper import RUN, ground_at, holder, said
from component.test_transactions import left, soon

NAME = "disk-full"
SMALL = {"tablespace": "small", "most": "30M"}
MB = 1_000_000


@contextmanager
def volume(folder: Path, size: str) -> Iterator[Path]:
    """A volume of its own that the server may write to."""
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("to mount a small volume takes root")
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, text=True
    )
    if made.returncode:
        folder.rmdir()
        pytest.skip(f"no small volume can be mounted here: {made.stderr.strip()}")
    try:
        give(folder, unprivileged())
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()


def told(postgres: Postgres, *statements: str) -> None:
    """Have the superuser carry out something."""
    with psycopg.connect(postgres.superuser, autocommit=True) as owner:
        for each in statements:
            owner.execute(each.encode())


@contextmanager
def tablespace(postgres: Postgres, name: str, folder: Path) -> Iterator[None]:
    """A tablespace in which the application may have tables."""
    told(postgres, f"CREATE TABLESPACE {name} LOCATION '{folder}'", f"GRANT CREATE ON TABLESPACE {name} TO app")
    try:
        yield
    finally:
        told(postgres, f"DROP TABLESPACE {name}")


@dataclass(frozen=True)
class Disk:
    """`folder` is where the tablespace lies."""

    site: Site
    postgres: Postgres
    folder: Path

    def written(self) -> int:
        """Bytes on the volume."""
        found = os.statvfs(self.folder)
        return (found.f_blocks - found.f_bfree) * found.f_frsize

    def can(self, table: str) -> bool:
        """Tell whether the application can write some pages more into a table now."""
        with psycopg.connect(self.postgres.app) as application:
            try:
                application.execute(f"INSERT INTO {table} SELECT n FROM generate_series(1, 100000) AS n".encode())
            except psycopg.errors.DiskFull:
                return False
            finally:
                application.rollback()
        return True


@pytest.fixture
def disk(postgres: Postgres, tmp_path: Path) -> Iterator[Disk]:
    """A table of the application's on a volume of 24 MB, and one elsewhere."""
    with volume(postgres.folder / "volume", "24m") as folder, tablespace(postgres, "small", folder):
        for table, place in (("there", "small"), ("elsewhere", "pg_default")):
            made = f"CREATE UNLOGGED TABLE {table} TABLESPACE {place} AS SELECT 7 AS id"
            told(postgres, made, f"ALTER TABLE {table} OWNER TO app")
        try:
            yield Disk(database_site(postgres, tmp_path), postgres, folder)
        finally:
            told(postgres, "DROP TABLE there, elsewhere")


def test_it_lands_is_proved_and_leaves_nothing(disk: Disk) -> None:
    before = disk.written()
    seen = asyncio.run(life(hold_of(disk.site, NAME, SMALL, RUN, soon())))
    assert [seen[when].holds for when in ("before", "during", "after")] == [False, True, False], seen
    assert "is told that the disk is full" in seen["during"].saw
    assert disk.written() == pytest.approx(before, abs=MB)


def test_whoever_writes_there_is_told_so_and_whoever_writes_elsewhere_gets_on(disk: Disk) -> None:
    async def run() -> None:
        hold = hold_of(disk.site, NAME, SMALL, RUN, soon())
        await hold.prepare()
        await hold.inject()
        assert (disk.can("there"), disk.can("elsewhere")) == (False, True)
        with psycopg.connect(disk.postgres.app) as application:
            assert application.execute("SELECT id FROM there").fetchall() == [(7,)]
        assert len(await hold.left()) == 1
        await hold.heal()
        assert (disk.can("there"), disk.can("elsewhere")) == (True, True)
        await hold.close()

    assert disk.can("there")
    asyncio.run(run())


def test_what_others_give_back_is_taken_too(disk: Disk) -> None:
    with psycopg.connect(disk.postgres.app, autocommit=True) as application:
        application.execute(
            "CREATE TEMP TABLE large TABLESPACE small AS SELECT repeat('x', 900) FROM generate_series(1, 9000)"
        )

        async def run() -> None:
            hold = hold_of(disk.site, NAME, SMALL, RUN, soon())
            await hold.prepare()
            await hold.inject()
            full = disk.written()
            application.execute("DROP TABLE large")
            async with asyncio.timeout(20):
                while disk.written() < full:
                    await asyncio.sleep(0.01)
            assert (await hold.observe()).holds
            await hold.heal()
            await hold.close()

        asyncio.run(run())


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_the_server_itself_ends_it_with_the_lease(
    disk: Disk, toxiproxy: Server, tmp_path: Path, blow: signal.Signals
) -> None:
    """No reaper runs here. A killed client's session goes on until then: the server doesn't notice."""
    before, expires = disk.written(), soon(6)
    with holder(ground_at(tmp_path, disk.site.stack, toxiproxy), expires, [(NAME, "primary", SMALL)]) as process:  # type: ignore[list-item]
        said(process, "prepared")
        said(process, "held")
        process.send_signal(blow)
        assert not disk.can("there"), "the machine is too slow for this lease: nothing was tested"
        until(lambda: time.time() >= expires + 1, 30)
        assert disk.written() == pytest.approx(before, abs=MB)
        assert disk.can("there")
        assert asyncio.run(left(hold_of(disk.site, NAME, SMALL, RUN, expires))) == []


def test_a_server_that_crashes_meanwhile_has_room_again(disk: Disk) -> None:
    """A process of it is killed: it starts all of them anew, and removes what they had only for themselves."""
    before = disk.written()

    async def run() -> None:
        hold = hold_of(disk.site, NAME, SMALL, RUN, soon())
        await hold.prepare()
        await hold.inject()
        (session,) = await hold.left()
        os.kill(int(session.split()[1]), signal.SIGKILL)
        await hold.close()

    asyncio.run(run())
    until(lambda: disk.written() < before + MB)
    until(lambda: answers(disk.postgres))
    assert disk.can("there")


def answers(postgres: Postgres) -> bool:
    try:
        psycopg.connect(postgres.app).close()
    except psycopg.OperationalError:
        return False
    return True


def test_somebody_who_ended_our_session_has_made_room(disk: Disk) -> None:
    async def run() -> Evidence:
        hold = hold_of(disk.site, NAME, SMALL, RUN, soon())
        await hold.prepare()
        await hold.inject()
        assert (await hold.observe()).holds
        ours = "application_name LIKE 'aftershock.disk-full.%'"
        told(disk.postgres, f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {ours}")
        seen = await hold.observe()
        await hold.heal()
        await hold.close()
        return seen

    seen = asyncio.run(run())
    assert not seen.holds and "finds room" in seen.saw and "no session of ours" in seen.saw


def test_a_session_of_ours_is_no_proof_where_there_is_room(disk: Disk) -> None:
    """The volume grows while the session can't notice."""

    async def run() -> Evidence:
        hold = hold_of(disk.site, NAME, SMALL, RUN, soon())
        await hold.prepare()
        await hold.inject()
        (session,) = await hold.left()
        os.kill(int(session.split()[1]), signal.SIGSTOP)
        subprocess.run(["mount", "-o", "remount,size=26m", disk.folder], check=True)
        seen = await hold.observe()
        os.kill(int(session.split()[1]), signal.SIGCONT)
        await hold.heal()
        await hold.close()
        return seen

    seen = asyncio.run(run())
    assert not seen.holds and "finds room" in seen.saw and "our session keeps it full" in seen.saw


def test_a_disk_that_is_full_without_us_is_not_full_by_us(disk: Disk) -> None:
    """Full before: refused. Full later, of what somebody else wrote, when we are gone: not ours."""

    async def run() -> Evidence:
        hold, late = (hold_of(disk.site, NAME, SMALL, RUN, soon()) for _ in range(2))
        await hold.prepare()
        (disk.folder / "somebody").write_bytes(
            b"x" * (os.statvfs(disk.folder).f_bfree * os.statvfs(disk.folder).f_frsize)
        )
        seen = await hold.observe()
        with pytest.raises(TargetError, match="is full already"):
            await late.prepare()
        await late.close()
        await hold.close()
        return seen

    try:
        seen = asyncio.run(run())
    finally:
        (disk.folder / "somebody").unlink()
    assert not seen.holds and "is told that the disk is full" in seen.saw


def test_a_large_volume_is_let_go_of(postgres: Postgres, tmp_path: Path) -> None:
    with volume(postgres.folder / "volume", "200m") as folder, tablespace(postgres, "large", folder):
        disk = Disk(database_site(postgres, tmp_path), postgres, folder)
        before, most = disk.written(), 0

        async def run() -> None:
            hold = hold_of(disk.site, NAME, {"tablespace": "large", "most": "60M"}, RUN, soon())
            await hold.prepare()
            injecting = asyncio.create_task(hold.inject())
            nonlocal most
            while not injecting.done():
                most = max(most, disk.written())
                await asyncio.sleep(0.005)
            with pytest.raises(TargetError, match="still has room after 60M bytes"):
                await injecting
            await hold.heal()
            assert await hold.left() == []
            await hold.close()

        asyncio.run(run())
        assert 20 * MB < most < 61 * MB
        assert disk.written() == pytest.approx(before, abs=MB)


async def refused(site: Site, wanted: dict[str, Any], error: type[Exception], words: str) -> None:
    hold = hold_of(site, NAME, wanted, RUN, soon())
    try:
        with pytest.raises(error, match=words):
            await hold.prepare()
    finally:
        await hold.close()


def test_a_volume_that_the_server_needs_is_refused(postgres: Postgres, tmp_path: Path) -> None:
    folder = postgres.folder / "beside"
    folder.mkdir()
    give(folder, unprivileged())
    with tablespace(postgres, "beside", folder):
        site = database_site(postgres, tmp_path)
        asyncio.run(refused(site, {"tablespace": "beside"}, InputError, "shares a volume with the server's own data"))


def test_a_volume_that_takes_too_long_to_fill_is_let_go_of(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_full, "FILLING", 0.0)

    async def run() -> None:
        hold = hold_of(disk.site, NAME, SMALL, RUN, soon())
        await hold.prepare()
        with pytest.raises(TargetError, match="is not full after"):
            await hold.inject()
        await hold.heal()
        assert await hold.left() == []
        await hold.close()

    asyncio.run(run())
    assert disk.can("there")


def test_a_replica_is_refused(tmp_path: Path) -> None:
    with pair() as made:
        login = pg.dsn(made.ports["replica"], pg.SUPERUSER, WORDS["SUPERUSER_PASSWORD"])
        site = database_site(Postgres(0, login, login, tmp_path), tmp_path)
        asyncio.run(refused(site, SMALL, InputError, "is a replica"))


def test_what_is_not_there_is_refused_with_what_is(disk: Disk) -> None:
    asyncio.run(refused(disk.site, {"tablespace": "smal"}, InputError, "has no tablespace smal$"))


def test_who_may_not_write_there_does_it_as_the_observer(disk: Disk) -> None:
    told(disk.postgres, "REVOKE CREATE ON TABLESPACE small FROM app")
    seen = asyncio.run(life(hold_of(disk.site, NAME, SMALL, RUN, soon())))
    assert [seen[when].holds for when in ("before", "during", "after")] == [False, True, False], seen


def test_what_it_may_is_asked_where_the_application_is(disk: Disk, tmp_path: Path) -> None:
    """The observer is in another database, in which everybody may have temporary tables."""
    apart = disk.postgres.app.replace("dbname=postgres", "dbname=apart")
    assert apart != disk.postgres.app
    told(disk.postgres, "CREATE DATABASE apart", "REVOKE TEMPORARY ON DATABASE apart FROM PUBLIC")
    try:
        site = database_site(Postgres(0, apart, disk.postgres.superuser, tmp_path), tmp_path)
        seen = asyncio.run(life(hold_of(site, NAME, SMALL, RUN, soon())))
    finally:
        told(disk.postgres, "DROP DATABASE apart")
    assert [seen[when].holds for when in ("before", "during", "after")] == [False, True, False], seen


def test_where_nobody_may_write_it_says_what_to_grant(disk: Disk, tmp_path: Path) -> None:
    told(disk.postgres, "REVOKE CREATE ON TABLESPACE small FROM app")
    site = database_site(disk.postgres, tmp_path, observer=False)
    asyncio.run(
        refused(site, SMALL, InputError, "the role app may not create temporary tables in the tablespace small")
    )
