"""Shards that come to an executor and go again at the wrong moment, over real connections; the test plays the shard."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from aftershock.adapters.kubernetes import Api, Resource
from aftershock.core.history import Sharded
from aftershock.errors import InputError
from aftershock.probes import order as orders
from aftershock.probes.order import Hello, Order, Pong, Ready, Refused, Reply
from aftershock.probes.process import Prober
from aftershock.probes.remote import Door
from aftershock.runtime import shards
from aftershock.runtime.clock import RunClock
from aftershock.runtime.cluster import jobs
from aftershock.runtime.cluster.sharding import Pods
from aftershock.runtime.shards import Shards, processes
from planted import http, order, response, run_with, serving

HERE = "127.0.0.1"
RUN = run_with(2)


@dataclass
class Shard:
    """One that comes and tells its clock. `replies` it gives to its order; without any it ends the connection then."""

    key: str
    port: int
    number: int
    replies: tuple[Reply, ...] = ()

    async def come(self) -> None:
        reader, writer = await asyncio.open_connection(HERE, self.port)
        writer.write(orders.encode(Hello(key=self.key, shard=self.number, where=f"pod {self.number}")))
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                if b'"command"' not in line:
                    break
                ping = orders.read_command(line)
                writer.write(orders.encode(Pong(at=getattr(ping, "at", 0.0), clock=time.monotonic())))
            for reply in self.replies:
                writer.write(orders.encode(reply))
            if self.replies:
                await reader.read()
        writer.close()


@dataclass
class Played:
    """Takes a Job as the API server would; its pods answer their order with `replies`, by number."""

    loop: asyncio.AbstractEventLoop
    replies: Mapping[int, tuple[Reply, ...]]
    jobs: list[str] = field(default_factory=list)

    def create(self, _: Resource, job: Mapping[str, Any]) -> None:
        self.jobs.append(job["metadata"]["name"])
        (container,) = job["spec"]["template"]["spec"]["containers"]
        told = {each["name"]: each["value"] for each in container["env"]}
        port = int(told["AFTERSHOCK_EXECUTOR"].rpartition(":")[2])
        for number, replies in self.replies.items():
            come = Shard(told["AFTERSHOCK_KEY"], port, number, replies).come()
            asyncio.run_coroutine_threadsafe(come, self.loop)

    def delete(self, _: Resource, name: str, namespace: str) -> None:
        self.jobs.remove(name)

    def pods(self) -> Pods:
        return Pods(cast("Api", self), RUN, jobs.settings({"AFTERSHOCK_IMAGE": "none"}), HERE, print, patience=60.0)


def loaded(url: str = "http://127.0.0.1:1") -> Order:
    return order([http("a", url)], counted="load")


async def first_states(load: Shards, count: int) -> list[Sharded]:
    found: list[Sharded] = []
    async with contextlib.aclosing(cast("AsyncIterator[Any]", load.events())) as events:  # type: ignore[type-var]
        async for event in events:
            found += [event] if isinstance(event, Sharded) else []
            if len(found) == count:
                break
    return found


def test_one_that_ends_while_it_is_given_its_order_is_absent_and_the_others_are_there() -> None:
    async def run() -> tuple[list[Sharded], list[str]]:
        played = Played(asyncio.get_running_loop(), {0: (Ready(),), 1: ()})
        load = await played.pods().start(loaded(), 2, RunClock())
        states = await first_states(load, 2)
        await load.kill()
        return states, played.jobs

    (ready, lost), left = asyncio.run(run())
    assert (ready.shard, ready.state) == (0, "ready")
    assert (lost.shard, lost.state, lost.why) == (1, "lost", "pod 1 ended the connection")
    assert left == []


def test_one_that_refuses_its_order_ends_the_start_in_its_own_words_and_leaves_nothing() -> None:
    refused = Refused(input=True, problem="the stack has no indicator a", advice="it has: none")

    async def run() -> list[str]:
        played = Played(asyncio.get_running_loop(), {0: (Ready(),), 1: (refused,)})
        with pytest.raises(InputError, match="the stack has no indicator a"):
            await played.pods().start(loaded(), 2, RunClock())
        return played.jobs

    assert asyncio.run(run()) == []


class Told(Door):
    """A door that tells when somebody has come to it."""

    def __init__(self) -> None:
        super().__init__("key", 1)
        self.met = asyncio.Event()

    async def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.met.set()
        await super()._met(reader, writer)


def test_one_that_says_who_it_is_after_the_door_was_closed_is_sent_away() -> None:
    async def run() -> None:
        door = Told()
        reader, writer = await asyncio.open_connection(HERE, await door.open(HERE))
        await door.met.wait()
        await door.close(also=True)
        writer.write(orders.encode(Hello(key="key", shard=0, where="late")))
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()

    asyncio.run(run())


def test_a_start_that_is_given_up_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of four are ready already; the fourth never is."""
    begun: list[int] = []
    start = Prober.start

    async def slow(wanted: Order) -> Prober:
        if wanted.shard == 3:
            await asyncio.Event().wait()
        prober = await start(wanted)
        begun.append(prober.pid)
        return prober

    async def run() -> None:
        with serving(lambda _: response()) as server:
            starting = asyncio.create_task(processes(loaded(server.url), 4, RunClock()))
            while len(begun) < 3:
                await asyncio.sleep(0.01)
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
        assert [pid for pid in begun if Path(f"/proc/{pid}").exists()] == []

    monkeypatch.setattr(Prober, "start", slow)
    try:
        asyncio.run(run())
    finally:
        for pid in begun:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)


def test_a_start_that_is_given_up_at_any_moment_leaves_no_process() -> None:
    async def run() -> None:
        for turns in range(12):
            starting = asyncio.create_task(processes(loaded(), 2, RunClock()))
            for _ in range(turns):
                await asyncio.sleep(0)
            starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await starting

    asyncio.run(run())
    me = os.getpid()
    children = Path(f"/proc/{me}/task/{me}/children").read_text().split()
    assert [pid for pid in children if b"probes.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()] == []


def test_an_executor_that_was_frozen_for_long_does_not_take_that_for_their_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing of it runs meanwhile: neither its questions nor what would take the answers in."""
    monkeypatch.setattr(shards, "SILENT", 1.0)
    monkeypatch.setattr(shards, "BEAT", 0.2)

    async def run(url: str) -> list[Sharded]:
        clock = RunClock()
        wanted = loaded(url)
        load = await processes(type(wanted)(**{**_fields(wanted), "origin": clock.monotonic}), 2, clock)
        heard: list[Sharded] = []

        async def hear() -> None:
            async for event in load.events():
                heard.extend([event] if isinstance(event, Sharded) else [])

        hearing = asyncio.create_task(hear())
        await load.rates([(0.0, 20.0)])
        await asyncio.sleep(0.5)
        time.sleep(2.0)  # the freezing
        await asyncio.sleep(0.5)
        await load.finish()
        await asyncio.wait_for(hearing, 60)
        await load.kill()
        return heard

    with serving(lambda _: response()) as server:
        assert [one.state for one in asyncio.run(run(server.url))] == ["ready", "ready"]


def _fields(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__struct_fields__}
