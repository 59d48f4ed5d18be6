"""`stack up` and `stack down`, killed or interrupted at any moment: the next one works, and nothing is left running.

The seed is printed; AFTERSHOCK_SEED repeats it, AFTERSHOCK_SOAK=1 goes on for longer.
"""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from aftershock.stacks import local, postgres, processes, toxiproxy
from aftershock.stacks.place import place
from own_home import own_home, start

ROUNDS = 60 if os.environ.get("AFTERSHOCK_SOAK") else 5
LONGEST = 2.5
"""Seconds after which an `up` on a quiet machine is over."""


def quiet(_: str) -> None:
    return


def running(folder: Path) -> list[processes.Process]:
    return processes.of(folder)


def segments() -> dict[int, tuple[int, bool]]:
    """Return the segments of shared memory by their id: the process that made each, and whether anybody uses it now."""
    listed = [line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]]
    return {int(each[1]): (int(each[4]), each[6] != "0") for each in listed}


def unused_memory() -> dict[int, int]:
    """Return the segments that nobody uses now, by their id, each with the process that made it."""
    return {number: maker for number, (maker, used) in segments().items() if not used}


def left_by(makers: set[int], before: dict[int, int]) -> dict[int, int]:
    """Return the segments that these processes left. Ids of processes come again: what lay there `before` isn't theirs."""
    return {segment: maker for segment, maker in unused_memory().items() - before.items() if maker in makers}


def test_killed_at_random_instants() -> None:
    seed = int(os.environ.get("AFTERSHOCK_SEED") or random.randrange(10**9))
    print(f"AFTERSHOCK_SEED={seed}")
    dice = random.Random(seed)
    toxiproxy.program()
    with own_home() as home:
        folder = home / "stacks" / "one"
        servers: set[int] = set()
        before = unused_memory()
        for _ in range(ROUNDS):
            code = dice.choice(["local.up('1k', 'one')", "local.up('1k', 'one')", "local.down('one')"])
            killed = start(code)
            time.sleep(dice.uniform(0.0, LONGEST))
            servers |= {each.pid for each in running(folder)}
            how = dice.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
            print(f"{code} ended by {how.name}")
            killed.send_signal(how)
            # Not communicate(): a program that the killed one had started may hold its output open for a while.
            killed.wait(60)
            if killed.stdout:
                killed.stdout.close()
            if dice.random() < 0.5:
                path = local.up("1k", "one", quiet)
                assert {part.name for part in local.status("one") if not part.up} <= {"reaper"}
                assert path.exists()
                assert sum(each.is_supervisor for each in running(folder)) == 1
                assert sum(each.is_postmaster for each in running(folder)) == 1
            else:
                local.down("one")
                assert running(folder) == []
                assert not folder.exists()
                assert left_by(servers, before) == {}


@pytest.mark.parametrize(
    "instant",
    ["initdb", "postgres --boot", "postgres --single", "supervisor.supervisord", "aftershock.stacks.meetings"],
)
def test_interrupted_up_ends_what_it_started(instant: str) -> None:
    """SIGINT, as by Ctrl-C, while the named program runs."""
    with own_home() as home:
        folder = home / "stacks" / "one"
        before = unused_memory()
        interrupted = start("local.up('1k', 'one')")
        end = time.monotonic() + 60
        while not any(instant in each.command for each in running(folder)):
            assert time.monotonic() < end
            assert interrupted.poll() is None, interrupted.communicate()[0]
        servers = {each.pid for each in running(folder)}
        interrupted.send_signal(signal.SIGINT)
        told, _ = interrupted.communicate(timeout=60)
        assert interrupted.returncode != 0, told
        assert running(folder) == []
        assert left_by(servers, before) == {}
        local.up("1k", "one", quiet)


def test_memory_of_an_orphaned_initdb_is_given_back() -> None:
    """`up` was killed, initdb goes on: ended by `down`, it must leave what tells of its server's memory."""
    with own_home() as home:
        folder = home / "stacks" / "one"
        before = segments()
        killed = start("local.up('1k', 'one')")
        end = time.monotonic() + 60
        while not (made := {number for number, (maker, _) in segments().items() if is_bootstrap(maker, folder)}):
            assert time.monotonic() < end
        killed.kill()
        killed.wait()
        if killed.stdout:
            killed.stdout.close()
        local.down("one")
        assert not made & (segments().keys() - before.keys())


def is_bootstrap(pid: int, folder: Path) -> bool:
    return any(each.pid == pid and " --boot " in each.command for each in running(folder))


@pytest.mark.parametrize("told", [True, False])
def test_memory_of_a_killed_server_is_given_back(told: bool) -> None:
    """Also of one that was killed between making its memory and telling of it in postmaster.pid."""
    with own_home() as home:
        local.up("1k", "one", quiet)
        folder = home / "stacks" / "one"
        before = unused_memory()
        servers = {each.pid for each in running(folder)}
        for each in sorted(running(folder), key=lambda each: not each.is_supervisor):
            os.kill(each.pid, signal.SIGKILL)
        end = time.monotonic() + 60
        while running(folder):
            assert time.monotonic() < end
            time.sleep(0.01)
        assert left_by(servers, before)
        lock = next(folder.glob("postgresql/*/data/postmaster.pid"))
        if not told:
            lock.write_text("".join(lock.read_text().splitlines(keepends=True)[:6]))
        local.down("one")
        assert left_by(servers, before) == {}


def test_a_build_that_was_killed_leaves_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three builds at once, and the one at work is killed: of the two that waited, one builds, and both have its program."""
    monkeypatch.setenv("AFTERSHOCK_CACHE", str(tmp_path))
    code = "from aftershock.stacks import toxiproxy; print(toxiproxy.program())"
    builds = [start(code)]
    end = time.monotonic() + 60
    while not list(tmp_path.glob("toxiproxy-*.*.*.*")):
        assert time.monotonic() < end
        time.sleep(0.01)
    builds += [start(code) for _ in range(2)]
    builds[0].kill()
    builds[0].wait()
    if builds[0].stdout:
        builds[0].stdout.close()
    told = [each.communicate()[0] for each in builds[1:]]
    assert told == [f"{toxiproxy.program()}\n"] * 2
    version = subprocess.run([toxiproxy.program(), "-version"], check=True, capture_output=True, text=True).stdout
    assert toxiproxy.VERSION in version


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has servers run as somebody else")
def test_programs_that_servers_cannot_reach_are_copied_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel below a closed folder, as in a virtual environment in root's home."""
    with own_home() as home:
        home.mkdir()
        closed = home / "closed"
        closed.mkdir(mode=0o700)
        wheel = postgres._wheel()
        for part in (postgres._PARTS[0].parent, postgres._PARTS[1]):
            (closed / part).symlink_to(wheel / part)
        monkeypatch.setattr(postgres, "_wheel", lambda: closed)
        monkeypatch.setenv("AFTERSHOCK_CACHE", str(home / "cache"))
        (home / "cache").mkdir(mode=0o755)
        assert postgres.found() is None
        first = postgres.programs()
        assert first.is_relative_to(home / "cache")
        made = first.stat().st_ctime_ns
        assert postgres.programs() == first
        assert first.stat().st_ctime_ns == made
        (home / "cluster").mkdir(mode=0o777)
        (home / "cluster").chmod(0o777)
        postgres.create(home / "cluster" / "data", "super")
        assert (home / "cluster" / "data" / "PG_VERSION").exists()
        (home / "cache").chmod(0o700)
        with pytest.raises(local.StackError, match="can't run"):
            postgres.programs()


def test_without_go_and_without_a_wheel_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFTERSHOCK_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    with pytest.raises(local.StackError) as refused:
        toxiproxy.program()
    assert "install Go" in refused.value.advice
    assert not toxiproxy.ready()


def test_what_killed_commands_left_aside_is_cleared() -> None:
    with own_home() as home:
        cluster = home / "stacks" / "one" / "postgresql" / "primary" / "new.abc"
        cluster.mkdir(parents=True)
        grave = home / "stacks" / ".one.removed"
        grave.mkdir(parents=True)
        local.up("1k", "one", quiet)
        assert not cluster.exists()
        local.down("one")
        assert list((home / "stacks").iterdir()) == []
        assert not place("one").folder.exists()
