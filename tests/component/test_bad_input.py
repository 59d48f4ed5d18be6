"""Bad input, typed as a user types it: one clear message with what to do next, an exit code that is no verdict's, and
nothing injected or everything healed."""

import json
import os
import re
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aftershock.adapters.toxiproxy import Proxy, Server
from aftershock.core.history import Entered, Errored, Injected, Observed
from component.conftest import Postgres, free_port, start_toxiproxy
from planted import Asked, response, serving
from whole_runs import PATIENCE, PROXY, Ended, Ground, ask, command, environment, good, latency, proxies, until

HOLD = "30s"
"""How long a fault would be held, were the run not stopped by what the test does: no test waits for its end."""


@pytest.fixture
def ground(toxiproxy: Server, tmp_path: Path) -> Iterator[Ground]:
    """A sound stack and experiment: each test spoils one thing."""
    with serving(good) as service:
        toxiproxy.create(Proxy(PROXY, "127.0.0.1:0", f"127.0.0.1:{service.port}"))
        yield Ground(tmp_path, service, toxiproxy.url, proxies(toxiproxy.url)[PROXY]["listen"])


def refused(done: Ended, code: int, *words: str) -> None:
    """One message on standard error that names the problem and what to do next, and no traceback."""
    assert done.code == code, done.said
    assert done.err.count("error: ") == 1, done.err
    assert done.err.count("\n  try: ") == 1, done.err
    assert "Traceback" not in done.said
    assert "a bug in aftershock" not in done.err
    for word in words:
        assert word in done.err


def typed(ground: Ground, experiment: Path | None = None, stack: Path | None = None, **extra: str) -> Ended:
    words = ["run", experiment or ground.experiment([latency()]), "--stack", stack or ground.stack()]
    return ground.type(*words, "--era", ground.era(), **extra)


def touched(ground: Ground) -> list[str]:
    """Return what the target holds of ours, as it says itself."""
    return [*ground.toxics(), *(name for name in proxies(ground.toxiproxy) if name != PROXY)]


# What is written


def test_every_error_of_a_file_at_once_and_nothing_is_touched(ground: Ground) -> None:
    steps = [latency(fault="nonsense"), latency(at="1d", target="nowhere"), {**latency(at="2d"), "fro": 1}]
    done = typed(ground, ground.experiment(steps, steady="soon"))
    refused(done, 4, "fro", "steady", "names no link `nowhere`")
    assert done.err.count("experiment-planted.yaml:") >= 4, "all of them"
    assert touched(ground) == []
    assert not (ground.home / "runs").exists()


def test_an_unknown_fault(ground: Ground) -> None:
    refused(typed(ground, ground.experiment([latency(fault="latenzy")])), 4, "`latenzy`", "did you mean `latency`?")


def test_a_target_that_the_stack_does_not_name(ground: Ground) -> None:
    refused(typed(ground, ground.experiment([latency(target="inn")])), 4, "`inn`", "did you mean `in`?")


def test_a_name_that_no_run_can_be_named_after(ground: Ground) -> None:
    refused(typed(ground, ground.experiment([latency()], "x" * 80)), 4, "80 characters", "at most 40")


def test_production_needs_an_allowance(ground: Ground) -> None:
    done = typed(ground, stack=ground.stack(environment="production"))
    refused(done, 4, "production", "add `allow: {production: true}`")
    assert touched(ground) == []


@pytest.mark.parametrize("word", ["run", "plan"])
def test_an_era_that_does_not_exist(ground: Ground, word: str) -> None:
    words = [word, ground.experiment(), "--stack", ground.stack()]
    refused(ground.type(*words, "--era", "77k"), 4, "'77k'", "1k, 10k")
    refused(ground.type(word, ground.experiment(), "--stack", ground.stack(era="77k")), 4, "'77k'")


def test_a_stack_that_does_not_exist(ground: Ground) -> None:
    refused(ground.type("run", ground.experiment(), "--stack", "nowhere"), 4, "'nowhere'", "aftershock stack up 1k")


PAGE = b"<!doctype html><title><script>alert(1)</script></title><p>\x1b[31m: not: yaml"
FILES: dict[str, bytes] = {
    "empty.yaml": b"",
    "spaces.yaml": b"  \n\n",
    "broken.yaml": b"a: [1, 2",
    "binary.yaml": bytes(range(256)) * 40,
    "page.html": PAGE,
    "tabs.yaml": b"apiVersion:\n\t- x",
    "deep.yaml": b"[" * 5000,
    "bomb.yaml": b"a: &a [x, x]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (n, n, n - 1, n - 1) for n in range(98, 123)),
    "long.yaml": b"".join(b"field%d: %d\n" % (n, n) for n in range(10_000)),
}


@pytest.mark.parametrize("name", [*FILES, "missing.yaml", "folder"])
def test_a_file_that_is_no_document(ground: Ground, name: str) -> None:
    path = ground.folder / name
    if name == "folder":
        path.mkdir()
    elif name in FILES:
        path.write_bytes(FILES[name])
    for words in (
        ["run", path],
        ["plan", path],
        ["run", ground.experiment(), "--stack", path],
        ["run", ground.experiment(), "--stack", ground.stack(), "--era", path],
    ):
        done = ground.type(*words)
        refused(done, 4, name)
        assert "\x1b" not in done.said
    checked = ground.type("validate", path)
    assert checked.code == 4
    assert name in checked.out
    assert "\x1b" not in checked.said


@pytest.mark.parametrize(
    "words",
    ["nonsense", "run", "run a b", "run a --nonsense", "judge", "stack", "stack up", "report last --form pdf"],
)
def test_wrong_usage(ground: Ground, words: str) -> None:
    done = ground.type(*words.split())
    assert (done.code, "Traceback" in done.said) == (64, False), done.said


def test_debug_shows_the_traceback(ground: Ground) -> None:
    done = ground.type("run", ground.folder / "missing.yaml", "--debug")
    assert done.code == 4
    assert "Traceback" in done.err


# What the stack names


def database(ground: Ground, **dsn: str) -> Path:
    return ground.stack(databases=[{"name": "primary", "engine": "postgresql", "role": "primary", "dsn": dsn}])


def exhaustion(ground: Ground) -> Path:
    return ground.experiment([{"at": "0s", "for": HOLD, "fault": "db-connection-exhaustion", "target": "primary"}])


def test_a_database_that_cannot_be_reached(ground: Ground) -> None:
    stack = database(ground, env="DSN")
    dsn = f"host=127.0.0.1 port={free_port()} user=app password=planted-word dbname=app"
    done = typed(ground, exhaustion(ground), stack, DSN=dsn)
    refused(done, 5, "primary", "can't be reached", "see whether it runs")
    assert "planted-word" not in done.said


def test_a_wrong_password(ground: Ground, postgres: Postgres) -> None:
    dsn = postgres.app.replace("appword", "planted-word")
    assert dsn != postgres.app
    done = typed(ground, exhaustion(ground), database(ground, env="DSN"), DSN=dsn)
    refused(done, 5, "primary", "refuses the login", "correct user and password")
    assert "planted-word" not in done.said
    assert all(b"planted-word" not in path.read_bytes() for path in ground.home.rglob("*") if path.is_file())


@pytest.mark.parametrize("dsn", ["", "no dsn at all", "http://127.0.0.1/"])
def test_a_dsn_that_is_none(ground: Ground, dsn: str) -> None:
    refused(typed(ground, exhaustion(ground), database(ground, env="DSN"), DSN=dsn), 5, "primary")


def test_a_secret_that_is_not_there(ground: Ground) -> None:
    for dsn, word in (({"env": "NO_SUCH_DSN"}, "NO_SUCH_DSN"), ({"file": "none.dsn"}, "none.dsn")):
        done = typed(ground, stack=database(ground, **dsn))
        refused(done, 5, word)
        assert touched(ground) == [], "the link could be hit, but nobody could say what is left of it at the database"


def test_a_toxiproxy_that_is_not_there(ground: Ground) -> None:
    stack = ground.stack(toxiproxies=[{"name": "main", "url": f"http://127.0.0.1:{free_port()}"}])
    refused(typed(ground, stack=stack), 5, "Toxiproxy main", "can't be reached", "start it")


def test_halt_says_once_what_it_cannot_reach(ground: Ground) -> None:
    stack = ground.stack(toxiproxies=[{"name": "main", "url": f"http://127.0.0.1:{free_port()}"}])
    done = ground.type("halt", "--stack", stack)
    assert (done.code, done.said.count("STUCK: ")) == (9, 1), done.said


def test_what_is_no_toxiproxy(ground: Ground) -> None:
    refused(typed(ground, stack=ground.stack(toxiproxies=[{"name": "main", "url": ground.service.url}])), 5, "main")


def test_a_proxy_that_the_toxiproxy_does_not_have(ground: Ground) -> None:
    links = [{"name": PROXY, "toxiproxy": "main", "proxy": "nope"}]
    refused(typed(ground, stack=ground.stack(links=links)), 5, "nope", "correct `proxy:`")


def test_a_port_that_is_taken(ground: Ground) -> None:
    links = [{"name": PROXY, "toxiproxy": "main", "listen": ground.entry, "upstream": "127.0.0.1:1"}]
    done = typed(ground, stack=ground.stack(links=links))
    refused(done, 5, f"can't listen at {ground.entry}: address already in use", "give the link another `listen:`")
    assert touched(ground) == []


def test_a_clock_that_is_wrong(ground: Ground) -> None:
    """A lease counts on the target's clock: where that is an hour off, nothing is injected."""

    def answer(asked: Asked) -> bytes:
        method, path = asked.head.split(b" ", 2)[:2]
        status, body, _ = ask(ground.toxiproxy, method.decode(), path.decode(), asked.body or None)
        return response(status, body, b"Date: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: application/json\r\n")

    with serving(answer) as door:
        done = typed(ground, stack=ground.stack(toxiproxies=[{"name": "main", "url": door.url}]))
    refused(done, 5, "the clock of in differs", "NTP")
    assert touched(ground) == []


def test_a_toxiproxy_that_dies_during_the_run(ground: Ground, tmp_path: Path) -> None:
    """A killed Toxiproxy forgets every toxic: the run ends at once, and the message says what is gone."""
    port = free_port()
    process = start_toxiproxy(port)
    url = f"http://127.0.0.1:{port}"
    try:
        with Server("own", url) as server:
            server.create(Proxy(PROXY, "127.0.0.1:0", f"127.0.0.1:{ground.service.port}"))
        stack = ground.stack(toxiproxies=[{"name": "main", "url": url}])
        with ground.run(ground.experiment([latency("2s")]), stack) as going:
            going.until(Observed, lambda event: event.when == "during")
            process.kill()
            process.wait()
            done = going.wait()
    finally:
        process.kill()
        process.wait()
    again = f"`aftershock reap --stack {stack}`"
    refused(Ended(done.code, done.out, done.err), 5, "nobody can say what is left", again)
    assert "can't be reached" in done.out
    assert "Traceback" not in done.err


# The disk and the state folder


def limited(ground: Ground, stack: Path, limit: Callable[[], None]) -> Ended:
    words = ["run", ground.experiment([latency(HOLD)]), "--stack", stack, "--era", ground.era()]
    done = subprocess.run(
        command(*words),
        env=environment(ground.home),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        preexec_fn=limit,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def test_a_journal_that_cannot_grow(ground: Ground) -> None:
    """As on a full disk, for any user: a limit on the size of files. It strikes while the fault is held, which is healed."""
    done = limited(ground, ground.stack(), lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (7_000, 7_000)))
    refused(done, 7, "can't write the journal", "free some space")
    assert "inject latency" in done.out
    assert "Passed" not in done.out
    assert "Error" in done.out
    assert touched(ground) == []


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root can mount a small disk, and not everywhere")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk(ground: Ground) -> None:
    with small_disk(ground.home, "24k"):
        done = limited(ground, ground.stack(), lambda: None)
        refused(done, 7, "can't write", "No space left on device", "free some space")
        assert touched(ground) == []
        (run,) = (ground.home / "runs").iterdir()
        assert ground.type("judge", run.name).code == 2, "what there is of the journal can be judged"


@pytest.mark.parametrize("words", ["run", "stack up 1k", "report", "judge last", "reap", "halt", "stack down"])
def test_a_home_that_is_a_file(ground: Ground, words: str) -> None:
    ground.home.write_text("in the way")
    more = [ground.experiment(), "--stack", ground.stack()] if words == "run" else []
    done = ground.type(*words.split(), *more)
    assert "Traceback" not in done.said
    assert "a bug in aftershock" not in done.said
    if words in ("run", "stack up 1k", "judge last"):
        refused(done, done.code)
        assert done.code >= 3


def test_a_run_that_was_killed(ground: Ground) -> None:
    """Its lease stands: the next run is refused and touches nothing, `halt` heals, and then there is room again."""
    stack = ground.stack()
    with ground.run(ground.experiment([latency(HOLD)]), stack) as going:
        going.until(Observed, lambda event: event.when == "during")
        going.signal(signal.SIGKILL)
        going.wait()
    held = touched(ground)
    assert held
    done = typed(ground, stack=stack)
    refused(done, 6, "another run holds the stack planted", "aftershock halt")
    assert re.search(r"note at .*: another run holds the stack planted", done.out), (
        "the report says why nothing was done"
    )
    assert touched(ground) == held
    halted = ground.type("halt", "--stack", stack)
    assert halted.code == 0, halted.said
    assert touched(ground) == []
    assert typed(ground, ground.experiment([latency("300ms")]), stack).code in (0, 2)


# Journals


def journal(ground: Ground) -> list[bytes]:
    with ground.run(ground.experiment([latency("500ms")])) as going:
        assert going.wait().code in (0, 2)
        return (going.folder / "journal.jsonl").read_bytes().splitlines(keepends=True)


def changed(line: bytes, **fields: object) -> bytes:
    return json.dumps({**json.loads(line), **fields}).encode() + b"\n"


def test_journals_that_are_none(ground: Ground) -> None:
    lines = journal(ground)
    slice_ = next(line for line in lines if b'"slice"' in line)
    damaged = {
        "empty": b"",
        "binary": bytes(range(256)) * 40,
        "headless": b"".join(lines[1:]),
        "page": PAGE,
        "newer": b"".join([changed(lines[0], schema=9), *lines[1:]]),
        "timeless": b"".join([changed(lines[0], origin=-1e300), *lines[1:]]),
        "no-tree": b"".join([changed(lines[0], experiment={"spec": []}), *lines[1:]]),
        "negative": b"".join([*lines, changed(slice_, good=-1)]),
        "endless": b"".join([*lines, changed(slice_, n=10**12)]),
        "late": b"".join([*lines, changed(slice_, latency={"99999": 1})]),
        "far": b"".join([*lines, changed(slice_, at=1e308)]),
    }
    for name, content in damaged.items():
        path = ground.folder / name
        path.write_bytes(content)
        refused(ground.type("judge", path), 7, name)
    (ground.folder / "eraless").write_bytes(b"".join([changed(lines[0], eras=[]), *lines[1:]]))
    refused(ground.type("judge", ground.folder / "eraless"), 4, "no era", "--era")
    for name in ("", "nowhere", "/dev/null", str(ground.folder)):
        refused(ground.type("judge", name), 4)


def test_a_torn_journal_is_judged_for_what_it_has(ground: Ground) -> None:
    whole = b"".join(journal(ground))
    path = ground.folder / "torn"
    path.write_bytes(whole[: len(whole) * 3 // 5])
    done = ground.type("judge", path)
    assert done.code == 2, done.said
    assert "Passed" not in done.out.splitlines()[0]


# Corrupt state


def test_a_state_folder_full_of_rubbish(ground: Ground) -> None:
    rubbish = bytes(range(256)) * 4
    (ground.home / "stacks" / "rotten").mkdir(parents=True)
    (ground.home / "stacks" / "rotten" / "stack.yaml").write_bytes(rubbish)
    (ground.home / "runs" / "rotten-aaaaaaaa").mkdir(parents=True)
    for name in ("run.json", "journal.jsonl", "lock"):
        (ground.home / "runs" / "rotten-aaaaaaaa" / name).write_bytes(rubbish)
    assert typed(ground, ground.experiment([latency("300ms")])).code in (0, 2)
    listed = ground.type("report")
    assert (listed.code, "rotten" in listed.out) == (0, True), listed.said
    for words in (["reap"], ["halt"]):
        done = ground.type(*words)
        assert done.code == 9, done.said
        assert "rotten" in done.said
        assert "Traceback" not in done.said
    refused(ground.type("run", ground.experiment(), "--stack", "rotten"), 4, "rotten")
    refused(ground.type("judge", "rotten"), 7, "rotten")


def test_lease_records_that_cannot_be_read(ground: Ground) -> None:
    """A stranger's file is named and left; nothing is injected where it can't be told what is held."""
    leases = ground.folder / "leases"
    leases.mkdir()
    (leases / "rubbish.json").write_bytes(b"\x00\xff")
    done = typed(ground)
    refused(done, 6, "rubbish.json")
    assert touched(ground) == []
    assert (leases / "rubbish.json").exists()


def test_halting_one_run_leaves_the_others_alone(ground: Ground) -> None:
    other = ground.stack("other", links=[], toxiproxies=[])
    with ground.run(ground.experiment([latency(HOLD)], "first")) as first:
        first.until(Observed, lambda event: event.when == "during")
        held = touched(ground)
        with ground.run(ground.experiment([], "second", watch=HOLD, steady=HOLD), other) as second:
            second.until(Entered, lambda event: event.phase == "Recovery")
            halted = ground.type("halt", second.name, "--stack", ground.stack())
            assert halted.code == 0, halted.said
            assert second.wait().code == 2
        assert touched(ground) == held
        first.signal(signal.SIGINT)
        assert first.wait().code == 2
    assert touched(ground) == []


# Terminals and pipes


@contextmanager
def held_by(ground: Ground, *words: str, **streams: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command("run", ground.experiment([latency("1500ms")]), "--stack", ground.stack(), "--era", ground.era(), *words),
        env=environment(ground.home), **streams,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_reader_that_goes_away_keeps_no_fault_from_being_healed(ground: Ground) -> None:
    """As in `aftershock run … | head -1`: the run goes on to its verdict, which its exit code tells."""
    with held_by(ground, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        until(lambda: touched(ground))
        process.stdout.close()
        assert process.wait(PATIENCE) in (0, 2)
        assert process.stderr.read() == b""
        process.stderr.close()
    assert touched(ground) == []
    (run,) = (ground.home / "runs").iterdir()
    assert (run / "report.html").exists()
    assert b'"ended"' in (run / "journal.jsonl").read_bytes()


def test_an_output_that_is_full(ground: Ground) -> None:
    with Path("/dev/full").open("wb") as full, held_by(ground, stdout=full.fileno(), stderr=subprocess.PIPE) as process:
        _, said = process.communicate(timeout=PATIENCE)
    refused(Ended(process.returncode, "", said.decode()), 74, "can't print the verdict", "No space left")
    assert touched(ground) == []


def test_streams_that_are_closed(ground: Ground) -> None:
    """The journal must not become standard output by taking its number."""
    words = command("run", ground.experiment([latency("300ms")]), "--stack", ground.stack(), "--era", ground.era())
    closed = subprocess.run(
        ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *words], env=environment(ground.home), timeout=PATIENCE
    )
    assert closed.returncode in (0, 2)
    (run,) = (ground.home / "runs").iterdir()
    assert all(json.loads(line) for line in (run / "journal.jsonl").read_bytes().splitlines())
    assert touched(ground) == []


@pytest.mark.parametrize("words", [["--help"], ["catalog"], ["judge", "last"], ["plan"]], ids=" ".join)
def test_pipes_that_nobody_reads(ground: Ground, words: list[str]) -> None:
    if words == ["judge", "last"]:
        journal(ground)
    more = [ground.experiment(), "--stack", ground.stack()] if words == ["plan"] else []
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            command(*words, *more),
            env=environment(ground.home),
            stdout=writing,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_terminal_that_knows_ascii_only(ground: Ground) -> None:
    experiment = ground.experiment([latency("300ms")], hypothesis="Überlastung ⚡ \u202e\x1b[31m <script>")
    plain = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "TERM": "dumb", "COLUMNS": "40"}
    for words in (["plan"], ["run"], ["run", "--json"]):
        done = ground.type(*words, experiment, "--stack", ground.stack(), "--era", ground.era(), **plain)
        assert done.code in (0, 2), done.said
        assert not {"\x1b", "\u202e"} & set(done.out) or words[-1] == "--json"
    for line in done.out.splitlines():
        json.loads(line)


def test_nothing_says_that_it_failed_where_an_error_is_expected(ground: Ground) -> None:
    """What stands in the journal of a run that was refused is the same problem that was printed."""
    stack = ground.stack(toxiproxies=[{"name": "main", "url": f"http://127.0.0.1:{free_port()}"}])
    with ground.run(ground.experiment([latency()]), stack) as going:
        done = going.wait()
    (error,) = done.history.all(Errored)
    assert error.problem in done.err
    assert done.history.all(Injected) == []
