"""Faults that are sessions of a real PostgreSQL: they land, and the server itself ends them."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aftershock.adapters.toxiproxy import Server
from aftershock.errors import InputError, TargetError
from aftershock.faults.fault import Evidence, Hold, Site
from component.conftest import SLOTS, Postgres, database_site, until
from component.test_link_faults import hold_of
from component.test_reaper import RUN, Ground, ground_at, holder, said

TABLE = {"table": "meetings"}
EACH: list[tuple[str, dict[str, Any]]] = [
    ("db-lock-contention", TABLE),
    ("db-lock-contention", {**TABLE, "blocks": "writes"}),
    ("db-lock-contention", {**TABLE, "rows": 2}),
    ("write-contention", TABLE),
    ("db-slow-queries", {"slowdown": 1.2}),
    ("db-slow-queries", {"slowdown": 1.2, **TABLE}),
    ("long-transaction", {}),
]
IDS = ["table", "writes", "rows", "contention", "computing", "reading", "long"]
SEVERAL = {"write-contention", "db-slow-queries"}
each_one = pytest.mark.parametrize(("fault", "wanted"), EACH, ids=IDS)


@pytest.fixture
def filled(postgres: Postgres, tmp_path: Path) -> Iterator[Site]:
    """The database, with a table of the application's own that has three rows."""
    with one_processor(postgres), psycopg.connect(postgres.superuser, autocommit=True) as owner:
        owner.execute("CREATE TABLE meetings AS SELECT n AS id FROM generate_series(1, 3) AS n")
        owner.execute("ALTER TABLE meetings OWNER TO app")
        try:
            yield database_site(postgres, tmp_path)
        finally:
            owner.execute("DROP TABLE meetings")


@contextmanager
def one_processor(postgres: Postgres) -> Iterator[None]:
    """What the server starts meanwhile has one processor between it: so a few sessions keep it busy on every machine."""
    server = int((postgres.folder / "cluster/data/postmaster.pid").read_text().split()[0])
    before = os.sched_getaffinity(server)
    os.sched_setaffinity(server, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(server, before)


def soon(seconds: int = 60) -> int:
    """Return when a lease ends that begins now."""
    return int(time.time()) + seconds


def can(postgres: Postgres, statement: str) -> bool:
    """Tell whether the application can do that now."""
    with psycopg.connect(postgres.app) as application:
        application.execute("SET lock_timeout = '200ms'")
        try:
            application.execute(statement.encode())
        except psycopg.errors.LockNotAvailable:
            return False
        return True


def able(postgres: Postgres) -> tuple[bool, bool, bool]:
    """Tell whether it can read the table, write its first row, and write its last."""
    return (
        can(postgres, "SELECT count(*) FROM meetings"),
        can(postgres, "UPDATE meetings SET id = 1 WHERE id = 1"),
        can(postgres, "UPDATE meetings SET id = 3 WHERE id = 3"),
    )


BLOCKED = {
    "table": (False, False, False),
    "writes": (True, False, False),
    "rows": (True, False, True),
    "contention": (True, False, True),
    "computing": (True, True, True),
    "reading": (True, True, True),
    "long": (True, True, True),
}


@each_one
def test_it_is_there_keeps_out_whom_it_should_and_goes(
    filled: Site, postgres: Postgres, fault: str, wanted: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    async def run() -> dict[str, Evidence]:
        hold, seen = hold_of(filled, fault, wanted, RUN, soon()), {}
        await hold.prepare()
        seen["before"] = await hold.observe()
        await hold.inject()
        await hold.inject()
        seen["during"] = await hold.observe()
        assert len(await hold.left()) == (4 if fault in SEVERAL else 1)
        assert able(postgres) == BLOCKED[request.node.callspec.id]
        await hold.heal()
        await hold.heal()
        seen["after"] = await hold.observe()
        assert await hold.left() == []
        await hold.close()
        return seen

    seen = asyncio.run(run())
    assert [one.holds for one in seen.values()] == [False, True, False], seen
    assert able(postgres) == (True, True, True)


@dataclass(frozen=True)
class Held:
    """A fault, and where a stand-in for an executor can be told to hold it."""

    ground: Ground
    fault: str
    wanted: dict[str, Any]


@pytest.fixture(params=EACH, ids=IDS)
def held(filled: Site, toxiproxy: Server, tmp_path: Path, request: pytest.FixtureRequest) -> Held:
    return Held(ground_at(tmp_path, filled.stack, toxiproxy), *request.param)


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_the_server_itself_ends_it_with_the_lease(
    held: Held, filled: Site, postgres: Postgres, blow: signal.Signals
) -> None:
    """No reaper runs here. That a killed client's session ends sooner is as good."""
    expires = soon(5)
    with holder(held.ground, expires, [(held.fault, "primary", held.wanted)]) as process:
        said(process, "prepared")
        said(process, "held")
        process.send_signal(blow)
        until(lambda: time.time() >= expires + 1, 30)
        assert able(postgres) == (True, True, True)
        assert asyncio.run(left(hold_of(filled, held.fault, held.wanted, RUN, expires))) == []


async def left(hold: Hold) -> list[str]:
    try:
        return await hold.left()
    finally:
        await hold.close()


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"table": "nothing"}, "has no table nothing"),
        ({"table": "meetings; DROP TABLE meetings"}, "has no table"),
        ({"table": 'meetings" x'}, "has no table"),
        ({"table": "meetings", "rows": 4}, "has 3 rows, and 4"),
    ],
)
def test_what_can_not_be_locked_is_refused_before_anything_is(
    filled: Site, postgres: Postgres, wanted: dict[str, Any], words: str
) -> None:
    async def run() -> None:
        hold = hold_of(filled, "db-lock-contention", wanted)
        try:
            with pytest.raises(InputError, match=words):
                await hold.prepare()
        finally:
            await hold.close()

    asyncio.run(run())
    assert able(postgres) == (True, True, True)


def test_the_canary_asks_though_every_slot_is_taken_by_who_waits(filled: Site, postgres: Postgres) -> None:
    """As it is where an application opens a connection for each request, and all of them wait."""

    async def run() -> None:
        hold = hold_of(filled, "db-lock-contention", TABLE, RUN, soon())
        await hold.prepare()
        await hold.inject()
        waiting = []
        try:
            with suppress(psycopg.OperationalError):
                while len(waiting) < SLOTS:
                    waiting.append(psycopg.connect(postgres.app))
            assert len(waiting) < SLOTS, "no slot is left"
            assert (await hold.observe()).holds
        finally:
            for each in waiting:
                each.close()
        await hold.heal()
        await hold.close()

    asyncio.run(run())
    until(lambda: able(postgres) == (True, True, True), 5)


def test_who_does_not_get_the_lock_lets_go_and_says_so(filled: Site, postgres: Postgres) -> None:
    async def run() -> None:
        hold = hold_of(filled, "db-lock-contention", TABLE, RUN, soon())
        await hold.prepare()
        with psycopg.connect(postgres.app) as other:
            other.execute("LOCK TABLE meetings IN ACCESS SHARE MODE")
            with pytest.raises(TargetError, match="lock timeout"):
                await hold.inject()
            await hold.heal()
            assert await hold.left() == []
            assert can(postgres, "SELECT count(*) FROM meetings"), "nobody waits behind us"
        await hold.close()

    asyncio.run(run())
