"""The primary of a real local stack is lost in each way: proved, back at the end, and clean whatever befell its executor."""

import asyncio
import signal
import time
from collections.abc import Iterator

import psycopg
import pytest
from msgspec.structs import replace

from aftershock.adapters.toxiproxy import Server
from aftershock.errors import InputError
from aftershock.faults.fault import Site
from aftershock.runtime import loading
from aftershock.stacks import local
from component.conftest import until
from component.test_link_faults import hold_of
from component.test_reaper import Ground, holder, said
from own_home import own_home

WAYS = ["kill", "pause", "partition"]
each_way = pytest.mark.parametrize("by", WAYS)


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with own_home():
        file = local.up("1k", "primary-loss", progress=str)
        stack = loading.stack_from(file)
        with Server("main", stack.spec.toxiproxies[0].url) as server:
            yield Ground(stack, file, server)


def site(ground: Ground, target: str = "primary") -> Site:
    return Site(ground.stack, target, ground.folder)


def writes(ground: Ground) -> bool:
    """Tell whether a client gets in past the links, and may write."""
    dsn = ground.stack.spec.databases[0].dsn.file
    assert dsn
    try:
        with psycopg.connect((ground.folder / dsn).read_text(), connect_timeout=2) as opened:
            return opened.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
    except psycopg.Error:
        return False


@each_way
def test_it_is_lost_proved_and_back(ground: Ground, by: str) -> None:
    until(lambda: writes(ground))
    before = ground.server.proxies()

    async def run() -> dict[str, bool]:
        hold = hold_of(site(ground), "db-primary-loss", {"by": by})
        await hold.prepare()
        seen = {"before": (await hold.observe()).holds}
        await hold.inject()
        await hold.inject()
        seen["during"] = (await hold.observe()).holds
        assert writes(ground) == (by == "partition")
        assert await hold.left()
        await hold.heal()
        await hold.heal()
        assert await hold.left() == []
        seen["after"] = (await hold.observe()).holds
        await hold.close()
        return seen

    assert asyncio.run(run()) == {"before": False, "during": True, "after": False}
    assert ground.server.proxies() == before
    until(lambda: writes(ground))


@each_way
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_it_is_back_a_second_after_its_lease_though_nobody_healed(
    ground: Ground, by: str, blow: signal.Signals
) -> None:
    """The stack's own reaper does it."""
    until(lambda: writes(ground))
    expires = int(time.time()) + 7
    with holder(ground, expires, [("db-primary-loss", "primary", {"by": by})]) as process:
        said(process, "prepared")
        said(process, "held")
        process.send_signal(blow)
        until(lambda: time.time() >= expires + 1, 30)
        assert ground.left() == []
        until(lambda: writes(ground))


def test_what_answers_past_the_links_is_not_lost(ground: Ground) -> None:
    """The cause is there, and the effect is not: somebody has brought it back meanwhile."""
    until(lambda: writes(ground))

    async def run() -> None:
        hold = hold_of(site(ground), "db-primary-loss", {"by": "pause"})
        await hold.prepare()
        await hold.inject()
        assert (await hold.observe()).holds
        other = hold_of(site(ground), "db-primary-loss", {"by": "pause"})
        await other.heal()
        seen = await hold.observe()
        assert not seen.holds and "is the primary" in seen.saw
        await hold.close()
        await other.close()

    asyncio.run(run())


def test_a_replica_is_no_primary_whatever_the_stack_calls_it(ground: Ground) -> None:
    database = replace(ground.stack.spec.databases[0], role="replica", of="primary")
    stack = replace(ground.stack, spec=replace(ground.stack.spec, databases=[database]))
    with pytest.raises(InputError, match="is no primary in the Stack"):
        hold_of(replace(site(ground), stack=stack), "db-primary-loss", {"by": "kill"})


@pytest.mark.parametrize(
    ("by", "part", "words"),
    [
        ("kill", "workloads", "can't be taken down and brought back"),
        ("pause", "workloads", "can't be taken down and brought back"),
        ("partition", "links", "no link has an end at the database"),
    ],
)
def test_what_the_stack_lacks_is_refused(ground: Ground, by: str, part: str, words: str) -> None:
    stack = replace(ground.stack, spec=replace(ground.stack.spec, **{part: []}))
    with pytest.raises(InputError, match=words):
        hold_of(replace(site(ground), stack=stack), "db-primary-loss", {"by": by})
