"""A small HTTP server on loopback whose truth is known, and a prober that measures it: for tests of what is measured."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aftershock.core.history import Any_, Ledgered, Noted, Slice
from aftershock.model.metadata import Metadata
from aftershock.model.stack import Database, HttpProbe, Indicator, Resolver, Stack, StackSpec
from aftershock.model.units import Duration
from aftershock.probes.order import Order
from aftershock.probes.process import Prober

TOKEN = "k3f9a2x1"
HANG = b""
"""An answer that never comes."""


def run_with(shards: int) -> dict[str, Any]:
    """A Run, as the Kubernetes API has it, whose load so many generators share."""
    definition = {"stack": "shop", "timeline": [], "load": {"indicator": "a", "rate": "1/s", "shards": shards}}
    return {
        "metadata": {"name": "slow-1", "namespace": "here", "uid": "u"},
        "spec": {"experiment": "slow", "stack": "shop", "definition": definition},
    }


def response(status: int = 200, body: bytes = b"ok", headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d X\r\n%sContent-Length: %d\r\n\r\n%s" % (status, headers, len(body), body)


@dataclass(frozen=True)
class Asked:
    """One request. `at`: CLOCK_MONOTONIC when it was whole; `peer`: the client's port."""

    head: bytes
    body: bytes
    at: float
    peer: int

    @property
    def target(self) -> str:
        return self.head.split(b" ", 2)[1].decode()


@dataclass
class Server:
    """Answers each request with the bytes that `answer` gives, or with ABORT, or never. `close` ends the connection then."""

    answer: Callable[[Asked], bytes | None]
    close: bool = False
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    asked: list[Asked] = field(default_factory=list)
    port: int = 0
    accepted: int = 0
    lines: list[asyncio.Transport] = field(default_factory=list)

    def drop(self) -> None:
        """Reset every connection, now and from now on."""
        self.answer = lambda _: None
        for line in self.lines:
            self.loop.call_soon_threadsafe(line.abort)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class _Line(asyncio.Protocol):
    def __init__(self, server: Server) -> None:
        self.server = server
        self.data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.peer = transport.get_extra_info("peername")[1]
        self.server.accepted += 1
        self.server.lines.append(transport)

    def data_received(self, data: bytes) -> None:
        self.data += data
        while (asked := self._whole()) is not None:
            self.server.asked.append(asked)
            answer = self.server.answer(asked)
            if answer is None:
                self.transport.abort()
            elif answer != HANG:
                self.transport.write(answer)
                if self.server.close:
                    self.transport.close()

    def _whole(self) -> Asked | None:
        head, found, rest = self.data.partition(b"\r\n\r\n")
        if not found:
            return None
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        if len(rest) < length:
            return None
        self.data = rest[length:]
        return Asked(head, rest[:length], time.monotonic(), self.peer)


@contextmanager
def serving(
    answer: Callable[[Asked], bytes | None],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    close: bool = False,
    tls: object = None,
) -> Iterator[Server]:
    """Serve from a thread. `answer` None aborts the connection (RST), HANG says nothing."""
    server = Server(answer, close=close)
    started, stop = threading.Event(), asyncio.Event()
    loop = server.loop

    async def serve() -> None:
        listening = await loop.create_server(lambda: _Line(server), host, port, ssl=tls, backlog=1024)  # type: ignore[call-overload]
        server.port = listening.sockets[0].getsockname()[1]
        started.set()
        await stop.wait()
        listening.close()
        for line in server.lines:
            line.abort()
        await asyncio.sleep(0)

    thread = threading.Thread(target=lambda: (loop.run_until_complete(serve()), loop.close()), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def http(name: str, url: str, every: float = 0.01, timeout: float = 2.0, **fields: object) -> Indicator:
    return Indicator(name=name, every=Duration(every), timeout=Duration(timeout), http=HttpProbe(url=url, **fields))  # type: ignore[arg-type]


def order(
    indicators: Sequence[Indicator],
    *,
    counted: str = "probes",
    until: float = 60.0,
    databases: Sequence[Database] = (),
    folder: str = "/",
    token: str = TOKEN,
    resolver: str | None = None,
) -> Order:
    asked = None if resolver is None else Resolver(name="dns", address=resolver)
    stack = Stack(
        api_version="aftershock.dev/v1alpha1",
        metadata=Metadata(name="planted"),
        spec=StackSpec(
            era="1k", environment="test", indicators=list(indicators), databases=list(databases), resolver=asked
        ),
    )
    return Order(
        counted=counted,  # type: ignore[arg-type]
        origin=time.monotonic(),
        token=token,
        stack=stack,
        folder=folder,
        indicators=[each.name for each in indicators],
        until=until,
    )


@dataclass(frozen=True)
class Measured:
    events: list[Any_]

    def slices(self, name: str | None = None) -> list[Slice]:
        return [each for each in self.events if isinstance(each, Slice) and name in {None, each.indicator}]

    def total(self, name: str | None = None) -> tuple[int, int, int, dict[str, int]]:
        """Return planned, unsent, good and bad."""
        slices = self.slices(name)
        bad: dict[str, int] = {}
        for each in slices:
            for kind, count in each.bad.items():
                bad[kind] = bad.get(kind, 0) + count
        return sum(s.planned for s in slices), sum(s.unsent for s in slices), sum(s.good for s in slices), bad

    @property
    def ledgered(self) -> Ledgered:
        (record,) = [each for each in self.events if isinstance(each, Ledgered)]
        return record

    @property
    def notes(self) -> list[str]:
        return [each.text for each in self.events if isinstance(each, Noted)]


async def collect(prober: Prober) -> Measured:
    return Measured([event async for event in prober.events()])


def measure(order: Order, seconds: float, rates: Sequence[tuple[float, float]] | None = None) -> Measured:
    """Probe for a while, finish, and return everything that was told."""

    async def run() -> Measured:
        prober = await Prober.start(order)
        try:
            if rates is not None:
                await prober.rates(rates)
            hearing = asyncio.create_task(collect(prober))
            await asyncio.sleep(seconds)
            await prober.finish()
            return await asyncio.wait_for(hearing, 60)
        finally:
            await prober.kill()

    return asyncio.run(run())
