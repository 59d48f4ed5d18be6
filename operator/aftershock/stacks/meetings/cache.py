"""What the service keeps in Redis, and for how long. A cache that is away is a cache that knows nothing: no request fails by
it, it only costs the time of asking.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from redis.asyncio import Redis

Mode = Literal["off", "lists", "all"]
PATIENCE = 0.25
"""Seconds to wait for it."""
LIST_FOR, NOTE_FOR = 1, 60
"""Seconds that a list and a note are good for."""

_LIST = "meetings"
_log = logging.getLogger("meetings")


class Cache:
    """`mode`: `off`; `lists`, for the list of meetings; `all`, for notes too, which are put here as they are written."""

    def __init__(self, url: str, mode: Mode) -> None:
        self._mode = mode
        self._redis = _client(url) if mode != "off" else None
        self._making = asyncio.Lock()

    async def alive(self) -> bool:
        """Tell whether it answers; one that is off needs not."""
        if self._redis is None:
            return True
        with suppress(*_failures()):
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
        except _failures() as error:
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
        return await self._get(f"note:{number}") if self._mode == "all" else None

    async def put_note(self, number: str, text: bytes) -> None:
        """Keep a note."""
        if self._mode == "all":
            await self._put(f"note:{number}", text, NOTE_FOR)

    async def close(self) -> None:
        """Let go."""
        if self._redis is not None:
            with suppress(*_failures()):
                await self._redis.aclose()

    async def _get(self, key: str) -> bytes | None:
        if self._redis is None:
            return None
        try:
            found = await self._redis.get(key)
        except _failures() as error:
            _log.warning("the cache is not to be had: %s", error)
            return None
        return found if isinstance(found, bytes) else None

    async def _put(self, key: str, text: bytes, seconds: int) -> None:
        if self._redis is not None:
            try:
                await self._redis.set(key, text, ex=seconds)
            except _failures() as error:
                _log.warning("the cache is not to be had: %s", error)


def _client(url: str) -> "Redis":
    from redis.asyncio import Redis  # noqa: PLC0415  # a service without a cache starts without its client

    return Redis.from_url(url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)


def _failures() -> tuple[type[Exception], ...]:
    from redis.exceptions import RedisError  # noqa: PLC0415

    return RedisError, OSError
