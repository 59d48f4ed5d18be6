"""`db-connection-exhaustion` on a real PostgreSQL: slots are taken until it refuses, and given back, whatever happens."""

import asyncio
import socket
import time
from pathlib import Path

import msgspec
import psycopg
import pytest
from msgspec.structs import replace

from aftershock.adapters import postgres as adapter
from aftershock.adapters.postgres import Login, SlotsTakenError
from aftershock.errors import AftershockError, InputError, TargetError
from aftershock.faults.fault import Evidence, Hold, Site
from aftershock.faults.registry import FAULTS
from component.conftest import SLOTS, Postgres, database_site, free_port, until
from component.test_link_faults import hold_of

NAME = "db-connection-exhaustion"
ORDINARY = SLOTS - 3 - 1  # superuser_reserved_connections, and the observer's


def hold_for(site: Site, seconds: float = 20.0, **wanted: object) -> Hold:
    return hold_of(site, NAME, wanted, expires=int(time.time() + seconds))


def refused(postgres: Postgres) -> bool:
    try:
        psycopg.connect(postgres.app).close()
    except psycopg.OperationalError:
        return True
    return False


async def held(hold: Hold) -> Evidence:
    await hold.prepare()
    assert not (await hold.observe()).holds
    await hold.inject()
    await hold.inject()
    return await hold.observe()


def test_all_slots_are_taken_and_given_back(database: Site, postgres: Postgres) -> None:
    async def run() -> None:
        hold = hold_for(database)
        try:
            seen = await held(hold)
            assert seen.holds, seen
            assert seen.saw.startswith(f"{ORDINARY} slots are held"), seen.saw
            assert refused(postgres)
            assert len(await hold.left()) == ORDINARY
            await hold.heal()
            await hold.heal()
            assert await hold.left() == []
            assert not (await hold.observe()).holds
            assert not refused(postgres)
        finally:
            await hold.close()

    asyncio.run(run())


def test_observer_without_a_dsn_of_its_own_is_kept_out_of_the_count(postgres: Postgres, tmp_path: Path) -> None:
    async def run() -> None:
        hold = hold_for(database_site(postgres, tmp_path, observer=False))
        try:
            seen = await held(hold)
            assert seen.holds
            assert seen.saw.startswith(f"{ORDINARY} slots are held"), seen.saw
            await hold.heal()
        finally:
            await hold.close()

    asyncio.run(run())


@pytest.mark.parametrize("leave", [1, 3])
def test_exactly_so_many_slots_are_left(database: Site, postgres: Postgres, leave: int) -> None:
    async def run() -> None:
        hold = hold_for(database, leave=leave)
        try:
            seen = await held(hold)
            assert seen.holds, seen
            assert f"{leave} fitted, refused" in seen.saw
            await hold.heal()
        finally:
            await hold.close()

    asyncio.run(run())


@pytest.mark.parametrize("leave", [0, 2])
def test_a_slot_that_the_application_gives_back_is_taken_too(database: Site, postgres: Postgres, leave: int) -> None:
    async def run() -> None:
        with psycopg.connect(postgres.app), psycopg.connect(postgres.app):
            hold = hold_for(database, leave=leave)
            await held(hold)
            before = len(await hold.left())
        try:
            async with asyncio.timeout(10):
                while len(await hold.left()) != before + 2:
                    await asyncio.sleep(0.02)
            assert (await hold.observe()).holds
            await hold.heal()
        finally:
            await hold.close()

    asyncio.run(run())


def test_the_server_ends_every_session_with_the_lease(database: Site, postgres: Postgres) -> None:
    """Nobody heals. Not one session outlives the lease by more than a second, though the client is alive and connected."""

    async def run() -> None:
        hold = hold_for(database, 4)
        lease = hold.lease  # type: ignore[attr-defined]
        try:
            assert (await held(hold)).holds
            while await hold.left():
                assert time.time() < lease.expires + 1
                await asyncio.sleep(0.02)
            assert time.time() > lease.expires - 1.5, "sessions ended long before their lease"
            await asyncio.sleep(0.3)
            assert not (await hold.observe()).holds, "nobody takes slots after the lease"
        finally:
            await hold.close()

    asyncio.run(run())


def test_another_role_needs_an_observer_that_can_see_it(postgres: Postgres, tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        hold = hold_for(site, role="other")
        try:
            assert (await held(hold)).holds
            await hold.heal()
        finally:
            await hold.close()

    asyncio.run(run(database_site(postgres, tmp_path)))
    with pytest.raises(InputError, match="can't see"):
        asyncio.run(run(database_site(postgres, tmp_path, observer=False)))


def test_a_role_that_the_dsns_password_does_not_open_is_told_so(postgres: Postgres) -> None:
    async def run() -> None:
        await adapter.connect(Login("primary", postgres.app, role="nobody-here"), "test")

    with pytest.raises(TargetError, match="refuses the login") as caught:
        asyncio.run(run())
    assert "`role:` logs in with the DSN's password" in caught.value.advice


def test_to_leave_all_there_is_is_refused_before_anything_is_touched(database: Site) -> None:
    """A canary of as many logins as there are slots would do what the fault was told not to."""

    async def prepare(leave: int) -> None:
        hold = hold_for(database, leave=leave)
        try:
            await hold.prepare()
        finally:
            await hold.close()

    asyncio.run(prepare(ORDINARY - 1))
    with pytest.raises(InputError, match="would leave all there is") as refused:
        asyncio.run(prepare(ORDINARY))
    assert refused.value.advice == f"leave {ORDINARY - 1} at the most"


def refusal(site: Site) -> AftershockError:
    async def run() -> None:
        hold = hold_for(site)
        try:
            await hold.prepare()
        finally:
            await hold.close()

    with pytest.raises(AftershockError) as caught:
        asyncio.run(run())
    assert "appword" not in caught.value.problem + caught.value.advice
    return caught.value


def test_bad_logins_say_what_to_do(postgres: Postgres, tmp_path: Path) -> None:
    site = database_site(postgres, tmp_path, observer=False)
    (tmp_path / "app").write_text(postgres.app.replace("appword", "wrong-secret"))
    assert "refuses the login" in str(refusal(site))
    assert "wrong-secret" not in str(refusal(site))
    (tmp_path / "app").write_text(postgres.app.replace(str(postgres.port), str(free_port())))
    assert "can't be reached" in str(refusal(site))
    (tmp_path / "app").write_text("postgresql://app:appword@127.0.0.1:notaport/x")
    assert isinstance(refusal(site), TargetError)
    (tmp_path / "app").write_text(postgres.app.replace("dbname=postgres", "dbname=none"))
    assert "does not exist" in str(refusal(site))


def test_full_server_is_its_own_error(database: Site, postgres: Postgres) -> None:
    async def run() -> None:
        hold = hold_for(database)
        try:
            await held(hold)
            with pytest.raises(SlotsTakenError):
                await adapter.connect(Login("primary", postgres.app), "somebody")
            await hold.heal()
        finally:
            await hold.close()

    asyncio.run(run())


def test_what_was_opened_is_read_back(postgres: Postgres) -> None:
    """A pooler would hand us a session with other settings: the read-back tells."""

    async def run() -> None:
        login = Login("primary", postgres.app)
        async with adapter.session(login, "somebody") as opened:
            await adapter.verify(opened, login)
            with pytest.raises(TargetError, match="pooler"):
                await adapter.verify(opened, login, 2999)

    asyncio.run(run())


def test_clock_is_the_servers(database: Site) -> None:
    assert abs(asyncio.run(FAULTS[NAME].clock(database)) - time.time()) < 1


def test_parameters_are_checked() -> None:
    with pytest.raises(msgspec.ValidationError, match="leave"):
        msgspec.convert({"leave": -1}, FAULTS[NAME].parameters)


def test_clients_that_belong_to_nobody_in_the_stack_are_not_touched_unless_that_is_allowed(
    database: Site, postgres: Postgres
) -> None:
    async def prepare(site: Site) -> None:
        hold = hold_for(site)
        try:
            await hold.prepare()
        finally:
            await hold.close()

    asyncio.run(prepare(database))
    with psycopg.connect(postgres.app, user="other"):
        with pytest.raises(InputError, match="other") as caught:
            asyncio.run(prepare(database))
        assert "collateral" in caught.value.advice
        asyncio.run(prepare(replace(database, collateral=True)))


def test_a_session_that_is_still_logging_in_is_no_stranger(database: Site, postgres: Postgres) -> None:
    """A service that opens a connection for each request always has one of these."""
    startup = b"\x00\x03\x00\x00user\x00app\x00database\x00postgres\x00\x00"
    nameless = "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'client backend' AND usename IS NULL"
    with (
        socket.create_connection(("127.0.0.1", postgres.port)) as halfway,
        psycopg.connect(postgres.superuser, autocommit=True) as watching,
    ):
        halfway.sendall((len(startup) + 4).to_bytes(4, "big") + startup)
        until(lambda: watching.execute(nameless).fetchone() is not None)

        async def prepare() -> None:
            hold = hold_for(database)
            try:
                await hold.prepare()
            finally:
                await hold.close()

        asyncio.run(prepare())
