"""Two regions' caches, each a real Redis: what one region replaces the other withholds, over a link that is cut at times."""

import asyncio
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis

from aftershock.adapters.toxiproxy import Proxy, Server, Toxic
from aftershock.stacks import installed
from aftershock.stacks.meetings.cache import NOTE_FOR, Cache
from aftershock.stacks.meetings.sync import WITHHELD, Sync
from component.conftest import answers, end, free_port, until

OLD, NEW = b"old", b"new"
LINK = "east-from-west"


@dataclass
class Store:
    """A Redis that can be killed, and comes back empty."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        program = installed.found("redis-server")
        if program is None:
            pytest.skip(f"no Redis: {installed.known('redis-server').advice}")
        line = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]
        self.process = subprocess.Popen(line, stdout=subprocess.DEVNULL)
        until(lambda: answers(self.port))

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def left(self, number: str) -> tuple[bytes | None, int]:
        """Return what stands in a note's place, and for how many seconds more."""
        with redis.Redis.from_url(self.url) as client:
            return client.get(f"note:{number}"), client.ttl(f"note:{number}")


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    both = (Store(tmp_path), Store(tmp_path))
    for each in both:
        each.start()
    yield both
    for each in both:
        if each.process:
            end(each.process)


@dataclass
class Two:
    """East follows west through a link; west follows nobody who says anything."""

    east: Cache
    west: Cache
    listening: Sync
    telling: Sync


def between(stores: tuple[Store, Store], toxiproxy: Server, test: Callable[[Two], Awaitable[None]]) -> None:
    """Run a test with both regions at work."""
    east, west = stores
    toxiproxy.create(Proxy(LINK, "127.0.0.1:0", f"127.0.0.1:{west.port}"))
    through = toxiproxy.proxies()[LINK].listen

    async def run() -> None:
        caches = Cache(east.url, "all"), Cache(west.url, "all")
        listening = Sync(caches[0], east.url, {"west": f"redis://{through}"})
        telling = Sync(caches[1], west.url, {"east": east.url})
        for each in (listening, telling):
            each.start()
        try:
            async with asyncio.timeout(60):
                await test(Two(*caches, listening, telling))
        finally:
            for each in (listening, telling, *caches):  # type: ignore[assignment]
                await each.close()

    try:
        asyncio.run(run())
    finally:
        toxiproxy.delete(LINK)


async def so(what: Callable[[], Awaitable[bool]]) -> None:
    while not await what():
        await asyncio.sleep(0.01)


async def heard(two: Two, wanted: list[str]) -> None:
    async def look() -> bool:
        return two.listening.unheard == wanted

    await so(look)


async def forgotten(cache: Cache, number: str) -> None:
    async def look() -> bool:
        return await cache.note(number) is None

    await so(look)


def test_what_was_replaced_elsewhere_is_neither_found_nor_put_back_before_its_row_can_be_there(
    stores: tuple[Store, Store], toxiproxy: Server
) -> None:
    async def test(two: Two) -> None:
        for number in ("n", "other"):
            await two.east.put_note_read(number, OLD)
        two.telling.announce("n")
        await forgotten(two.east, "n")
        await two.east.put_note_read("n", OLD)  # who has read before the row came
        assert await two.east.note("n") is None
        await two.east.put_note("n", b"written here, and replaced there")
        assert await two.east.note("n") is None
        value, seconds = stores[0].left("n")
        assert value == b"" and 0 < seconds <= WITHHELD
        assert await two.east.note("other") == OLD

    between(stores, toxiproxy, test)


@pytest.mark.parametrize("how", ["cut", "silent"])
def test_what_was_announced_while_nothing_came_through_is_caught_up_with(
    stores: tuple[Store, Store], toxiproxy: Server, how: str
) -> None:
    async def test(two: Two) -> None:
        await heard(two, [])
        await two.east.put_note_read("n", OLD)
        if how == "cut":
            toxiproxy.disable(LINK)
        else:
            toxiproxy.add_toxic(LINK, Toxic("silence", "timeout", "downstream", 1.0, {"timeout": 0}))
        await heard(two, ["west"])
        two.telling.announce("n")
        await heard(two, ["west"])
        assert await two.east.note("n") == OLD
        assert 0 < stores[0].left("n")[1] <= NOTE_FOR, "no longer than that"
        if how == "cut":
            toxiproxy.enable(LINK)
        else:
            toxiproxy.remove_toxic(LINK, "silence")
        await forgotten(two.east, "n")
        await heard(two, [])

    between(stores, toxiproxy, test)


def test_a_cache_that_was_away_is_told_when_it_is_back(stores: tuple[Store, Store], toxiproxy: Server) -> None:
    """West's, which announcements lie in, and then east's, which withholds. Nobody has forgotten what was to be told."""

    async def test(two: Two) -> None:
        await two.east.put_note_read("n", OLD)
        for store, number in ((stores[1], "n"), (stores[0], "m")):
            await heard(two, [])
            store.kill()
            two.telling.announce(number)
            await heard(two, ["west"])  # it can't be told, or it was heard and can't be acted on
            store.start()
            await so(lambda number=number: withheld(number))  # type: ignore[misc]

    async def withheld(number: str) -> bool:
        return stores[0].left(number)[0] == b""

    between(stores, toxiproxy, test)


def test_who_begins_to_follow_hears_what_was_announced_before(stores: tuple[Store, Store], toxiproxy: Server) -> None:
    """What it keeps is older than itself: a service that is started anew finds what its cache had."""
    with redis.Redis.from_url(stores[1].url) as client:
        client.xadd("old", {"note": "n"})

    async def test(two: Two) -> None:
        await two.east.put_note_read("n", OLD)
        await forgotten(two.east, "n")

    between(stores, toxiproxy, test)


def test_announcements_that_nobody_needs_any_more_are_cleared(stores: tuple[Store, Store], toxiproxy: Server) -> None:
    with redis.Redis.from_url(stores[1].url) as client:
        for number in range(1000):
            client.xadd("old", {"note": "n"}, id=f"{number + 1}-0")  # milliseconds since 1970

    async def test(two: Two) -> None:
        two.telling.announce("last")
        await so(few)

    async def few() -> bool:
        with redis.Redis.from_url(stores[1].url) as client:
            return int(client.xlen("old")) < 500

    between(stores, toxiproxy, test)


def test_who_has_read_does_not_overwrite_who_has_written(stores: tuple[Store, Store]) -> None:
    async def run() -> None:
        cache = Cache(stores[0].url, "all")
        await cache.put_note("n", NEW)
        await cache.put_note_read("n", OLD)
        assert await cache.note("n") == NEW
        await cache.put_note("n", OLD)
        assert await cache.note("n") == OLD
        await cache.close()

    asyncio.run(run())


def test_who_follows_nobody_announces_nothing(stores: tuple[Store, Store]) -> None:
    async def run() -> None:
        cache = Cache(stores[0].url, "all")
        alone = Sync(cache, stores[0].url, {})
        alone.start()
        alone.announce("n")
        assert (alone.unheard, alone.unsaid) == (None, 0)
        await alone.close()
        await cache.close()

    asyncio.run(run())
    with redis.Redis.from_url(stores[0].url) as client:
        assert client.keys() == []


class Deaf(Sync):
    """One whose first wait that is cancelled ends as if nothing had been said."""

    async def _hear(self, redis: "redis.asyncio.Redis", last: bytes) -> bytes:
        try:
            return await super()._hear(redis, last)
        except asyncio.CancelledError:
            return last


def test_who_does_not_hear_that_it_is_over_is_told_again(stores: tuple[Store, Store]) -> None:
    east, west = stores

    async def test() -> None:
        cache = Cache(east.url, "all")
        listening = Deaf(cache, east.url, {"west": west.url})
        listening.start()
        async with asyncio.timeout(30):
            while listening.unheard != []:
                await asyncio.sleep(0.01)
            await listening.close()
        await cache.close()

    asyncio.run(test())
