"""The executor's side of shards on other machines: a door at which they arrive, and each of them as a prober."""

import asyncio
import contextlib
import hmac
import time
from collections.abc import AsyncIterator, Mapping

from aftershock.core.shards import LOOKS, between
from aftershock.errors import InputError, TargetError
from aftershock.probes import order as orders
from aftershock.probes.order import Heard, Hello, Order, Ping, Pong, Ready, Refused
from aftershock.probes.process import START, Addressed

_LINE = 16 * 1024 * 1024


class Remote(Addressed):
    """One shard that has come. `events` has to be read on, or it stops telling in the end."""

    def __init__(self, hello: Hello, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.where = hello.where
        self._reader, self._writer = reader, writer
        self._ending = False

    async def measure(self) -> tuple[float, float]:
        """Return its clock minus ours, and how wrong that may be, seconds: by the best of several looks.

        TargetError where it doesn't answer.
        """
        looks = []
        for _ in range(LOOKS):
            await self._tell(Ping(time.monotonic()))
            pong = orders.read_heard(await self._answer())
            if not isinstance(pong, Pong):
                raise TargetError(f"{self.where} does not tell its clock", "shards and executor must be of one version")
            looks.append(between(pong.at, pong.clock, time.monotonic()))
        return min(looks, key=lambda look: look[1])

    async def greet(self, order: Order) -> Refused | None:
        """Give it its order, with the origin on its own clock; return once it is ready, or with why it can't carry it out.

        TargetError where it doesn't answer.
        """
        await self._say(orders.encode(order))
        reply = orders.read_reply(await self._answer())
        if isinstance(reply, Refused):
            return reply
        if not isinstance(reply, Ready):
            raise TargetError(f"{self.where} is not ready", "shards and executor must be of one version")
        return None

    async def _answer(self) -> bytes:
        try:
            line = await asyncio.wait_for(self._reader.readline(), START)
        except (TimeoutError, OSError, ValueError) as error:
            raise TargetError(f"{self.where} did not answer within {START:.0f} s", "see the pod's log") from error
        if not line:
            raise TargetError(f"{self.where} ended the connection", "see the pod's log")
        return line

    async def events(self) -> AsyncIterator[Heard]:
        """Give out records as they come; end with it. TargetError after the last one if it went unasked."""
        try:
            while line := await self._reader.readline():
                event = orders.read_heard(line)
                if event is not None:
                    yield event
        except (OSError, ValueError) as error:
            raise TargetError(f"its connection broke: {error}", "see the pod's log") from None
        if not self._ending:
            raise TargetError("its connection ended", "see what became of the pod")

    async def finish(self) -> None:
        """Ask to send no more, to read ledgers back and to end; `events` then ends by itself."""
        self._ending = True
        await super().finish()

    async def kill(self) -> None:
        """End the connection: it ends with it. Never raises."""
        self._ending = True
        self._writer.transport.abort()

    async def _say(self, line: bytes) -> None:
        with contextlib.suppress(OSError):  # it is gone: `events` says so
            self._writer.write(line)
            await self._writer.drain()


class Door:
    """Where shards arrive: those that have the key, each number once, for as long as it is open."""

    def __init__(self, key: str, count: int) -> None:
        self._key, self._count = key, count
        self._come: dict[int, Remote] = {}
        self._closed = False
        self._all = asyncio.Event()
        self._server: asyncio.Server

    async def open(self, host: str) -> int:
        """Listen at a host's address; return the port. TargetError where that can't be."""
        try:
            self._server = await asyncio.start_server(self._met, host, 0, limit=_LINE)
        except OSError as error:
            raise TargetError(
                f"can't listen for the load's shards at {host}: {error}", "see what AFTERSHOCK_POD_IP says"
            ) from None
        return int(self._server.sockets[0].getsockname()[1])

    async def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            hello = orders.read_reply(await asyncio.wait_for(reader.readline(), START))
        except (InputError, TimeoutError, OSError, ValueError):
            hello = None
        if not isinstance(hello, Hello) or not self._expected(hello):
            writer.transport.abort()
            return
        self._come[hello.shard] = Remote(hello, reader, writer)
        if len(self._come) == self._count:
            self._all.set()

    def _expected(self, hello: Hello) -> bool:
        known = hmac.compare_digest(hello.key.encode(), self._key.encode())
        return known and not self._closed and hello.shard in range(self._count) and hello.shard not in self._come

    async def come(self, patience: float) -> Mapping[int, Remote]:
        """Return who has come, by number, once all have; or after so many seconds whoever has."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._all.wait(), patience)
        return dict(self._come)

    async def close(self, *, also: bool = False) -> None:
        """Let nobody in any more; `also` those who have come are sent away. Never raises.

        Who has connected and not yet said who it is, is sent away when it does.
        """
        self._closed = True
        self._server.close()
        if also:
            for one in self._come.values():
                await one.kill()
