"""A region lost in every local way, on a real Toxiproxy and a real supervisord: what is in it suffers, what is not doesn't;
each is proved from inside and outside, and is clean a second after its lease whatever befell its executor.
"""

import asyncio
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from aftershock.adapters import lease_files, processes, supervisor
from aftershock.adapters.processes import Process
from aftershock.adapters.toxiproxy import Proxy, Server
from aftershock.errors import InputError
from aftershock.faults.fault import Site
from aftershock.model.metadata import Secret
from aftershock.model.stack import Database, Link, ToxiproxyServer, Workload
from aftershock.runtime import reaper
from component.conftest import Postgres, Supervised, free_port, stack, until
from component.test_link_faults import hold_of, life
from component.test_reaper import Ground, ground_at, holder, said, watching

NOWHERE = Secret(env="NOT_SET")
WAYS: list[dict[str, Any]] = [
    {"by": "links"},
    {"by": "links", "asymmetric": True},
    {"by": "links", "down": "1s", "up": "1s"},
    {"by": "everything"},
    {"by": "databases"},
]


@pytest.fixture
def ground(toxiproxy: Server, pages: int, postgres: Postgres, supervised: Supervised, tmp_path: Path) -> Ground:
    """In us-west `family` (a workload) and `family2` (a database); in us-east `family3`. Links into us-west, out and aside."""
    for name in ("in", "out", "within", "aside"):
        toxiproxy.create(Proxy(name, "127.0.0.1:0", f"127.0.0.1:{pages}"))

    (tmp_path / "app").write_text(postgres.app)  # what the reaper looks at; it is not what is taken down here

    def link(name: str, from_: str, to: str) -> Link:
        return Link(name=name, toxiproxy="main", proxy=name, from_=from_, to=to)

    def part(name: str, region: str) -> Workload:
        return Workload(name=name, supervisor=supervised.control(name), region=region)

    tested = stack(
        toxiproxies=[ToxiproxyServer(name="main", url=toxiproxy.url)],
        databases=[Database(name="family2", dsn=Secret(file="app"), region="us-west")],
        workloads=[part("family", "us-west"), part("family2", "us-west"), part("family3", "us-east")],
        links=[
            link("in", "family3", "family"), link("out", "family", "family3"), link("within", "family", "family2"),
            link("aside", "client", "family3"),
        ],
    )  # fmt: skip
    for each in tested.spec.workloads:
        assert each.supervisor
        supervisor.start(each.supervisor)
    return ground_at(tmp_path, tested, toxiproxy)


def running(ground: Ground, name: str) -> list[Process]:
    """Wait until the workload's whole family runs."""
    workload = next(each for each in ground.stack.spec.workloads if each.name == name)

    def family() -> list[Process]:
        pid = processes.pid_of(workload, ground.folder)
        members = processes.tree(processes.root_of(workload, ground.folder)) if pid else []
        return members if len(members) == 3 and all(processes.state(each) == "S" for each in members) else []

    until(family)
    return family()


def site(ground: Ground, region: str = "us-west") -> Site:
    return Site(ground.stack, region, ground.folder)


def down(ground: Ground) -> set[str]:
    return {name for name, proxy in ground.server.proxies().items() if not proxy.enabled}


@pytest.mark.parametrize(
    ("way", "links", "parts"),
    [
        ({"by": "links"}, {"in", "out", "within"}, set()),
        ({"by": "links", "asymmetric": True}, {"in"}, set()),
        ({"by": "everything"}, {"in", "out", "within"}, {"family", "family2"}),
        ({"by": "databases"}, set(), {"family2"}),
    ],
    ids=str,
)
def test_what_is_in_the_region_is_lost_and_nothing_else(
    ground: Ground, pages: int, way: dict[str, Any], links: set[str], parts: set[str]
) -> None:
    names = ("family", "family2", "family3")
    before = {name: running(ground, name) for name in names}
    proxies = ground.server.proxies()

    async def run() -> None:
        # `pages` stands for what listens behind every link; it isn't in the region, so it goes on answering there
        hold = hold_of(site(ground), "region-loss", way)
        await hold.prepare()
        await hold.inject()
        assert down(ground) == links
        lost = {name for name in names if not any(processes.state(each) for each in before[name])}
        assert lost == parts
        await hold.heal()
        await hold.close()

    asyncio.run(run())
    assert ground.server.proxies() == proxies
    after = {name: running(ground, name) for name in names}
    assert {name for name in names if after[name] != before[name]} == parts
    assert lease_files.paths(ground.folder) == []


def test_asymmetric_says_who_reaches_whom(ground: Ground) -> None:
    seen = asyncio.run(life(hold_of(site(ground), "region-loss", {"by": "links", "asymmetric": True})))
    assert [seen[when].holds for when in ("before", "during", "after")] == [False, True, False], seen
    assert "from outside, 1 of 1 links are down" in seen["during"].saw
    assert "from inside, 1 of 1 part answered" in seen["during"].saw
    assert "2 of 2 links out of it or within it let a canary through" in seen["during"].saw


def test_databases_alone(ground: Ground) -> None:
    seen = asyncio.run(life(hold_of(site(ground), "region-loss", {"by": "databases"})))
    assert [seen[when].holds for when in ("before", "during", "after")] == [False, True, False], seen
    assert "1 of 1 parts are down (family2" in seen["during"].saw


def test_a_network_lost_with_what_is_behind_it_is_not_the_network_alone(ground: Ground, toxiproxy: Server) -> None:
    """Canaries inside and outside must disagree: a region that is dead inside too is another failure."""
    listener = socket.create_server(("127.0.0.1", 0))
    toxiproxy.delete("in")
    toxiproxy.create(Proxy("in", "127.0.0.1:0", f"127.0.0.1:{listener.getsockname()[1]}"))

    async def run() -> None:
        hold = hold_of(site(ground), "region-loss", {"by": "links"})
        try:
            await hold.prepare()
            await hold.inject()
            assert (await hold.observe()).holds
            listener.close()
            seen = await hold.observe()
            assert not seen.holds and "3 of 3 links are down" in seen.saw and "1 of 2 parts answered" in seen.saw
            await hold.heal()
        finally:
            listener.close()
            await hold.close()

    asyncio.run(run())


def test_everything_is_not_lost_while_somebody_answers_behind_a_link(ground: Ground) -> None:
    """`pages` lives behind the links in this test, and is nobody's: that is seen, and counts."""

    async def run() -> None:
        hold = hold_of(site(ground), "region-loss", {"by": "everything"})
        await hold.prepare()
        await hold.inject()
        seen = await hold.observe()
        await hold.heal()
        await hold.close()
        assert not seen.holds
        assert "inside, 2 of 2 parts are down" in seen.saw and "3 of 3 links are down" in seen.saw
        assert "behind them family" in seen.saw

    asyncio.run(run())


def test_it_flaps_and_is_seen_in_both_turns(ground: Ground) -> None:
    async def run() -> None:
        hold = hold_of(site(ground), "region-loss", {"by": "links", "down": "500ms", "up": "500ms"})
        await hold.prepare()
        await hold.inject()
        turns = set()
        async with asyncio.timeout(20):
            while turns != {frozenset(), frozenset({"in", "out", "within"})}:
                seen = await hold.observe()
                assert seen.holds, seen
                turns.add(frozenset(await asyncio.to_thread(down, ground)))
                assert await hold.left(), "named in both turns"
        await hold.heal()
        assert not down(ground) and await hold.left() == []
        await asyncio.sleep(1.1)  # two turns: nothing comes after the healing
        assert not down(ground)
        await hold.close()

    asyncio.run(run())


def test_a_flap_that_wakes_after_the_reaper_has_healed_it_takes_nothing_down(ground: Ground) -> None:
    async def run() -> None:
        hold = hold_of(site(ground), "region-loss", {"by": "links", "down": "500ms", "up": "500ms"})
        await hold.prepare()
        await hold.inject()
        await reaper.sweep(ground.stack, ground.folder, scope="all")
        end = time.monotonic() + 2.2  # four turns
        while time.monotonic() < end:
            assert not await asyncio.to_thread(down, ground)
            await asyncio.sleep(0.05)
        assert not (await hold.observe()).holds
        await hold.close()

    asyncio.run(run())


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_clean_a_second_after_the_lease(ground: Ground, way: dict[str, Any], blow: signal.Signals) -> None:
    names = ("family", "family2", "family3")
    for name in names:
        running(ground, name)
    ground = _without_doors(ground) if way["by"] == "everything" else ground
    proxies = ground.server.proxies()
    expires = int(time.time()) + 8
    with watching(ground.file), holder(ground, expires, [("region-loss", "us-west", way)]) as process:
        said(process, "prepared")
        said(process, "held")
        process.send_signal(blow)
        assert time.time() < expires - 1, "the machine is too slow for this lease: nothing was tested"
        assert ground.left()
        time.sleep(max(0.0, expires + 1 - time.time()))
        assert ground.left() == []
        assert ground.server.proxies() == proxies
        process.send_signal(signal.SIGCONT)  # one that wakes does no more harm
        time.sleep(1.2)
        assert ground.server.proxies() == proxies
    for name in names:
        running(ground, name)
    assert lease_files.paths(ground.folder) == []


@pytest.mark.parametrize("by", ["links", "everything", "databases"])
def test_the_loss_of_all_there_is_has_to_be_allowed(ground: Ground, by: str) -> None:
    spec = ground.stack.spec
    alone = stack(
        toxiproxies=spec.toxiproxies, databases=spec.databases, links=spec.links, workloads=list(spec.workloads[:2])
    )
    with pytest.raises(InputError, match="nothing of the stack is outside the region us-west"):
        hold_of(Site(alone, "us-west", ground.folder), "region-loss", {"by": by})
    hold_of(Site(alone, "us-west", ground.folder), "region-loss", {"by": by, "allowTotalLoss": True})


def test_a_database_that_nobody_could_bring_back_is_not_taken_down(ground: Ground) -> None:
    spec = ground.stack.spec
    tested = stack(databases=[Database(name="far", dsn=NOWHERE, region="us-west")], workloads=spec.workloads)
    for by in ("everything", "databases"):
        with pytest.raises(InputError, match=r"far in the region us-west can't be taken down"):
            hold_of(Site(tested, "us-west", ground.folder), "region-loss", {"by": by})


def _without_doors(ground: Ground) -> Ground:
    """Nobody answers behind the links: what is in the region doesn't listen, in these tests."""
    nobody = free_port()
    for name in ("in", "out", "within"):
        ground.server.delete(name)
        ground.server.create(Proxy(name, "127.0.0.1:0", f"127.0.0.1:{nobody}"))
    return ground
