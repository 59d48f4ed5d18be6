"""A part of the stack whose answers are late, on a real Toxiproxy before a real Redis, PostgreSQL and HTTP server."""

import asyncio
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace

from aftershock.adapters import canary
from aftershock.adapters.toxiproxy import Proxy, Server
from aftershock.core.lease import Lease
from aftershock.errors import InputError, TargetError
from aftershock.faults.dependency_slow import DependencySlowHold
from aftershock.faults.fault import Evidence, Site
from aftershock.model.metadata import Secret
from aftershock.model.stack import Cache, Database, Link, Stack, ToxiproxyServer, Workload
from aftershock.runtime import reaper
from aftershock.stacks import installed, redis
from aftershock.stacks.parts import Cache as CacheValues
from component.conftest import Postgres, answers, end, free_port, stack, start_toxiproxy, until
from component.test_link_faults import FAR, hold_of, life

LATE = {"latency": "200ms", "jitter": "20ms"}
RUN = "k3f9a2x1"
TO = {"cache": ["app-to-cache", "other-to-cache"], "primary": ["app-to-primary"], "web": ["app-to-web"]}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A Redis that wants a password; its port."""
    program = installed.found("redis-server")
    if program is None:
        pytest.skip(f"no Redis: {installed.known('redis-server').advice}")
    folder, port = tmp_path_factory.mktemp("redis"), free_port()
    told = redis.configuration(CacheValues(name="cache", engine="redis"), port, "word", str(folder))
    (folder / "conf").write_text(told)
    process = subprocess.Popen([program, folder / "conf"], stdout=subprocess.DEVNULL)
    until(lambda: answers(port))
    yield port
    end(process)


@dataclass(frozen=True)
class Slow:
    """The stack, and the proxies that its Toxiproxy has without a fault."""

    stack: Stack
    folder: Path
    server: Server
    proxies: dict[str, Proxy]

    def at(self, part: str) -> Site:
        return Site(self.stack, part, self.folder)

    def late(self) -> set[str]:
        return {proxy.name for proxy in self.server.proxies().values() if proxy.toxics}


@pytest.fixture
def slow(toxiproxy: Server, cache: int, postgres: Postgres, pages: int, tmp_path: Path) -> Slow:
    """Two links lead to the cache, one each to the database and the web; one goes out from the cache."""
    ports = {"cache": cache, "primary": postgres.port, "web": pages}
    links = []
    for name in ("app-to-cache", "other-to-cache", "app-to-primary", "app-to-web", "cache-to-web"):
        from_, to = name.split("-to-")
        toxiproxy.create(Proxy(name, "127.0.0.1:0", f"127.0.0.1:{ports[to]}"))
        links.append(Link(name=name, toxiproxy="main", proxy=name, from_=from_, to=to))
    links[-1] = Link(name="cache-to-web", toxiproxy="main", proxy="cache-to-web", from_="cache", to="elsewhere")
    nowhere = Secret(env="NOT_SET")
    tested = stack(
        toxiproxies=[ToxiproxyServer(name="main", url=toxiproxy.url)],
        databases=[Database(name="primary", dsn=nowhere)],
        caches=[Cache(name="cache", url=nowhere)],
        workloads=[Workload(name="web"), Workload(name="app")],
        links=links,
    )
    return Slow(tested, tmp_path, toxiproxy, toxiproxy.proxies())


@pytest.mark.parametrize("part", TO)
def test_every_link_to_the_part_is_slow_and_no_other(slow: Slow, part: str) -> None:
    async def run() -> None:
        hold = hold_of(slow.at(part), "dependency-slow", LATE)
        await hold.prepare()
        await hold.inject()
        assert slow.late() == set(TO[part])
        await hold.heal()
        await hold.close()

    asyncio.run(run())
    assert slow.server.proxies() == slow.proxies


@pytest.mark.parametrize("part", TO)
def test_it_lands_is_proved_and_leaves_nothing(slow: Slow, part: str) -> None:
    seen = asyncio.run(life(hold_of(slow.at(part), "dependency-slow", LATE)))
    assert [seen[when].holds for when in ("before", "during", "after")] == [False, True, False], seen
    assert all(name in seen["during"].observer for name in TO[part])
    assert slow.server.proxies() == slow.proxies


def test_answers_are_late_by_the_latency_once(slow: Slow) -> None:
    """Only on their way back: twice would be another fault than the one that was asked for."""

    async def run() -> canary.Talk:
        hold = hold_of(slow.at("cache"), "dependency-slow", {"latency": "400ms"})
        await hold.prepare()
        await hold.inject()
        assert isinstance(hold, DependencySlowHold)
        (toxic,) = slow.server.toxics("app-to-cache").values()
        assert (toxic.stream, toxic.attributes) == ("downstream", {"latency": 400, "jitter": 0})
        line = hold.parts[0].line  # type: ignore[attr-defined]
        assert line.speech == "redis"
        asked = await canary.talk(line)
        await hold.heal()
        await hold.close()
        return asked

    asked = asyncio.run(run())
    assert asked.end == "answered" and asked.took >= 0.4


def test_one_link_that_is_not_slow_is_enough_to_miss_it(slow: Slow) -> None:
    async def run() -> Evidence:
        hold = hold_of(slow.at("cache"), "dependency-slow", LATE)
        await hold.prepare()
        await hold.inject()
        slow.server.remove_toxic("other-to-cache", Lease("dependency-slow", RUN, FAR, "downstream").name)
        seen = await hold.observe()
        await hold.heal()
        await hold.close()
        return seen

    assert not asyncio.run(run()).holds


def test_a_link_that_fails_keeps_no_other_slow(slow: Slow) -> None:
    """Its Toxiproxy is gone, first or last in the list."""
    port = free_port()
    process = start_toxiproxy(port)
    with Server("far", f"http://127.0.0.1:{port}") as far:
        upstream = slow.proxies["app-to-web"].upstream
        far.create(Proxy("far", "127.0.0.1:0", upstream))
    links = [*slow.stack.spec.links, *(Link(name=each, toxiproxy="far", proxy="far", to="web") for each in ("f", "g"))]
    links.insert(0, links.pop())
    servers = [*slow.stack.spec.toxiproxies, ToxiproxyServer(name="far", url=f"http://127.0.0.1:{port}")]
    stack = replace(slow.stack, spec=replace(slow.stack.spec, toxiproxies=servers, links=links))

    async def run() -> None:
        hold = hold_of(replace(slow.at("web"), stack=stack), "dependency-slow", LATE)
        await hold.prepare()
        await hold.inject()
        assert slow.late() == {"app-to-web"}
        end(process)
        with pytest.raises(TargetError, match="far"):
            await hold.heal()
        assert slow.late() == set()
        await hold.close()

    asyncio.run(run())


def test_the_reaper_ends_it(slow: Slow) -> None:
    hold = hold_of(slow.at("cache"), "dependency-slow", LATE, RUN, int(time.time()) - 1)

    async def leave() -> None:
        await hold.prepare()
        await hold.inject()
        await hold.close()

    asyncio.run(leave())
    assert slow.late() == set(TO["cache"])
    assert len(asyncio.run(reaper.sweep(slow.stack, slow.folder)).healed) == 2
    assert slow.server.proxies() == slow.proxies


def test_a_part_that_no_link_leads_to_is_refused(slow: Slow) -> None:
    with pytest.raises(InputError, match="no link leads to app"):
        hold_of(slow.at("app"), "dependency-slow", LATE)
