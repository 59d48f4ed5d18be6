"""What the service keeps in Redis, and for how long. A cache that is away is a cache that knows nothing: no request fails by
it, it only costs the time of asking.

A key may be *withheld* for a while: it is known to be old, and what would replace it may not have come yet. Nobody finds it
then, and nobody puts it back. `sync` withholds what another region wrote.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from redis.asyncio import Redis

Mode = Literal["off", "lists", "all"]
PATIENCE = 0.25
"""Seconds to wait for it."""
LIST_FOR, NOTE_FOR = 1, 60
"""Seconds that a list and a note are good for."""

_LIST = "meetings"
_WITHHELD = b""
"""What stands in the place of a key that is withheld: no note is empty, so it is none."""
_AS_WRITTEN = """
if redis.call('GET', KEYS[1]) ~= '' then
    redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
end
"""
"""One step, as all of Redis' scripts: between looking and setting nobody could withhold it."""
_log = logging.getLogger("meetings")


class Cache:
    """`mode`: `off`; `lists`, for the list of meetings; `all`, for notes too, which are put here as they are written."""

    def __init__(self, url: str, mode: Mode) -> None:
        self._mode = mode
        self._redis = connect(url, PATIENCE) if mode != "off" else None
        self._making = asyncio.Lock()

    async def alive(self) -> bool:
        """Tell whether it answers; one that is off needs not."""
        if self._redis is None:
            return True
        with suppress(*failures()):
            return bool(await self._redis.ping())
        return False

    async def list_or(self, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """Return the list of meetings as it was put, or else as `make` makes it, and keep that.

        Whoever finds none while another makes one waits for that: a list that has run out is not made by everybody at once.
        """
        if self._redis is None:
            return await make()
        try:
            kept = await self._redis.get(_LIST)
        except failures() as error:
            _log.warning("the cache is not to be had: %s", error)
            return await make()
        if isinstance(kept, bytes):
            return kept
        async with self._making:
            if (kept := await self._get(_LIST)) is None:
                kept = await make()
                await self.put_list(kept)
            return kept

    async def put_list(self, text: bytes) -> None:
        """Keep the list."""
        await self._put(_LIST, text, LIST_FOR)

    async def note(self, number: str) -> bytes | None:
        """Return a note as it was put."""
        return (await self._get(_note(number)) or None) if self._mode == "all" else None

    async def put_note(self, number: str, text: bytes) -> None:
        """Keep a note that has just been written."""
        if self._mode == "all" and self._redis is not None:
            with _told():
                await self._redis.eval(_AS_WRITTEN, 1, _note(number), text, NOTE_FOR)

    async def put_note_read(self, number: str, text: bytes) -> None:
        """Keep a note that was read, unless there is one: who has written it meanwhile knows better."""
        if self._mode == "all" and self._redis is not None:
            with _told():
                await self._redis.set(_note(number), text, ex=NOTE_FOR, nx=True)

    async def withhold(self, numbers: Iterable[str], seconds: int) -> None:
        """Let nobody find these notes, nor put them back, for so many seconds. What Redis raises, where it is away."""
        if self._redis is not None:
            async with self._redis.pipeline(transaction=False) as line:
                for number in numbers:
                    line.set(_note(number), _WITHHELD, ex=seconds)
                await line.execute()

    async def close(self) -> None:
        """Let go."""
        if self._redis is not None:
            with suppress(*failures()):
                await self._redis.aclose()

    async def _get(self, key: str) -> bytes | None:
        if self._redis is None:
            return None
        try:
            found = await self._redis.get(key)
        except failures() as error:
            _log.warning("the cache is not to be had: %s", error)
            return None
        return found if isinstance(found, bytes) else None

    async def _put(self, key: str, text: bytes, seconds: int) -> None:
        if self._redis is not None:
            with _told():
                await self._redis.set(key, text, ex=seconds)


def connect(url: str, patience: float) -> "Redis":
    """Return a client that waits `patience` seconds for a connection, and for an answer."""
    from redis.asyncio import Redis  # noqa: PLC0415  # a service without a cache starts without its client

    return Redis.from_url(url, socket_timeout=patience, socket_connect_timeout=patience)


def failures() -> tuple[type[Exception], ...]:
    """Return what a client raises where Redis is away."""
    from redis.exceptions import RedisError  # noqa: PLC0415

    return RedisError, OSError


@contextmanager
def _told() -> Iterator[None]:
    """What can't be kept is told of, and no more."""
    try:
        yield
    except failures() as error:
        _log.warning("the cache is not to be had: %s", error)


def _note(number: str) -> str:
    return f"note:{number}"
