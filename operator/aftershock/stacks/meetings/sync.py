"""What regions tell each other of what they keep: each announces in its own Redis which notes a write there made old, and each
follows what the others announce and withholds those notes in its own. Nothing that is kept crosses an ocean, only its name.

An announcement may arrive before the row that it is about. So a note is not just dropped: for `WITHHELD` seconds it is read
from the database, and not put back. What is guaranteed of a note that another region has replaced:

- While the links are whole, and the databases less than `WITHHELD` behind each other: once the announcement has arrived, which
  takes one way, the cache answers with nothing older than the database of the region has.
- Where the database is further behind, an old note may be put back, for `NOTE_FOR` seconds at the most.
- While a link is cut: a note is as old as it can get, `NOTE_FOR` seconds. Afterwards what was announced meanwhile is caught up
  with; announcements are kept for longer than any note that they could be about.
- Where the own Redis is away, or needs the room, or the service ends right after a write, an announcement comes late or never:
  `NOTE_FOR` again.

The list of meetings is not announced. It lives for a second, and changes with everybody who joins: it would be made anew for
nearly every reader, and be hardly newer by it.

No request ever waits for another region: what is announced is put down, and tasks of their own carry it out.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from aftershock.stacks.meetings.cache import NOTE_FOR, Cache, connect, failures

if TYPE_CHECKING:
    from redis.asyncio import Redis

WITHHELD = 10
"""Seconds for which a note that another region has replaced is read from the database."""
KEPT_FOR = NOTE_FOR + WITHHELD
"""Seconds for which an announcement is of use: what was put before it has run out by then."""
TURN = 0.5
"""Seconds that Redis lets a follower wait for news, and a follower waits before it tries again."""
PATIENCE = 1.0
"""Seconds after which the way to a Redis is given up, and tried again."""
SILENT = 2.0
"""Seconds after which a region that has not answered counts as not heard of."""

_STREAM, _FIELD = "old", b"note"
_BATCH = 500
_log = logging.getLogger("meetings")


class Sync:
    """`own`: the URL of the region's own Redis. `others`: those of other regions, by name; without any, nothing is announced.

    `now`: seconds, on a clock that doesn't jump.
    """

    def __init__(
        self, cache: Cache, own: str, others: Mapping[str, str], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._cache, self._own, self._others, self._now = cache, own, dict(others), now
        self._unsaid: dict[str, float] = {}
        self._some = asyncio.Event()
        self._heard = dict.fromkeys(others, float("-inf"))
        self._tasks: list[asyncio.Task[None]] = []
        self._over = False

    def start(self) -> None:
        """Begin to announce and to follow."""
        if self._others:
            self._tasks = [asyncio.create_task(self._announcing())]
            self._tasks += [asyncio.create_task(self._following(*each)) for each in self._others.items()]

    async def close(self) -> None:
        """End that. A task is told again until it ends: what gives up waiting for a Redis may take that for its own doing."""
        self._over = True
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            _, left = await asyncio.wait(self._tasks, timeout=TURN)
            self._tasks = list(left)

    def announce(self, number: str) -> None:
        """Have the other regions told, soon, that a note was replaced."""
        if self._others:  # else nobody would ever take it away
            self._unsaid[number] = self._now()
            self._some.set()

    @property
    def unsaid(self) -> int:
        """How many announcements are still to be made."""
        return len(self._unsaid)

    @property
    def unheard(self) -> list[str] | None:
        """The regions that have not been heard of lately; None where none is followed."""
        if not self._others:
            return None
        return [name for name, at in self._heard.items() if self._now() - at > SILENT]

    async def _announcing(self) -> None:
        redis = connect(self._own, PATIENCE)
        try:
            while not self._over:
                await self._some.wait()
                self._some.clear()
                await _again(self._say, redis)
        finally:
            await redis.aclose()

    async def _say(self, redis: "Redis") -> None:
        """Put all that is unsaid into the stream. What fails stays unsaid, for as long as it matters to anybody."""
        saying, self._unsaid = self._unsaid, {}
        old = int((time.time() - KEPT_FOR) * 1000)
        try:
            async with redis.pipeline(transaction=False) as line:
                for number in saying:
                    line.xadd(_STREAM, {_FIELD: number}, minid=old)
                await line.execute()
        except failures():
            recent = {number: at for number, at in saying.items() if self._now() - at < KEPT_FOR}
            self._unsaid = recent | self._unsaid
            raise

    async def _following(self, region: str, url: str) -> None:
        """Hear what a region announces, from the first that is still there on."""
        redis, last = connect(url, PATIENCE), b"0"

        async def hear(redis: "Redis") -> None:
            nonlocal last
            last = await self._hear(redis, last)
            self._heard[region] = self._now()

        try:
            while not self._over:
                await _again(hear, redis)
        finally:
            await redis.aclose()

    async def _hear(self, redis: "Redis", last: bytes) -> bytes:
        """Wait a turn for news and act on it; return up to where it was heard."""
        news: Any = await redis.xread({_STREAM: last}, count=_BATCH, block=int(TURN * 1000))
        for _, entries in news or ():
            await self._cache.withhold({fields[_FIELD].decode() for _, fields in entries}, WITHHELD)
            last = bytes(entries[-1][0])
        return last


async def _again(do: "Callable[[Redis], Awaitable[None]]", redis: "Redis") -> None:
    """Do something with a Redis until it is done. The first failure of a row is told."""
    told = False
    while True:
        try:
            return await do(redis)
        except failures() as error:
            if not told:
                _log.warning("the regions' caches are not in step: %s", error)
            told = True
        await asyncio.sleep(TURN)
