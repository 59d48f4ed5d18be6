"""Four generators against one: real processes, and a service that counts what arrives."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from aftershock.core.history import Any_, Ledgered, Sharded, Slice
from aftershock.core.shards import Part
from aftershock.errors import AftershockError, InputError
from aftershock.model.metadata import Metadata
from aftershock.model.stack import Indicator, LedgerProbe, Stack, StackSpec
from aftershock.model.units import Duration
from aftershock.probes.order import Heard, Order
from aftershock.probes.process import Prober
from aftershock.probes.schedule import SECOND, Steps
from aftershock.runtime import shards
from aftershock.runtime.clock import RunClock
from aftershock.runtime.shards import Member, Shards, processes
from component.conftest import toxiproxy, toxiproxy_url  # noqa: F401 - fixtures
from meetings_server import Service, running_postgres, running_service
from planted import Asked, Server, http, measure, order, response, serving

STARTED = 4.0
"""Run seconds by which all are ready, also on a busy machine."""

SPIKE = [(STARTED, 200.0), (STARTED + 1, 1000.0), (STARTED + 2, 200.0), (STARTED + 3, 0.0)]
"""A load with a spike: 1,400 requests."""


def loaded(url: str, **more: Any) -> Order:
    return order([http("a", url)], counted="load", **more)


async def together(
    wanted: Order,
    count: int,
    steps: Sequence[tuple[float, float]],
    until_: float,
    act: Callable[[Shards], None] | None = None,
) -> list[Any_]:
    """Send by so many generators; return the record of it."""
    clock = RunClock(monotonic=wanted.origin)
    load = await processes(wanted, count, clock)
    heard: list[Any_] = []

    async def hear() -> None:
        async for event in load.events():
            heard.append(event)  # noqa: PERF401 - what was heard before it failed is wanted, too

    hearing = asyncio.create_task(hear())
    try:
        await load.rates(steps)
        if act is not None:
            act(load)
        await asyncio.sleep(max(0.0, until_ - clock.now()))
        await load.finish()
        await asyncio.wait_for(hearing, 60)
    finally:
        await load.kill()
    return heard


def slices(events: Sequence[Any_]) -> list[Slice]:
    return [one for one in events if isinstance(one, Slice)]


def states(events: Sequence[Any_], state: str) -> list[Sharded]:
    return [one for one in events if isinstance(one, Sharded) and one.state == state]


def counts(found: Sequence[Slice]) -> list[tuple[int, int, int, int]]:
    return [(one.n, one.planned, one.unsent, one.good) for one in found]


def test_four_send_what_one_sends_and_the_record_is_the_same() -> None:
    with serving(lambda _: response()) as server:
        alone = measure(loaded(server.url), STARTED + 3.5, SPIKE).slices()
        by_one = len(server.asked)
        four = slices(asyncio.run(together(loaded(server.url), 4, SPIKE, STARTED + 3.5)))
        by_four = len(server.asked) - by_one
    assert counts(four) == counts(alone)
    assert by_one == by_four == sum(one.planned for one in four) == 1400
    assert all(sum(one.latency.values()) == one.good for one in four)
    assert {one.counted for one in four} == {"load"}


async def raw(wanted: Order, count: int, steps: Sequence[tuple[float, float]]) -> list[list[Heard]]:
    """Return what each of so many processes says, before it is put together."""
    orders = [replace(wanted, shard=shard, shards=count) for shard in range(count)]
    probers = await asyncio.gather(*map(Prober.start, orders))

    async def all_of(prober: Prober) -> list[Heard]:
        return [event async for event in prober.events()]

    hearing = [asyncio.create_task(all_of(prober)) for prober in probers]
    for prober in probers:
        await prober.rates(steps)
    return await asyncio.wait_for(asyncio.gather(*hearing), 60)


def test_the_union_of_the_times_is_that_of_one_to_the_nanosecond() -> None:
    with serving(lambda _: response()) as server:
        wanted = loaded(server.url, until=STARTED + 3.5)
        said = asyncio.run(raw(wanted, 4, SPIKE))
    sent = [sorted(due for one in each if isinstance(one, Part) for due, _ in one.good) for each in said]
    one = Steps()
    one.agree(SPIKE, 0)
    expected = []
    while one.next < 10 * SECOND:
        expected.append(one.next)
        one.advance()
    assert [len(each) for each in sent] == [350] * 4
    assert sorted(due for each in sent for due in each) == expected


def test_failures_seen_by_several_have_the_edges_of_one() -> None:
    """Each request tells its own number; each seventh fails. What the shards saw apart is put together with exact edges."""
    sent: list[int] = []

    def answer(_: Asked) -> bytes:
        sent.append(len(sent))
        return response(503 if len(sent) % 7 == 0 else 200)

    with serving(answer) as server:
        found = slices(
            asyncio.run(together(loaded(server.url), 3, [(STARTED, 300.0), (STARTED + 1, 0.0)], STARTED + 1.5))
        )
    assert sum(sum(one.bad.values()) for one in found) == len(sent) // 7
    for one in found:
        if one.bad and one.bad_from is not None and one.bad_until is not None:
            assert one.n / 10 <= one.bad_until < (one.n + 1) / 10
            assert one.good_before is None or one.good_before < one.bad_from
            assert one.good_after is None or one.good_after > one.bad_until


# Shards that are lost


def kill_one(load: Shards) -> int:
    generator = load._members[2].generator
    assert isinstance(generator, Prober)
    os.kill(generator.pid, signal.SIGKILL)
    return generator.pid


def test_what_a_killed_one_owed_is_on_record_as_not_sent() -> None:
    with serving(lambda _: response()) as server:
        found = asyncio.run(together(loaded(server.url), 4, SPIKE, STARTED + 3.5, kill_one))
        arrived = len(server.asked)
    (lost,) = states(found, "lost")
    assert (lost.shard, lost.shards) == (2, 4)
    assert "-9" in lost.why
    assert sum(one.planned for one in slices(found)) == 1400
    assert sum(one.unsent for one in slices(found)) == 350
    assert arrived == 1050


def test_one_that_is_frozen_for_long_is_lost_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SILENT", 1.0)
    monkeypatch.setattr(shards, "BEAT", 0.2)
    frozen: list[int] = []

    def freeze(load: Shards) -> None:
        generator = load._members[1].generator
        assert isinstance(generator, Prober)
        os.kill(generator.pid, signal.SIGSTOP)
        frozen.append(generator.pid)

    with serving(lambda _: response()) as server:
        found = asyncio.run(
            together(loaded(server.url), 2, [(STARTED, 100.0), (STARTED + 1, 0.0)], STARTED + 1.5, freeze)
        )
    (lost,) = states(found, "lost")
    assert (lost.shard, "has not answered" in lost.why) == (1, True)
    assert (sum(one.planned for one in slices(found)), sum(one.unsent for one in slices(found))) == (100, 50)
    assert not Path(f"/proc/{frozen[0]}").exists()


def test_without_any_left_nobody_goes_on() -> None:
    async def run(server: Server) -> None:
        wanted = loaded(server.url)
        load = await processes(wanted, 2, RunClock(monotonic=wanted.origin))
        await load.rates([(0.0, 100.0)])
        for one in load._members.values():
            assert isinstance(one.generator, Prober)
            os.kill(one.generator.pid, signal.SIGKILL)
        with pytest.raises(AftershockError, match="no generator of the load is left"):
            async for _ in load.events():
                pass

    with serving(lambda _: response()) as server:
        asyncio.run(asyncio.wait_for(run(server), 60))


def test_an_order_that_one_refuses_starts_none() -> None:
    wanted = replace(loaded("http://127.0.0.1:1/"), indicators=["b"])
    with pytest.raises(InputError, match="no indicator b"):
        asyncio.run(processes(wanted, 3, RunClock(monotonic=wanted.origin)))


class Elsewhere:
    """A generator on a machine whose clock runs away: it stands for what can't be had on one machine."""

    where = "pod elsewhere"

    def __init__(self, prober: Prober) -> None:
        self._prober = prober
        self.ahead = 0.0

    async def events(self) -> AsyncIterator[Heard]:
        async for event in self._prober.events():
            yield replace(event, clock=event.clock + self.ahead) if hasattr(event, "clock") else event

    def __getattr__(self, name: str) -> Any:
        return getattr(self._prober, name)


def test_one_whose_clock_runs_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "BEAT", 0.05)

    async def run(server: Server) -> list[Any_]:
        wanted = replace(loaded(server.url), shards=2)
        probers = [await Prober.start(replace(wanted, shard=shard)) for shard in (0, 1)]
        away = Elsewhere(probers[1])
        load = Shards(wanted, RunClock(monotonic=wanted.origin), {0: Member(probers[0]), 1: Member(away)})
        heard: list[Any_] = []
        try:
            async for event in load.events():
                heard.append(event)
                away.ahead += 0.2
                if states(heard, "skewed"):
                    break
                await load.rates([(0.0, 50.0)])
        finally:
            await load.kill()
        return heard

    with serving(lambda _: response()) as server:
        (skewed,) = states(asyncio.run(asyncio.wait_for(run(server), 60)), "skewed")
    assert skewed.shard == 1
    assert "its clock may be off" in skewed.why


# A ledger, and the real service


@pytest.fixture(scope="module")
def meetings() -> Iterator[Service]:
    with running_postgres() as database, running_service(database.app) as running:
        yield running


def test_a_ledger_that_several_write_is_one_record(meetings: Service) -> None:
    notes = f"http://127.0.0.1:{meetings.port}/notes"
    writes = Indicator(
        name="writes", every=Duration(0.1), timeout=Duration(5), ledger=LedgerProbe(write=notes, read=notes)
    )
    stack = Stack(
        api_version="aftershock.dev/v1alpha1",
        metadata=Metadata(name="planted"),
        spec=StackSpec(era="1k", environment="test", indicators=[writes]),
    )
    wanted = Order(
        counted="load", origin=time.monotonic(), token="shards01", stack=stack, folder="/", indicators=["writes"], until=60.0
    )  # fmt: skip
    found = asyncio.run(together(wanted, 4, [(STARTED, 80.0), (STARTED + 1, 0.0)], STARTED + 1.5))
    (record,) = [one for one in found if isinstance(one, Ledgered)]
    good = sum(one.good for one in slices(found))
    assert (record.read, record.acknowledged, record.lost_count) == (True, good, 0), record.saw
    assert sum(one.planned for one in slices(found)) == 80
