"""The reaper on real parts: targets are clean a second after the lease, and what is not ours is not touched."""

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from msgspec.structs import replace

from aftershock.adapters import canary, lease_files, processes, supervisor
from aftershock.adapters.toxiproxy import Proxy, Server, Toxic
from aftershock.core.lease import Lease
from aftershock.errors import WedgedError
from aftershock.faults import created
from aftershock.faults.fault import Site
from aftershock.model.load import dump_yaml, to_tree
from aftershock.model.metadata import Secret
from aftershock.model.stack import Database, Link, Restart, Stack, ToxiproxyServer, Workload
from aftershock.runtime import reaper, reaping
from component.conftest import Postgres, Supervised, free_port, stack, until
from component.test_link_faults import hold_of

ROOT = Path(__file__).parents[2]
RUN = "k3f9a2x1"
LINKS = {
    "latency": {"latency": "50ms"},
    "bandwidth": {"rate": 10},
    "slow-close": {"delay": "200ms"},
    "timeout": {},
    "reset-peer": {},
    "slicer": {"averageSize": 20},
    "limit-data": {"bytes": 10},
    "link-down": {},
}
TO_WEB = ("app-to-web", "other-to-web")
WANTED = [
    *((fault, fault, tree) for fault, tree in LINKS.items()),
    ("latency", "made", {"latency": "50ms"}),
    ("dependency-slow", "web", {"latency": "50ms"}),
    ("process-pause", "family", {}),
    ("process-hold-down", "family2", {}),
    ("process-kill", "family3", {}),
    ("db-connection-exhaustion", "primary", {}),
]


@dataclass(frozen=True)
class Ground:
    stack: Stack
    file: Path
    server: Server

    @property
    def folder(self) -> Path:
        return self.file.parent

    def sweep(self, **how: object) -> reaper.Sweep:
        return asyncio.run(reaper.sweep(self.stack, self.folder, **how))  # type: ignore[arg-type]

    def left(self) -> list[str]:
        found = asyncio.run(reaper.leftovers(self.stack, self.folder, RUN))
        return found.left + found.unreachable


def ground_at(folder: Path, tested: Stack, server: Server) -> Ground:
    (folder / "stack.yaml").write_text(dump_yaml(to_tree(tested)))
    return Ground(tested, folder / "stack.yaml", server)


@pytest.fixture
def ground(toxiproxy: Server, pages: int, postgres: Postgres, supervised: Supervised, tmp_path: Path) -> Ground:
    """Every kind of place: a link for each fault, a database, three workloads."""
    for name in (*LINKS, *TO_WEB):
        toxiproxy.create(Proxy(name, "127.0.0.1:0", f"127.0.0.1:{pages}"))
    (tmp_path / "app").write_text(postgres.app)
    (tmp_path / "observer").write_text(postgres.superuser)
    made = Link(name="made", toxiproxy="main", listen=f"127.0.0.1:{free_port()}", upstream=f"127.0.0.1:{pages}")
    families = ("family", "family2", "family3")
    tested = stack(
        toxiproxies=[ToxiproxyServer(name="main", url=toxiproxy.url)],
        databases=[Database(name="primary", dsn=Secret(file="app"), observer=Secret(file="observer"))],
        links=[
            *(Link(name=fault, toxiproxy="main", proxy=fault) for fault in LINKS),
            *(Link(name=name, toxiproxy="main", proxy=name, to="web") for name in TO_WEB),
            made,
        ],
        workloads=[Workload(name=each, supervisor=supervised.control(each)) for each in families],
    )
    for each in tested.spec.workloads:
        assert each.supervisor
        supervisor.start(each.supervisor)
    ground = ground_at(tmp_path, tested, toxiproxy)
    assert reaper.read_stack(ground.file) == tested
    return ground


def python(*arguments: str) -> subprocess.Popen[str]:
    path = f"{ROOT / 'operator'}{os.pathsep}{ROOT / 'tests'}"
    return subprocess.Popen(
        [sys.executable, *arguments], env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, text=True
    )


@contextmanager
def holder(
    ground: Ground, expires: int, wanted: list[tuple[str, str, dict[str, object]]]
) -> Iterator[subprocess.Popen[str]]:
    script = str(ROOT / "tests/component/holder.py")
    process = python(script, str(ground.file), RUN, str(expires), json.dumps(wanted))
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()


WATCH = """
import asyncio, sys
from pathlib import Path
from aftershock.runtime import reaper, reaping
say = lambda line: print(line, flush=True)
say("watching")
asyncio.run(reaper.watch(lambda: [Path(each) for each in sys.argv[1:]], report=say))
"""


@contextmanager
def watching(*files: Path) -> Iterator[subprocess.Popen[str]]:
    process = python("-c", WATCH, *map(str, files))
    try:
        assert process.stdout
        assert process.stdout.readline() == "watching\n"
        yield process
        assert process.poll() is None, "the reaper died"
        asked = time.monotonic()
        process.terminate()
        process.wait(5)
        assert time.monotonic() - asked < 2, "SIGTERM ends it at once"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def sound(ground: Ground, postgres: Postgres) -> None:
    """The stack is as it was, seen from outside."""

    async def every_link() -> None:
        for proxy in ground.server.proxies().values():
            assert proxy.toxics == ()
            line = canary.Line("127.0.0.1", int(proxy.listen.rpartition(":")[2]), "http")
            seen = await canary.talk(line)
            assert seen.end == "answered", (proxy, seen)
            assert (await canary.linger(line)).took < 0.2

    asyncio.run(every_link())
    assert set(ground.server.proxies()) == {*LINKS, *TO_WEB}
    psycopg.connect(postgres.app).close()
    for workload in ground.stack.spec.workloads:
        members = processes.tree(processes.root_of(workload, ground.folder))
        assert all(processes.state(each) in {"S", "R", "D"} for each in members)
    assert lease_files.paths(ground.folder) == []


def said(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout
    assert process.stdout.readline() == line + "\n"


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_clean_a_second_after_the_lease_whatever_befell_the_holder(
    ground: Ground, postgres: Postgres, blow: signal.Signals
) -> None:
    """In the middle of every fault at once. Server, Toxiproxy and processes share this machine's clock."""
    expires = int(time.time()) + 14
    asyncio.run(created.create(ground.stack, RUN, expires))
    with watching(ground.file), holder(ground, expires, WANTED) as process:  # type: ignore[arg-type]
        said(process, "prepared")
        said(process, "held")
        process.send_signal(blow)
        if blow is signal.SIGKILL:
            process.wait()
        assert time.time() < expires - 1, "the machine is too slow for this lease: nothing was tested"
        there = ground.left()
        assert len(there) >= len(WANTED) - 1, (
            "all but the killed holder's sessions are still there before the lease ends"
        )
        time.sleep(max(0.0, expires + 1 - time.time()))
        assert ground.left() == []
    sound(ground, postgres)


def test_killed_at_a_random_moment(ground: Ground, postgres: Postgres) -> None:
    """Also while it injects. A few rounds; with AFTERSHOCK_SOAK=1 many."""
    seed = int(os.environ.get("AFTERSHOCK_SEED") or time.time())
    print(f"AFTERSHOCK_SEED={seed}")
    chance = random.Random(seed)
    for _ in range(50 if os.environ.get("AFTERSHOCK_SOAK") else 2):
        wanted = chance.sample([each for each in WANTED if each[1] != "made"], 4)
        expires = int(time.time()) + 6
        with holder(ground, expires, wanted) as process:  # type: ignore[arg-type]
            said(process, "prepared")
            time.sleep(chance.uniform(0, 0.3))
            process.send_signal(chance.choice([signal.SIGKILL, signal.SIGSTOP]))
            time.sleep(max(0.0, expires - time.time()))
            swept = ground.sweep()
            assert swept.left + swept.unreachable == [], seed
            assert ground.left() == [], (seed, wanted)
        sound(ground, postgres)


def test_what_is_not_due_or_not_ours_is_not_touched(ground: Ground) -> None:
    late = Lease("latency", RUN, int(time.time()) + 1000)
    other = Lease("latency", "another1", int(time.time()) - 1000)
    mine = Toxic(late.of("upstream").name, "latency", "upstream", attributes={"latency": 1, "jitter": 0})
    for toxic in (Toxic("somebody", "noop"), mine, Toxic("aftershock.like", "noop"), Toxic(other.name, "noop")):
        ground.server.add_toxic("latency", toxic)
    ground.server.disable("timeout")
    swept = ground.sweep()
    assert [other.name in line for line in swept.healed] == [True]
    assert set(ground.server.toxics("latency")) == {"somebody", mine.name, "aftershock.like"}
    assert replace(ground.sweep(scope="all", run="nobody11"), held=[], due=[]) == reaper.Sweep()
    halted = ground.sweep(scope="all")
    assert [mine.name in line for line in halted.healed] == [True]
    assert replace(ground.sweep(scope="all"), held=[], due=[]) == reaper.Sweep()
    assert set(ground.server.toxics("latency")) == {"somebody", "aftershock.like"}
    assert not ground.server.proxies()["timeout"].enabled


def test_a_dead_place_delays_no_other(ground: Ground) -> None:
    """One Toxiproxy is gone, one is frozen, a database is unreachable: the rest is healed within its second."""
    (ground.folder / "gone").write_text(f"host=127.0.0.1 port={free_port()} user=app password=secret-password")
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        spec = ground.stack.spec
        dead = [
            ToxiproxyServer(name="gone", url=f"http://127.0.0.1:{free_port()}"),
            ToxiproxyServer(name="frozen", url=f"http://127.0.0.1:{frozen.getsockname()[1]}"),
        ]
        tested = stack(
            toxiproxies=[*dead, *spec.toxiproxies],
            databases=[Database(name="dead", dsn=Secret(file="gone")), Database(name="no", dsn=Secret(env="NOT_SET"))],
            links=spec.links,
        )
        ground = ground_at(ground.folder, tested, ground.server)
        (ground.folder / "leases").mkdir()
        (ground.folder / "leases" / "strange.json").write_text("{")
        with watching(ground.file, ground.folder / "missing.yaml"):
            expires = int(time.time()) + 3
            ground.server.add_toxic("latency", Toxic(Lease("latency", RUN, expires).name, "noop"))
            time.sleep(max(0.0, expires + 1 - time.time()))
            assert ground.server.toxics("latency") == {}
        swept = ground.sweep()
        assert len(swept.unreachable) == 4
        assert any("strange.json" in line for line in swept.left)
        assert "secret-password" not in str(swept)


def test_watch_survives_what_it_reports_to_and_what_it_reads(ground: Ground) -> None:
    """A report that raises (a full disk), a list of files that can't be had, a hook that fails."""
    rounds = 0

    def files() -> list[Path]:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            raise OSError(28, "No space left on device")
        return [ground.file]

    def report(_line: str) -> None:
        raise OSError(28, "No space left on device")

    async def hook(_stack: Stack, _folder: Path) -> None:
        raise RuntimeError("a bug")

    async def run() -> None:
        watch = asyncio.create_task(reaper.watch(files, report=report, every=0.02, each_round=hook))
        for fault in ("latency", "timeout"):
            ground.server.add_toxic(fault, Toxic(Lease("latency", RUN, 1_700_000_000).name, "noop"))
            async with asyncio.timeout(10):
                while await asyncio.to_thread(ground.server.toxics, fault):
                    await asyncio.sleep(0.02)
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch

    asyncio.run(run())
    assert rounds > 2


@contextmanager
def flood() -> Iterator[int]:
    """An upstream that sends for ever to whoever connects; its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    wires: list[socket.socket] = []

    def pour(wire: socket.socket) -> None:
        with suppress(OSError):
            while True:
                wire.sendall(b"x" * 65536)

    def serve() -> None:
        with suppress(OSError):
            while True:
                wire, _ = listener.accept()
                wires.append(wire)
                threading.Thread(target=pour, args=(wire,), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()
    for wire in wires:
        wire.close()


@contextmanager
def wedge(server: Server, expires: int) -> Iterator[None]:
    """A client that stops reading while its upstream pours: the removal of the toxic will hang."""
    with flood() as port:
        server.create(Proxy("pouring", f"127.0.0.1:{free_port()}", f"127.0.0.1:{port}"))
        server.create(Proxy("disabled", f"127.0.0.1:{free_port()}", f"127.0.0.1:{port}", enabled=False))
        server.add_toxic("disabled", Toxic("somebody", "latency", attributes={"latency": 7, "jitter": 0}))
        host, _, listen = server.proxies()["pouring"].listen.rpartition(":")
        with socket.create_connection((host, int(listen))) as idle:
            idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            name = Lease("latency", RUN, expires, "downstream").name
            server.add_toxic("pouring", Toxic(name, "latency", attributes={"latency": 1, "jitter": 0}))
            time.sleep(1.5)  # until every buffer on the way is full; nothing tells when
            yield


@pytest.fixture
def restartable(supervised: Supervised) -> Iterator[tuple[Server, Restart]]:
    """A Toxiproxy of its own that supervisord keeps, empty."""
    control = supervised.control("toxiproxy")
    supervisor.start(control)
    until(lambda: Server("main", supervised.toxiproxy).alive())
    with Server("main", supervised.toxiproxy) as server:
        yield server, Restart(supervisor=control)
    supervisor.stop(control)


def test_wedged_toxiproxy_is_noticed_restarted_and_has_its_proxies_again(
    restartable: tuple[Server, Restart], tmp_path: Path
) -> None:
    server, restart = restartable
    ground = ground_at(
        tmp_path, stack(toxiproxies=[ToxiproxyServer(name="main", url=server.url, restart=restart)]), server
    )
    expires = int(time.time()) + 4
    with wedge(server, expires):
        ground.sweep()
        before = server.proxies()
        server.close()
        with watching(ground.file) as watch:
            time.sleep(max(0.0, expires - time.time()))
            started = time.monotonic()
            assert watch.stdout
            line = watch.stdout.readline()
            took = time.monotonic() - started
        assert "was wedged; it was restarted" in line
        assert took < 5
        after = server.proxies()
        assert after["pouring"].toxics == ()
        assert after["disabled"] == before["disabled"]
        assert after["pouring"].listen == before["pouring"].listen
    assert replace(ground.sweep(), held=[], due=[]) == reaper.Sweep()


def test_wedged_toxiproxy_without_restart_is_stuck_and_says_what_to_do(
    restartable: tuple[Server, Restart], tmp_path: Path
) -> None:
    server, _ = restartable
    ground = ground_at(tmp_path, stack(toxiproxies=[ToxiproxyServer(name="main", url=server.url)]), server)
    with wedge(server, int(time.time())):
        begun = time.monotonic()
        swept = ground.sweep()
        assert time.monotonic() - begun < 4
        assert swept.stuck == swept.left
        assert f"restart the Toxiproxy at {server.url} by hand" in swept.stuck[0]
        said: list[str] = []
        assert reaping.once([str(ground.file)], said.append) == reaping.STUCK
        assert said[0].startswith("tested: StuckOnCleanup: Toxiproxy main: Toxiproxy main is wedged")


def test_wedge_that_is_nobody_of_ours_is_left_alone(restartable: tuple[Server, Restart], tmp_path: Path) -> None:
    server, restart = restartable
    ground = ground_at(
        tmp_path, stack(toxiproxies=[ToxiproxyServer(name="main", url=server.url, restart=restart)]), server
    )
    with wedge(server, int(time.time()) + 1000):
        ground.sweep()
        with suppress(Exception):
            server.remove_toxic("pouring", next(iter(server.toxics("pouring"))))
        swept = ground.sweep()
        assert not swept.healed
        assert "nothing of ours that is past its lease" in swept.left[0]
        assert "was restarted" in ground.sweep(scope="all").healed[0]


def test_executor_alone_heals_a_wedge_of_its_own(
    restartable: tuple[Server, Restart], tmp_path: Path, pages: int
) -> None:
    """No reaper runs. Only that lease is ended: what else the run holds, and its created proxies, come back."""
    server, restart = restartable
    here = ToxiproxyServer(name="main", url=server.url, restart=restart)
    made = Link(name="made", toxiproxy="main", listen=f"127.0.0.1:{free_port()}", upstream=f"127.0.0.1:{pages}")
    tested = stack(toxiproxies=[here], links=[Link(name="in", toxiproxy="main", proxy="pouring"), made])
    expires = int(time.time()) + 1000

    wanted = {"latency": "1ms", "direction": "downstream"}

    async def run() -> None:
        names = await created.create(tested, RUN, expires)
        hold = hold_of(Site(tested, "in", tmp_path), "latency", wanted, RUN, expires)
        await hold.inject()
        lease = hold.lease  # type: ignore[attr-defined]
        with pytest.raises(WedgedError):
            await hold.heal()
        swept = await reaper.sweep(tested, tmp_path, scope="all", lease=lease)
        assert "was restarted" in swept.healed[0], swept
        assert await hold.left() == []
        assert set(names) <= set(server.proxies())
        assert "somebody" in server.toxics("disabled")
        await hold.close()
        await created.remove(tested, RUN)

    with wedge(server, expires):
        asyncio.run(run())
