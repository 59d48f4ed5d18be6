"""Queries that are slow since others keep a real PostgreSQL busy: what is proved, what is not, and that nobody else suffers."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aftershock.errors import InputError, TargetError
from aftershock.faults.fault import Evidence, Hold, Site
from component.conftest import Postgres, database_site, until
from component.test_link_faults import hold_of
from component.test_transactions import RUN, one_processor, soon

NAME, OTHER = "db-slow-queries", "another1"


@pytest.fixture
def busy(postgres: Postgres, tmp_path: Path) -> Iterator[Site]:
    """A table that takes seconds to read; one that the application may not; a server with one processor."""
    with one_processor(postgres), psycopg.connect(postgres.superuser, autocommit=True) as owner:
        owner.execute("CREATE UNLOGGED TABLE large AS SELECT n AS id FROM generate_series(1, 1000000) AS n")
        owner.execute("CREATE TABLE secret (id int)")
        owner.execute("GRANT SELECT ON large TO app")
        try:
            yield database_site(postgres, tmp_path)
        finally:
            owner.execute("DROP TABLE large, secret")


def asked(postgres: Postgres, query: str) -> Any:
    with psycopg.connect(postgres.superuser) as opened:
        row = opened.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


async def held(hold: Hold) -> Evidence:
    await hold.prepare()
    await hold.inject()
    return await hold.observe()


async def let_go(hold: Hold) -> None:
    await hold.heal()
    assert await hold.left() == []
    await hold.close()


def test_what_leaves_the_server_room_has_not_landed_and_says_what_would_do(busy: Site) -> None:
    async def run() -> Evidence:
        hold = hold_of(busy, NAME, {"sessions": 1, "slowdown": 1000}, RUN, soon())
        seen = await held(hold)
        await let_go(hold)
        return seen

    seen = asyncio.run(run())
    assert not seen.holds
    assert "1 of 1 sessions are at work" in seen.saw and "raise `sessions`" in seen.saw


def test_a_session_that_somebody_ended_is_missed(busy: Site, postgres: Postgres) -> None:
    """The others alone still make the canary slow: but what was asked for is not there."""

    async def run() -> Evidence:
        hold = hold_of(busy, NAME, {"slowdown": 1.1}, RUN, soon())
        assert (await held(hold)).holds
        ours = "application_name LIKE 'aftershock.db-slow-queries.%'"
        one = "SELECT pg_terminate_backend(max(pid), 5000) FROM pg_stat_activity WHERE " + ours
        assert asked(postgres, one)
        seen = await hold.observe()
        await let_go(hold)
        return seen

    seen = asyncio.run(run())
    assert not seen.holds and "3 of 4 sessions are at work" in seen.saw and "raise" not in seen.saw


def test_a_server_that_was_as_slow_before_is_not_slow_by_us(busy: Site, postgres: Postgres) -> None:
    """Others keep it busy from between the first two looks on."""

    async def run() -> Evidence:
        hold, other = (
            hold_of(busy, NAME, {"slowdown": 2, "sessions": n}, run, soon()) for n, run in ((1, RUN), (4, OTHER))
        )
        await hold.prepare()
        assert (await held(other)).holds
        assert not (await hold.observe()).holds
        await hold.inject()
        seen = await hold.observe()
        await let_go(other)
        await let_go(hold)
        return seen

    seen = asyncio.run(run())
    assert not seen.holds and "1 of 1 sessions are at work" in seen.saw


@pytest.mark.parametrize("wanted", [{}, {"table": "large"}], ids=["computing", "reading"])
def test_nothing_is_kept_from_being_cleaned_up(busy: Site, postgres: Postgres, wanted: dict[str, Any]) -> None:
    """Each round is a transaction of its own: none is as old as the fault."""

    async def run() -> None:
        hold = hold_of(busy, NAME, {"slowdown": 1.1, "sessions": 1, **wanted}, RUN, soon())
        await held(hold)
        begun = int(asked(postgres, "SELECT txid_current()"))
        oldest = "SELECT coalesce(min(backend_xmin::text::bigint), 0) FROM pg_stat_activity"
        until(lambda: asked(postgres, f"{oldest} WHERE application_name LIKE 'aftershock.db-slow-queries.%'") > begun)
        await let_go(hold)

    asyncio.run(run())


def test_a_table_that_takes_long_to_read_ends_with_the_lease(busy: Site, postgres: Postgres) -> None:
    """The loop has no moment to look at the clock: the server ends the statement."""
    expires = soon(4)

    async def run() -> None:
        hold = hold_of(busy, NAME, {"table": "large", "sessions": 14}, RUN, expires)
        await hold.prepare()
        await hold.inject()
        await asyncio.sleep(expires + 1 - time.time())
        assert await hold.left() == []
        await hold.close()

    asyncio.run(run())


def test_a_look_at_a_server_with_no_room_at_all_is_short(busy: Site) -> None:
    """The canary's query would take longer than anybody waits for a look: that it was ended is evidence enough."""

    async def run() -> Evidence:
        hold = hold_of(busy, NAME, {"sessions": 2, "slowdown": 2}, RUN, soon())
        await hold.prepare()
        canary = await hold.asking()  # type: ignore[attr-defined]
        await hold.inject()
        await canary.execute("SET statement_timeout = 1")
        seen = await hold.observe()
        await let_go(hold)
        return seen

    seen = asyncio.run(run())
    assert seen.holds and "takes 2500 ms" in seen.saw


@pytest.mark.parametrize(
    ("table", "error", "words"),
    [
        ("nothing", InputError, "has no table nothing"),
        ("large; DROP TABLE large", InputError, "has no table"),
        ("secret", TargetError, "permission denied"),
    ],
)
def test_what_can_not_be_read_is_refused_before_anything_is(
    busy: Site, table: str, error: type[Exception], words: str
) -> None:
    async def run() -> None:
        hold = hold_of(busy, NAME, {"table": table})
        try:
            with pytest.raises(error, match=words):
                await hold.prepare()
        finally:
            await hold.close()

    asyncio.run(run())
