"""`replica-lag` on a real primary with a real replica: it lands, it ends, and it ends by itself whatever becomes of us."""

import asyncio
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from aftershock.adapters.toxiproxy import Proxy, Server
from aftershock.errors import InputError, TargetError
from aftershock.faults.fault import Evidence, Hold, Settling, Site
from aftershock.model.metadata import Secret
from aftershock.model.stack import Database, Link, Stack, ToxiproxyServer
from aftershock.stacks import postgres as pg
from component.conftest import free_port, stack, until
from component.replicated import WORDS, Pods, pair
from component.test_link_faults import hold_of
from component.test_reaper import RUN, Ground, ground_at, holder, said

PATIENCE = 20.0


@dataclass(frozen=True)
class Lagging:
    """A primary and its replica behind a link, and a Stack that names them."""

    servers: Pods
    ground: Ground

    @property
    def site(self) -> Site:
        return Site(self.ground.stack, "replica", self.ground.folder)

    @property
    def paused(self) -> bool:
        return self.servers.asked("replica", "SELECT pg_is_wal_replay_paused()") == [(True,)]

    def catches_up(self) -> None:
        """The replica gets what is written now."""
        self.servers.asked("primary", "CREATE TABLE IF NOT EXISTS told (what int)")
        self.servers.asked("primary", "INSERT INTO told VALUES (1)")
        (wanted,) = self.servers.asked("primary", "SELECT count(*) FROM told")
        until(lambda: self.servers.asked("replica", "SELECT count(*) FROM told") == [wanted])


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Pods, int]]:
    port = free_port()
    with pair(port) as made:
        yield made, port


@pytest.fixture
def lagging(servers: tuple[Pods, int], toxiproxy: Server, tmp_path: Path) -> Iterator[Lagging]:
    made, port = servers
    toxiproxy.create(Proxy("replication", f"127.0.0.1:{port}", f"127.0.0.1:{made.ports['primary']}"))
    found = Lagging(made, ground_at(tmp_path, stack_of(made, toxiproxy, tmp_path), toxiproxy))
    found.catches_up()
    yield found
    found.catches_up()
    assert not found.paused


def stack_of(made: Pods, toxiproxy: Server, folder: Path) -> Stack:
    databases = []
    for name, more in (("primary", {}), ("replica", {"role": "replica", "of": "primary"})):
        for file, user, word in ((name, "meetings", "OWNER"), (f"{name}.observer", "postgres", "SUPERUSER")):
            where = "meetings" if user == "meetings" else "postgres"
            (folder / file).write_text(pg.dsn(made.ports[name], user, WORDS[f"{word}_PASSWORD"], where))
        databases.append(Database(name=name, dsn=Secret(file=name), observer=Secret(file=f"{name}.observer"), **more))
    link = Link(name="replication", toxiproxy="main", proxy="replication", from_="replica", to="primary")
    return stack(toxiproxies=[ToxiproxyServer(name="main", url=toxiproxy.url)], databases=databases, links=[link])


async def seen(hold: Hold) -> Evidence:
    """Look until it is there."""
    end = time.monotonic() + PATIENCE
    while not (evidence := await hold.observe()).holds:
        assert time.monotonic() < end, evidence
        await asyncio.sleep(0.1)
    return evidence


WAYS = {"replay": {"lag": "2s"}, "link": {"lag": "2s", "by": "link"}, "ramp": {"lag": "2s", "by": "link", "ramp": "2s"}}
each_way = pytest.mark.parametrize("way", WAYS)


@each_way
def test_it_is_as_far_behind_as_was_asked_and_catches_up(lagging: Lagging, way: str) -> None:
    async def run() -> None:
        hold = hold_of(lagging.site, "replica-lag", WAYS[way])
        assert isinstance(hold, Settling) and hold.settles == (4.0 if way == "ramp" else 2.0)
        await hold.prepare()
        assert not (await hold.observe()).holds
        began = time.monotonic()
        await hold.inject()
        await hold.inject()
        evidence = await seen(hold)
        assert time.monotonic() - began >= 1.8
        assert "a reader doesn't see what was committed" in evidence.saw
        assert await hold.left()
        for _ in range(5):
            assert (await hold.observe()).holds, "it stays so"
            await asyncio.sleep(0.1)
        await hold.heal()
        await hold.heal()
        assert await hold.left() == []
        lagging.catches_up()
        assert not (await hold.observe()).holds
        await hold.close()

    asyncio.run(run())


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_the_server_itself_ends_it_with_the_lease(lagging: Lagging, blow: signal.Signals) -> None:
    """No reaper runs here."""
    expires = int(time.time()) + 9
    with holder(lagging.ground, expires, [("replica-lag", "replica", {"lag": "1s"})]) as process:
        said(process, "prepared")
        said(process, "held")
        process.send_signal(blow)
        assert lagging.paused
        until(lambda: time.time() >= expires + 1, 30)
        assert not lagging.paused


def test_the_reaper_resumes_before_it_ends_the_sessions(lagging: Lagging) -> None:
    expires = int(time.time()) + 60
    with holder(lagging.ground, expires, [("replica-lag", "replica", {"lag": "1s"})]) as process:
        said(process, "prepared")
        said(process, "held")
        process.kill()
        process.wait()
        assert lagging.paused
        swept = lagging.ground.sweep(scope="all", run=RUN)
        assert swept.left == []
        assert not lagging.paused


def test_one_that_somebody_cancels_resumes_at_once(lagging: Lagging) -> None:
    async def run() -> None:
        hold = hold_of(lagging.site, "replica-lag", {"lag": "1s"})
        await hold.prepare()
        await hold.inject()
        lagging.servers.asked(
            "replica", "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'aftershock.%'"
        )
        until(lambda: not lagging.paused)
        assert not (await hold.observe()).holds
        await hold.heal()
        await hold.close()

    asyncio.run(run())


def test_the_second_session_resumes_where_the_first_was_ended(lagging: Lagging) -> None:
    async def run() -> None:
        hold = hold_of(lagging.site, "replica-lag", {"lag": "1s"}, expires=int(time.time()) + 5)
        await hold.prepare()
        await hold.inject()
        first = (
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'aftershock.%' ORDER BY backend_start LIMIT 1"
        )
        lagging.servers.asked("replica", f"SELECT pg_terminate_backend(({first}))")
        assert lagging.paused
        until(lambda: not lagging.paused)
        await hold.close()

    asyncio.run(run())


def test_what_is_no_replica_and_what_somebody_holds_is_refused(lagging: Lagging) -> None:
    async def prepare(target: str) -> None:
        hold = hold_of(Site(lagging.ground.stack, target, lagging.ground.folder), "replica-lag", {})
        try:
            await hold.prepare()
        finally:
            await hold.close()

    with pytest.raises(InputError, match="is no replica"):
        asyncio.run(prepare("primary"))
    lagging.servers.asked("replica", "SELECT pg_wal_replay_pause()")
    with pytest.raises(TargetError, match=r"paused already|requested already"):
        asyncio.run(prepare("replica"))
    lagging.servers.asked("replica", "SELECT pg_wal_replay_resume()")


def test_who_may_not_pause_it_is_told_what_would_do(lagging: Lagging) -> None:
    async def run() -> None:
        (lagging.ground.folder / "replica.observer").write_text((lagging.ground.folder / "replica").read_text())
        hold = hold_of(lagging.site, "replica-lag", {})
        with pytest.raises(InputError, match="may not pause"):
            await hold.prepare()
        await hold.close()

    asyncio.run(run())
