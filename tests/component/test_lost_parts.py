"""A part of a real local stack is lost in each way: proved, back at the end, and clean whatever befell its executor."""

import asyncio
import signal
import time
from collections.abc import Iterator

import psycopg
import pytest
import redis
from msgspec.structs import replace

from aftershock.adapters import secrets
from aftershock.adapters.toxiproxy import Server
from aftershock.errors import InputError
from aftershock.faults.fault import Site
from aftershock.runtime import loading
from aftershock.stacks import local
from component.conftest import until
from component.test_link_faults import hold_of
from component.test_reaper import Ground, holder, said
from own_home import own_home

PARTS = {"db-primary-loss": "primary", "cache-loss": "cache"}
WAYS = ["kill", "pause", "partition"]
each_fault = pytest.mark.parametrize("fault", PARTS)
each_way = pytest.mark.parametrize("by", WAYS)


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with own_home():
        file = local.up("10k", "lost-parts", progress=str)
        stack = loading.stack_from(file)
        with Server("main", stack.spec.toxiproxies[0].url) as server:
            yield Ground(stack, file, server)


def site(ground: Ground, fault: str) -> Site:
    return Site(ground.stack, PARTS[fault], ground.folder)


def there(ground: Ground, fault: str) -> bool:
    """Tell whether a client past the links finds what it should."""
    return takes_writes(ground) if fault == "db-primary-loss" else keeps(ground)


def takes_writes(ground: Ground) -> bool:
    dsn = secrets.read(ground.stack.spec.databases[0].dsn, ground.folder)
    try:
        with psycopg.connect(dsn, connect_timeout=2) as opened:
            return opened.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
    except psycopg.Error:
        return False


def keeps(ground: Ground) -> bool:
    url = secrets.read(ground.stack.spec.caches[0].url, ground.folder)
    with redis.Redis.from_url(url, socket_timeout=2) as client:
        try:
            return bool(client.set("test", "1"))
        except redis.RedisError:
            return False


@each_fault
@each_way
def test_it_is_lost_proved_and_back(ground: Ground, fault: str, by: str) -> None:
    until(lambda: there(ground, fault))
    before = ground.server.proxies()

    async def run() -> dict[str, bool]:
        hold = hold_of(site(ground, fault), fault, {"by": by})
        await hold.prepare()
        seen = {"before": (await hold.observe()).holds}
        await hold.inject()
        await hold.inject()
        seen["during"] = (await hold.observe()).holds
        assert there(ground, fault) == (by == "partition")
        assert await hold.left()
        await hold.heal()
        await hold.heal()
        assert await hold.left() == []
        seen["after"] = (await hold.observe()).holds
        await hold.close()
        return seen

    assert asyncio.run(run()) == {"before": False, "during": True, "after": False}
    assert ground.server.proxies() == before
    until(lambda: there(ground, fault))


@pytest.mark.parametrize(
    ("fault", "blow"),
    [
        ("db-primary-loss", signal.SIGKILL),
        ("db-primary-loss", signal.SIGSTOP),
        ("cache-loss", signal.SIGKILL),
    ],
    ids=["primary-killed", "primary-frozen", "cache-killed"],
)
@each_way
def test_it_is_back_a_second_after_its_lease_though_nobody_healed(
    ground: Ground, fault: str, by: str, blow: signal.Signals
) -> None:
    """The stack's own reaper does it."""
    until(lambda: there(ground, fault))
    expires = int(time.time()) + 7
    with holder(ground, expires, [(fault, PARTS[fault], {"by": by})]) as process:
        said(process, "prepared")
        said(process, "held")
        process.send_signal(blow)
        until(lambda: time.time() >= expires + 1, 30)
        assert ground.left() == []
        until(lambda: there(ground, fault))


@each_fault
def test_what_answers_past_the_links_is_not_lost(ground: Ground, fault: str) -> None:
    """The cause is on record, and the effect is not there: somebody has brought it back meanwhile."""
    until(lambda: there(ground, fault))

    async def run() -> None:
        hold, other = (hold_of(site(ground, fault), fault, {"by": "pause"}) for _ in range(2))
        await hold.prepare()
        await hold.inject()
        assert (await hold.observe()).holds
        await other.heal()
        seen = await hold.observe()
        assert not seen.holds and "past the links it answers" in seen.saw
        await hold.close()
        await other.close()

    asyncio.run(run())


def test_what_refuses_its_client_is_not_what_was_to_be_lost(ground: Ground) -> None:
    cache = ground.stack.spec.caches[0]
    address = secrets.read(cache.url, ground.folder).partition("@")[2]
    (ground.folder / "wrong").write_text(f"redis://:wrong@{address}")
    cache = replace(cache, url=replace(cache.url, file="wrong"))
    stack = replace(ground.stack, spec=replace(ground.stack.spec, caches=[cache]))

    async def run() -> None:
        hold = hold_of(replace(site(ground, "cache-loss"), stack=stack), "cache-loss", {"by": "pause"})
        with pytest.raises(InputError, match="refuses the client"):
            await hold.prepare()
        await hold.close()

    asyncio.run(run())


def test_a_replica_is_no_primary_whatever_it_is_asked(ground: Ground) -> None:
    with pytest.raises(InputError, match="is no primary in the Stack"):
        hold_of(replace(site(ground, "db-primary-loss"), target="replica"), "db-primary-loss", {"by": "kill"})


@each_fault
@pytest.mark.parametrize(
    ("by", "part", "words"),
    [
        ("kill", "workloads", "can't be taken down and brought back"),
        ("pause", "workloads", "can't be taken down and brought back"),
        ("partition", "links", "no link has an end at"),
    ],
)
def test_what_the_stack_lacks_is_refused(ground: Ground, fault: str, by: str, part: str, words: str) -> None:
    stack = replace(ground.stack, spec=replace(ground.stack.spec, **{part: []}))
    with pytest.raises(InputError, match=words):
        hold_of(replace(site(ground, fault), stack=stack), fault, {"by": by})
