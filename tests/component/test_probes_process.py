"""The prober as a process: what it does when told, and when whoever started it is frozen, silent or dead."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

import aftershock
from aftershock.core.history import Noted, Slice, decode
from aftershock.errors import AftershockError, InputError, TargetError
from aftershock.probes import order as orders
from aftershock.probes import pipe
from aftershock.probes.loop import Loop
from aftershock.probes.order import Order
from aftershock.probes.process import Prober
from planted import HANG, Measured, Server, collect, http, measure, order, response, serving

STARTED = 4
"""Run seconds by which a worker is ready, also on a busy machine: what is said of run seconds before would be luck."""


def spawn(wanted: Order, *how: str) -> "subprocess.Popen[bytes]":
    """Start a worker without the client, and read that it is ready."""
    environment = {**os.environ, "PYTHONPATH": str(Path(aftershock.__file__).parent.parent)}
    worker = subprocess.Popen(
        [sys.executable, *(how or ("-m", "aftershock.probes.worker"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(orders.encode(wanted))
    worker.stdin.flush()
    assert b"ready" in worker.stdout.readline()
    return worker


def test_load_follows_its_steps_and_ends_a_spike_by_itself() -> None:
    """The steps are given ahead; then the executor says nothing more."""
    with serving(lambda _: response()) as server:
        steps = [(STARTED, 100.0), (STARTED + 1, 500.0), (STARTED + 2, 100.0), (STARTED + 3, 0.0)]
        measured = measure(order([http("a", server.url)], counted="load"), STARTED + 3.5, steps)
        seconds = range(STARTED - 1, STARTED + 5)
        per_second = [sum(s.planned for s in measured.slices() if s.n // 10 == second) for second in seconds]
        assert per_second == [0, 100, 500, 100, 0, 0]
        assert measured.total()[:3] == (700, 0, 700)
        assert len(server.asked) == 700
        assert {each.counted for each in measured.slices()} == {"load"}


def test_each_indicator_has_its_own_beat_and_slices_without_requests_are_left_out() -> None:
    with serving(lambda asked: HANG if asked.target == "/hang" else response()) as server:
        wanted = [http("fast", server.url, every=0.02), http("hangs", f"{server.url}/hang", every=0.25, timeout=0.5)]
        measured = measure(order(wanted), 1.6)
    fast = [each.n for each in measured.slices("fast")]
    assert fast == list(range(fast[0], fast[-1] + 1))
    assert {each.planned for each in measured.slices("fast")[1:-1]} == {5}
    assert {each.planned for each in measured.slices("hangs")} == {1}
    grid = [int(1.25 + 2.5 * n) for n in range(100)]
    hangs = [each.n for each in measured.slices("hangs")]
    assert hangs == grid[grid.index(hangs[0]) :][: len(hangs)]
    assert len(hangs) > 3
    assert all(each.at >= each.n * 0.1 for each in measured.slices())


def test_it_ends_by_itself_at_the_hard_end() -> None:
    async def run() -> tuple[Measured, float]:
        with serving(lambda _: response()) as server:
            wanted = order([http("a", server.url)], until=STARTED)
            prober = await Prober.start(wanted)
            measured = await asyncio.wait_for(collect(prober), 20)
            return measured, time.monotonic() - wanted.origin

    measured, ended = asyncio.run(run())
    assert ended >= STARTED
    assert max(each.n for each in measured.slices()) == STARTED * 10 - 1
    assert measured.slices()[-1].planned == 10


def ends(worker: "subprocess.Popen[bytes]") -> int:
    try:
        return worker.wait(10)
    finally:
        worker.kill()
        for pipe_ in (worker.stdin, worker.stdout):
            assert pipe_ is not None
            pipe_.close()


def test_executor_death_ends_it_at_once() -> None:
    with serving(lambda _: HANG) as server:
        worker = spawn(order([http("a", server.url, timeout=60.0)]))
        assert worker.stdin is not None
        while not server.asked:
            time.sleep(0.01)
        worker.stdin.close()
        assert ends(worker) == 0


def test_interrupts_are_the_executors_business() -> None:
    with serving(lambda _: response()) as server:
        worker = spawn(order([http("a", server.url)], until=STARTED))
        worker.send_signal(signal.SIGINT)
        assert worker.stdout is not None
        slices = [each for each in map(decode, worker.stdout) if isinstance(each, Slice)]
        assert slices[-1].n == STARTED * 10 - 1
        assert ends(worker) == 0


def test_killing_is_quiet_and_can_be_done_twice() -> None:
    async def run() -> None:
        with serving(lambda _: HANG) as server:
            prober = await Prober.start(order([http("a", server.url)]))
            assert os.getpgid(prober.pid) == prober.pid, "Ctrl-C at the executor's terminal doesn't reach it"
            hearing = asyncio.create_task(collect(prober))
            await asyncio.sleep(0.1)
            await prober.kill()
            await prober.kill()
            await asyncio.wait_for(hearing, 10)
            await prober.finish()
            await prober.rates([(0.0, 1.0)])

    asyncio.run(run())


def test_dying_by_itself_is_visible() -> None:
    async def run() -> list[object]:
        seen: list[object] = []
        with serving(lambda _: response()) as server:
            prober = await Prober.start(order([http("a", server.url)]))
            with pytest.raises(TargetError, match="-9"):  # noqa: PT012  # what came before the end is wanted, too
                async for event in prober.events():
                    seen.append(event)
                    if len(seen) == 2:
                        os.kill(prober.pid, signal.SIGKILL)
        return seen

    assert len(asyncio.run(run())) >= 2


def test_the_last_words_of_a_dead_prober_are_told() -> None:
    """An order that no prober can read: it says what it makes of it."""

    async def run() -> None:
        wanted = order([http("a", "http://127.0.0.1:1/")])
        broken = orders.encode(wanted).replace(b'"token"', b'"tokken"')
        original, orders.encode = orders.encode, lambda _: broken  # type: ignore[assignment]
        try:
            await Prober.start(wanted)
        finally:
            orders.encode = original

    with pytest.raises(InputError, match="tokken"):
        asyncio.run(run())


def test_unknown_indicator() -> None:
    wanted = order([http("a", "http://127.0.0.1:1/")])
    with pytest.raises(AftershockError, match="no indicator b") as raised:
        measure(
            Order(**{**{name: getattr(wanted, name) for name in wanted.__struct_fields__}, "indicators": ["b"]}), 0.1
        )
    assert "a" in raised.value.advice


def test_nonsense_on_stdin_is_noted_and_changes_nothing() -> None:
    with serving(lambda _: response()) as server:
        worker = spawn(order([http("a", server.url)]))
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(b"nonsense\n\n")
        worker.stdin.flush()
        events = map(decode, worker.stdout)
        assert any(isinstance(each, Noted) and "no command" in each.text for each in events)
        assert sum(isinstance(each, Slice) for each in islice(events, 5)) == 5, "it goes on"
        worker.stdin.write(orders.encode(orders.Finish()))
        worker.stdin.flush()
        assert all(isinstance(each, Slice) for each in events)
        assert ends(worker) == 0


def test_an_executor_that_stops_reading_does_not_stop_the_sending() -> None:
    """More records than a pipe holds, and nobody reads them until the end: all requests are sent, all records come."""
    with serving(lambda _: response()) as server:
        names = [http(f"indicator-{'x' * 3000}-{n}", server.url, every=0.02) for n in range(3)]
        wanted = order(names, until=STARTED + 2)
        worker = spawn(wanted)
        while time.monotonic() - wanted.origin < STARTED + 2.5:
            time.sleep(0.05)
        sent = len(server.asked)
        assert worker.stdout is not None
        slices = [each for each in map(decode, worker.stdout) if isinstance(each, Slice)]
        assert ends(worker) == 0
    assert sum(len(each.indicator) for each in slices) > 2 * 65536
    assert sum(each.planned for each in slices) == sent == len(server.asked)
    assert sum(each.unsent for each in slices) == 0
    assert max(each.n for each in slices) == (STARTED + 2) * 10 - 1


def test_what_nobody_reads_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipe, "LIMIT", 1000)
    read, write = os.pipe()
    loop = Loop(0)
    out = pipe.Out(loop, write, lambda: None)
    line = b"x" * 99 + b"\n"
    taken = sum(out.write(line) for _ in range(2000))
    assert out.dropped == 2000 - taken > 0
    received = b""
    while not out.empty:
        received += os.read(read, 65536)
        loop.handle(loop.wait(loop.now()), loop.now())
    received += os.read(read, 65536)
    assert received == line * taken
    loop.close()
    os.close(read)
    os.close(write)


async def frozen_for_a_second(server: Server, timeout: float) -> Measured:
    prober = await Prober.start(order([http("a", server.url, timeout=timeout)]))
    hearing = asyncio.create_task(collect(prober))
    while len(server.asked) < 40:
        await asyncio.sleep(0.01)
    os.kill(prober.pid, signal.SIGSTOP)
    await asyncio.sleep(1.0)
    asked = len(server.asked)
    os.kill(prober.pid, signal.SIGCONT)
    while len(server.asked) < asked + 40:
        await asyncio.sleep(0.01)
    await prober.finish()
    return await asyncio.wait_for(hearing, 60)


def test_a_frozen_prober_counts_what_it_missed() -> None:
    """Stopped for a second, it neither floods nor forgets: what was due is unsent, and every request is accounted for."""
    with serving(lambda _: response()) as server:
        measured = asyncio.run(frozen_for_a_second(server, 2.0))
    planned, unsent, good, bad = measured.total()
    assert bad == {}
    assert planned == unsent + good
    assert unsent >= 80
    assert good >= 80, "forty before, forty after"
    slices = [each.n for each in measured.slices()]
    assert slices == list(range(slices[0], slices[-1] + 1))


def test_what_happened_while_the_prober_was_frozen_is_not_the_services_failure() -> None:
    """Thirty requests were waiting when it was stopped: whether they would have been answered in time nobody knows."""
    with serving(lambda _: HANG) as server:
        measured = asyncio.run(frozen_for_a_second(server, 0.3))
    planned, unsent, _, bad = measured.total()
    assert unsent >= 80 + 25
    assert bad == {"timeout": planned - unsent}


@pytest.fixture
def few_files() -> Iterator[int]:
    """A low soft limit for files, for what is started; yields the hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_it_holds_more_connections_than_the_soft_limit(few_files: int) -> None:
    async def run(server: Server) -> Measured:
        prober = await Prober.start(order([http("a", server.url, timeout=1.0)], counted="load"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (few_files, few_files))  # the server lives in this process
        await prober.rates([(STARTED, 600.0), (STARTED + 0.5, 0.0)])
        hearing = asyncio.create_task(collect(prober))
        while len(server.asked) < 300:
            await asyncio.sleep(0.01)
        await prober.finish()
        return await asyncio.wait_for(hearing, 20)

    with serving(lambda _: HANG) as server:
        assert asyncio.run(run(server)).total() == (300, 0, 0, {"timeout": 300})


def test_what_finds_no_descriptor_is_unsent() -> None:
    """With the hard limit in the way requests can't be sent; they are counted, and the prober lives on."""
    limit = "import resource, runpy; resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40));"
    with serving(lambda _: HANG) as server:
        worker = spawn(
            order([http("a", server.url, timeout=30.0)]),
            "-c",
            f"{limit} runpy.run_module('aftershock.probes.worker', run_name='__main__')",
        )
        assert worker.stdin is not None
        assert worker.stdout is not None
        while len(server.asked) < 30:
            time.sleep(0.01)
        time.sleep(0.5)  # fifty more are due
        worker.stdin.write(orders.encode(orders.Finish()))
        worker.stdin.flush()
        server.drop()
        slices = [each for each in map(decode, worker.stdout) if isinstance(each, Slice)]
        assert ends(worker) == 0
    planned, unsent = sum(each.planned for each in slices), sum(each.unsent for each in slices)
    assert unsent > 10
    assert planned == unsent + sum(sum(each.bad.values()) for each in slices)
    assert planned - unsent == len(server.asked)
