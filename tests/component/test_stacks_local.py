"""Local stacks, real: up, down, twice, side by side, broken and repaired, with a port taken, as an ordinary user."""

import os
import pwd
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import psycopg
import pytest

from aftershock.adapters import supervisor
from aftershock.cli.app import run
from aftershock.errors import InputError, StackError, TargetError
from aftershock.model.load import load
from aftershock.model.stack import Stack, SupervisorControl
from aftershock.stacks import doctor, local, place, ports, postgres, processes, ready
from aftershock.stacks.place import read_record
from own_home import OPERATOR, command, own_home, start

ESSENTIAL = {"supervisord", "app", "main", "primary", "client-to-app"}


@pytest.fixture
def home() -> Iterator[Path]:
    with own_home() as folder:
        yield folder


@pytest.fixture(scope="module")
def stack() -> Iterator[Path]:
    """One stack for the tests that leave it as it was."""
    with own_home():
        yield local.up("1k", "shared", progress=str)


def quiet(_: str) -> None:
    return


def spec(path: Path) -> Stack:
    (document,) = load(path).sound()
    assert isinstance(document.object, Stack)
    return document.object


def door(path: Path) -> int:
    port = read_record(path.parent / "record.json")["ports"]["client-to-app"]
    assert isinstance(port, int)
    return port


def serves(path: Path) -> bool:
    return ready.ask(door(path), "/readyz") is not None and ready.ask(door(path), "/meetings/1/join") is not None


def down_parts(name: str) -> set[str]:
    return {part.name for part in local.status(name) if not part.up} & ESSENTIAL


def pids(folder: Path) -> set[int]:
    return {process.pid for process in processes.of(folder)}


def wait_until(condition, seconds: float = 20.0) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"it was not so within {seconds} s"
        time.sleep(0.02)


def test_what_is_up_serves_through_its_links(stack: Path) -> None:
    assert down_parts("shared") == set()
    assert serves(stack)
    assert spec(stack).metadata.name == "shared"
    assert "shared" in local.listing()


def test_status_without_a_name_is_that_of_all(stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wait_until(lambda: all(part.up for part in local.status("shared")))
    assert run(["stack", "status"]) == 0
    assert capsys.readouterr().out.startswith("shared:\n")


def test_where_no_stack_is_that_is_said(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for word in ("status", "ls"):
        assert run(["stack", word]) == 0
        said = capsys.readouterr()
        assert (said.out, "`aftershock stack up 1k` starts one" in said.err) == ("", True)


def test_up_again_changes_nothing(stack: Path) -> None:
    wait_until(lambda: all(part.state not in ("STARTING", "BACKOFF") for part in local.status("shared")))
    before, written = {part.detail for part in local.status("shared")}, stack.stat().st_mtime_ns
    told: list[str] = []
    assert local.up("1k", "shared", told.append) == stack
    assert told == ["shared is up already"]
    assert stack.stat().st_mtime_ns == written
    assert {part.detail for part in local.status("shared") if part.name in ESSENTIAL} <= before


def test_the_application_has_57_slots_and_the_observer_one_of_its_own(stack: Path) -> None:
    database = spec(stack).spec.databases[0]
    assert database.dsn.file
    assert database.observer
    assert database.observer.file
    application = (stack.parent / database.dsn.file).read_text()
    reaper = SupervisorControl(url=f"unix://{stack.parent}/supervisor.sock", program="reaper")
    supervisor.stop(reaper)  # it may be connected just now, with a slot that would be missing
    try:
        with ExitStack() as held:
            for _ in range(57):
                held.enter_context(closing(psycopg.connect(application)))
            with pytest.raises(psycopg.OperationalError, match="SUPERUSER"):
                psycopg.connect(application)
            with psycopg.connect((stack.parent / database.observer.file).read_text()) as observer:
                seen = observer.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'meetings'").fetchone()
        assert seen == (57,)
    finally:
        supervisor.start(reaper)


def test_nobody_else_can_read_what_is_in_the_folder(stack: Path) -> None:
    for path in stack.parent.rglob("*"):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode) and path.parent in (stack.parent, stack.parent / "secrets"):
            assert stat.S_IMODE(mode) == 0o600, path
        if stat.S_ISDIR(mode):
            assert stat.S_IMODE(mode) == 0o700, path
    assert stat.S_IMODE(stack.parent.stat().st_mode) == 0o711


def test_no_password_is_on_a_command_line_or_in_an_environment(stack: Path) -> None:
    passwords = read_record(stack.parent / "secrets" / "passwords.json").values()
    for pid in pids(stack.parent):
        told = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        assert not any(password.encode() in told for password in passwords)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run servers as somebody else")
def test_the_database_runs_as_nobody(stack: Path) -> None:
    (postmaster,) = [each for each in processes.of(stack.parent) if each.is_postmaster]
    assert Path(f"/proc/{postmaster.pid}").stat().st_uid == pwd.getpwnam("nobody").pw_uid


def test_a_killed_part_comes_back_and_toxiproxy_comes_back_populated(stack: Path) -> None:
    control = spec(stack).spec.toxiproxies[0].restart
    assert control is not None
    supervisor.restart(control.supervisor)
    wait_until(lambda: serves(stack))
    for workload in spec(stack).spec.workloads:
        assert workload.supervisor is not None
        before = supervisor.info(workload.supervisor).pid
        supervisor.signal(workload.supervisor, "KILL")
        wait_until(lambda: supervisor.info(workload.supervisor).pid not in (before, None) and serves(stack))  # noqa: B023


def test_a_stack_of_another_era_is_not_touched(stack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local.values, "load", lambda *_: None)
    with pytest.raises(StackError, match="a stack of era 1k"):
        local.up("10k", "shared", quiet)
    assert serves(stack)


@pytest.mark.parametrize("name", ["../x", "", "A", "x" * 51, ".hidden"])
def test_a_name_that_is_none_is_refused(stack: Path, name: str) -> None:
    for call in (lambda: local.up("1k", name or "-", quiet), lambda: local.down(name), lambda: local.status(name)):
        with pytest.raises(InputError):
            call()


def test_what_is_not_there(stack: Path) -> None:
    local.down("never-was")
    with pytest.raises(InputError, match="never-was"):
        local.status("never-was")
    with pytest.raises(InputError, match="2k"):
        local.up("2k", None, quiet)


def test_down_leaves_no_process_no_folder_and_no_memory(home: Path) -> None:
    path = local.up("1k", None, quiet)
    segment = shared_memory(place.place("meetings-1k").cluster("primary"))
    assert segment in Path("/proc/sysvipc/shm").read_text()
    control = spec(path).spec.workloads[0].supervisor
    assert control is not None
    assert path == home / "stacks" / "meetings-1k" / "stack.yaml"
    running = pids(path.parent)
    assert len(running) >= 5
    local.down("1k")  # an era means its own stack
    assert not any(is_alive(pid) for pid in running)
    assert list((home / "stacks").iterdir()) == []
    assert segment not in Path("/proc/sysvipc/shm").read_text()
    assert local.listing() == []
    with pytest.raises(TargetError):
        supervisor.info(control)
    local.down("1k")


def shared_memory(cluster: Path) -> str:
    """Return the key and the id of a server's shared memory, as the system lists them."""
    key, number = (cluster / "postmaster.pid").read_text().splitlines()[6].split()
    return f"{key:>10} {number:>10}"


def kill_all(folder: Path) -> None:
    """End everything of a stack as a machine's end would: without a word, and supervisord first."""
    for process in sorted(processes.of(folder), key=lambda each: not each.is_supervisor):
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: pids(folder) == set())


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_two_side_by_side_know_nothing_of_each_other(home: Path) -> None:
    first = start("local.up('1k', 'one')")
    second = local.up("1k", "two", quiet)
    assert first.wait(90) == 0, first.communicate()[0]
    first.communicate()
    one = home / "stacks" / "one" / "stack.yaml"
    assert set(local.listing()) == {"one", "two"}
    assert serves(one)
    local.down("two")
    assert pids(second.parent) == set()
    assert serves(one)
    assert down_parts("one") == set()


def test_two_ups_of_one_stack_at_once_are_one(home: Path) -> None:
    both = [start("local.up('1k', 'one')") for _ in range(2)]
    told = [each.communicate(timeout=90)[0] for each in both]
    assert [each.returncode for each in both] == [0, 0], told
    assert sum("one is up already" in each for each in told) == 1
    (keeper,) = [each for each in processes.of(home / "stacks" / "one") if each.is_supervisor]
    assert is_alive(keeper.pid)


def test_down_finds_what_a_killed_supervisord_left(home: Path) -> None:
    path = local.up("1k", "one", quiet)
    (keeper,) = [each for each in processes.of(path.parent) if each.is_supervisor]
    os.kill(keeper.pid, signal.SIGKILL)
    wait_until(lambda: keeper.pid not in pids(path.parent))
    assert any("is not kept" in each.what for each in doctor.examine())
    assert [part.up for part in local.status("one")] == [False]
    left = pids(path.parent)
    assert left
    local.down("one")
    assert not any(is_alive(pid) for pid in left)


def test_down_finds_the_processes_of_a_folder_that_is_gone(home: Path) -> None:
    path = local.up("1k", "one", quiet)
    path.parent.rename(home / "elsewhere")
    assert local.listing() == ["one"]
    left = pids(path.parent)
    local.down("one")
    assert not any(is_alive(pid) for pid in left)


def test_down_ends_what_is_stopped_and_needs_no_force(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = local.up("1k", "one", quiet)
    for process in processes.of(path.parent):
        os.kill(process.pid, signal.SIGSTOP)
    means: list[signal.Signals] = []
    send = processes._signal
    monkeypatch.setattr(processes, "_signal", lambda process, number: (means.append(number), send(process, number)))
    local.down("one")
    assert pids(path.parent) == set()
    assert signal.SIGKILL not in means


def test_down_touches_only_its_own(home: Path) -> None:
    """Another process with the same program, and one that only stands in the folder."""
    path = local.up("1k", "one", quiet)
    bystander = subprocess.Popen(["sleep", "1000"], cwd=path.parent)
    other = subprocess.Popen(["sleep", "1000"], env={**os.environ, processes.MARK: str(path.parent) + "-other"})
    try:
        local.down("one")
        assert bystander.poll() is None
        assert other.poll() is None
    finally:
        for each in (bystander, other):
            each.kill()
            each.wait()


def test_up_repairs_and_keeps_the_data(home: Path) -> None:
    path = local.up("1k", "one", quiet)
    dsn = path.parent / "secrets" / "primary.dsn"
    with psycopg.connect(dsn.read_text()) as connection:
        connection.execute("INSERT INTO notes (id, text) VALUES ('kept', '')")
    kill_all(path.parent)  # a machine that went down
    local.up("1k", "one", quiet)
    assert serves(path)
    with psycopg.connect(dsn.read_text()) as connection:
        assert connection.execute("SELECT id FROM notes").fetchall() == [("kept",)]
    segment = shared_memory(place.place("one").cluster("primary"))
    kill_all(path.parent)
    assert segment in Path("/proc/sysvipc/shm").read_text()
    local.down("one")
    assert segment not in Path("/proc/sysvipc/shm").read_text()


def test_up_repairs_a_stack_with_a_part_down(home: Path) -> None:
    path = local.up("1k", "one", quiet)
    app = spec(path).spec.workloads[0].supervisor
    assert app is not None
    supervisor.stop(app)
    assert down_parts("one") == {"app", "client-to-app"}
    local.up("1k", "one", quiet)
    assert down_parts("one") == set()


@pytest.mark.parametrize("which", ["primary", "main", "app-to-primary"])
def test_a_port_taken_meanwhile_is_chosen_again(home: Path, monkeypatch: pytest.MonkeyPatch, which: str) -> None:
    """Somebody listens on one of the ports between our choosing and our listening."""
    choose = ports.choose
    thieves: list[socket.socket] = []

    def robbed(count: int) -> list[int]:
        chosen = choose(count)
        if not thieves:
            names = local.wanted_ports(local.values.load("1k"))
            thieves.append(socket.create_server(("127.0.0.1", chosen[names.index(which)])))
        return chosen

    monkeypatch.setattr(ports, "choose", robbed)
    told: list[str] = []
    path = local.up("1k", "one", told.append)
    assert any("a port was taken" in line for line in told)
    assert serves(path)
    thieves[0].close()


def test_ports_taken_every_time_are_a_clear_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as thief:
        port = thief.getsockname()[1]
        choose = ports.choose
        monkeypatch.setattr(ports, "choose", lambda count: [port, *choose(count - 1)])
        with pytest.raises(StackError, match="was taken"):
            local.up("1k", "one", quiet)
    assert pids(home / "stacks" / "one") == set()


def test_a_stack_that_cannot_start_names_the_log_and_leaves_nothing(home: Path) -> None:
    path = local.up("1k", "one", quiet)
    cluster = place.place("one").cluster("primary")
    kill_all(path.parent)
    (cluster / "PG_VERSION").write_text("9.2\n")
    with pytest.raises(StackError) as refused:
        local.up("1k", "one", quiet)
    assert "primary.log" in refused.value.advice
    assert "PG_VERSION" in refused.value.problem or "version" in refused.value.problem
    assert pids(path.parent) == set()
    local.down("one")
    local.up("1k", "one", quiet)


def test_a_path_too_long_for_a_socket(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFTERSHOCK_HOME", str(home / ("long" * 30)))
    path = local.up("1k", "one", quiet)
    ground = place.place("one")
    assert ground.socket.parent != ground.folder
    assert stat.S_IMODE(ground.socket.parent.stat().st_mode) == 0o700
    assert serves(path)
    local.down("one")
    assert not ground.socket.parent.exists()


def test_a_short_folder_that_is_not_ours_alone_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFTERSHOCK_HOME", str(home / ("long" * 30)))
    short = place.place("one").socket.parent
    short.mkdir(mode=0o755)
    try:
        with pytest.raises(StackError, match="not private"):
            local.up("1k", "one", quiet)
    finally:
        short.rmdir()


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user has no other account to shut out")
def test_a_home_that_servers_cannot_pass_is_a_clear_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "closed").mkdir(parents=True, mode=0o700)
    monkeypatch.setenv("AFTERSHOCK_HOME", str(home / "closed"))
    with pytest.raises(StackError) as refused:
        local.up("1k", "one", quiet)
    assert "AFTERSHOCK_HOME" in refused.value.advice


@pytest.mark.skipif(os.geteuid() != 0, reason="it is what every test here does already")
@pytest.mark.parametrize("era", ["1k", "10k"])
def test_an_ordinary_user_can_do_it_all(home: Path, era: str) -> None:
    """As nobody, with an interpreter that nobody can run."""
    nobody = pwd.getpwnam("nobody")
    own = home.parent / "nobody"
    own.mkdir(mode=0o700)
    os.chown(own, nobody.pw_uid, nobody.pw_gid)
    python = interpreter(home.parent)
    if python is None:
        pytest.skip("no interpreter on this machine can be run by nobody")
    code = """
import psycopg
from pathlib import Path
from aftershock.stacks import doctor
path = local.up('ERA')
local.up('ERA')
print(*local.status('ERA'), sep='\\n')
with psycopg.connect((path.parent / 'secrets/primary.dsn').read_text()) as connection:
    print('user', Path('/proc/self').stat().st_uid, connection.execute('SELECT count(*) FROM meetings').fetchone())
assert all(each.state != 'missing' for each in doctor.examine()), doctor.examine()
local.down('ERA')
assert local.listing() == []
""".replace("ERA", era)
    done = subprocess.run(
        command(code, python), check=False, cwd="/", user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[],
        env={"PATH": os.environ["PATH"], "HOME": str(own), "AFTERSHOCK_CACHE": os.environ["AFTERSHOCK_CACHE"]},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"user {nobody.pw_uid} (1,)" in done.stdout
    assert [each for each in processes.marked() if each.folder.startswith(str(own))] == []


def interpreter(folder: Path) -> str | None:
    """Return a Python with this one's packages that nobody can run: this one, or the system's with a `.pth` file."""
    nobody = pwd.getpwnam("nobody")
    packages = Path(psycopg.__file__).parent.parent

    def runs(python: str) -> bool:
        try:
            return subprocess.run(
                [python, "-c", "import aiohttp, psycopg"], check=False, cwd="/", user=nobody.pw_uid,
                group=nobody.pw_gid, extra_groups=[], capture_output=True,
            ).returncode == 0  # fmt: skip
        except OSError:
            return False

    if runs(sys.executable):
        return sys.executable
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    try:
        subprocess.run([f"/usr/bin/{version}", "-m", "venv", "--without-pip", folder / "venv"], check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    (folder / "venv" / "lib" / version / "site-packages" / "packages.pth").write_text(f"{packages}\n{OPERATOR}\n")
    own = str(folder / "venv" / "bin" / "python")
    return own if runs(own) else None


def test_postgres_refuses_what_is_no_password_of_its_own(stack: Path) -> None:
    port = read_record(stack.parent / "record.json")["ports"]["primary"]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres.dsn(port, "meetings", "guess", "meetings"))
