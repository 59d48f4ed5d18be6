"""What the meetings service keeps in a real Redis."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from aftershock.stacks import installed
from aftershock.stacks.meetings.cache import Cache
from component.conftest import free_port, until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    port = free_port()
    program = installed.found("redis-server")
    assert program is not None
    line = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    with subprocess.Popen(line, stdout=subprocess.DEVNULL) as process:
        url = f"redis://127.0.0.1:{port}"
        until(lambda: answers(url))
        yield url, process
        process.kill()


def answers(url: str) -> bool:
    with redis.Redis.from_url(url) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


def test_a_list_that_has_run_out_is_made_once_for_all_who_wait(
    server: tuple[str, "subprocess.Popen[bytes]"],
) -> None:
    url, process = server
    made = 0

    async def run() -> None:
        go_on = asyncio.Event()

        async def make() -> bytes:
            nonlocal made
            made += 1
            await go_on.wait()
            return b"[]"

        cache = Cache(url, "lists")
        asked = [asyncio.create_task(cache.list_or(make)) for _ in range(20)]
        while not made:
            await asyncio.sleep(0.01)
        go_on.set()
        assert await asyncio.gather(*asked) == [b"[]"] * 20
        assert made == 1
        process.kill()
        process.wait()
        go_on.clear()
        asked = [asyncio.create_task(cache.list_or(make)) for _ in range(2)]
        while made < 3:  # nobody waits for another: what one makes the other would never find
            await asyncio.sleep(0.01)
        go_on.set()
        assert await asyncio.gather(*asked) == [b"[]"] * 2
        await cache.close()

    asyncio.run(asyncio.wait_for(run(), 30))
