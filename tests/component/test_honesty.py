"""Planted truths, from YAML to verdict and exit code: what a run says is what was so, and what it can't know it doesn't say."""

import base64
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psycopg
import pytest

from aftershock.adapters.toxiproxy import Proxy, Server
from aftershock.core.history import (
    Aborting,
    Cleaned,
    Entered,
    Healed,
    Healing,
    Injected,
    Intended,
    Observed,
    Slice,
    Tripped,
)
from aftershock.core.lease import parse
from aftershock.core.verdict import Truth, Verdict
from aftershock.model.run import Run
from component.conftest import Postgres, answers, free_port
from own_home import own_home
from planted import HANG, Asked, response, serving
from whole_runs import (
    PROXY,
    Done,
    Ground,
    Outage,
    admin,
    ask,
    document,
    going,
    good,
    latency,
    proxies,
    type_in,
    until,
)

SOAK = bool(os.environ.get("AFTERSHOCK_SOAK"))
CLOCKS = 0.001
"""Seconds. The journal's origin is on one clock and a planted instant on another; they were read one after the other."""


@pytest.fixture
def ground(toxiproxy: Server, tmp_path: Path) -> Iterator[Ground]:
    with serving(good) as service:
        made = toxiproxy.create(Proxy(PROXY, "127.0.0.1:0", f"127.0.0.1:{service.port}"))
        listen = made.listen if isinstance(made, Proxy) else toxiproxy.proxies()[PROXY].listen
        yield Ground(tmp_path, service, toxiproxy.url, listen)


def during(event: Observed) -> bool:
    return event.when == "during" and event.holds


# Recovery


@pytest.mark.parametrize("number", range(13 if SOAK else 3))
def test_a_recovery_lies_within_its_bracket(ground: Ground, number: int) -> None:
    """Eight entry points go down and come back, each at instants of its own, which the service itself decides."""
    seed = int(os.environ.get("AFTERSHOCK_SEED", time.time_ns() % 2**32))
    chance = random.Random(seed)
    print(f"AFTERSHOCK_SEED={seed}")
    every, timeout = 0.025, 1.0
    failing = [response(503), None, HANG]
    outages = {f"/e{n}": Outage(chance.choice(failing)) for n in range(8)}
    ground.service.answer = lambda asked: outages[asked.target](asked) if asked.target in outages else response()
    stated = {"kind": "stated"}
    objectives = [{"name": path[1:], "indicator": path[1:], "target": "95%", "source": stated} for path in outages]
    stack = ground.stack(indicators=[ground.indicator(path[1:], path, "25ms") for path in outages])
    with ground.run(ground.experiment(steady="2s"), stack, era=ground.era(objectives=objectives)) as run:
        run.until(Entered, lambda event: event.phase == "Active")
        for outage in outages.values():
            outage.plant(chance.uniform(0.05, 0.3), chance.uniform(0.05, 1.2))
        apart = time.time() - time.monotonic()
        done = run.wait()
    origin = done.history.begun.origin - apart
    brackets = {one.indicator: one for one in done.judgement.recovery}
    assert done.code == 0, done.judgement.because
    for path, outage in outages.items():
        found, began, ended = brackets[path[1:]], outage.start - origin, outage.end - origin
        assert found.began is not None, found
        assert found.ended is not None, found
        assert found.rto is not None, found
        assert found.began.low - CLOCKS <= began <= found.began.high + CLOCKS
        assert found.ended.low - CLOCKS <= ended <= found.ended.high + CLOCKS
        assert found.rto.low - CLOCKS <= ended - began <= found.rto.high + CLOCKS
        assert found.began.high - found.began.low <= 2 * every + timeout
        assert found.ended.high - found.ended.low <= 2 * every + timeout


# Data


def test_every_hundredth_acknowledged_write_dropped_is_every_hundredth_lost(ground: Ground) -> None:
    kept: list[str] = []
    dropped: list[str] = []

    def answer(asked: Asked) -> bytes:
        import json

        if asked.head.startswith(b"POST /notes"):
            id_ = json.loads(asked.body)["id"]
            (dropped if (len(kept) + len(dropped)) % 100 == 99 else kept).append(id_)
            return response(201)
        return response(200, json.dumps(kept).encode()) if asked.target.startswith("/notes") else response()

    ground.service.answer = answer
    notes = f"{ground.service.url}/notes"
    ledger = {"name": "writes", "every": "10ms", "timeout": "1s", "ledger": {"write": notes, "read": notes}}
    stack = ground.stack(indicators=[ground.indicator(), ledger])
    with ground.run(ground.experiment(steady="2s"), stack) as run:
        done = run.wait()
        (read,) = done.report.ledgers
        assert len(dropped) >= 3
        assert read.lost_count == len(dropped)
        assert {one.id for one in read.lost} == set(dropped)
        assert read.acknowledged == len(kept) + len(dropped)
        assert done.claim("loss").truth is Truth.FALSE
        assert done.verdict == (Verdict.FAILED, 1)
        lenient = ground.era("lenient", recovery={"rpo": {"value": "1h", "source": {"kind": "stated"}}})
        again = ground.type("judge", run.name, "--era", lenient)
        assert again.code == 0, again.said


# Evidence


def test_a_fault_that_never_lands_proves_nothing(ground: Ground) -> None:
    def undo(_method: str, path: str, added: str) -> None:
        if added:
            ask(ground.toxiproxy, "DELETE", f"{path.rstrip('/')}/{added}".replace(" ", "%20"))

    with admin(ground.toxiproxy, undo) as door:
        stack = ground.stack(toxiproxies=[{"name": "main", "url": door.url}])
        with ground.run(ground.experiment([latency("2s")]), stack) as run:
            done = run.wait()
    assert run.all(Injected)
    inconclusive(done, "NeverLanded")


def test_a_fault_that_stops_landing_halfway_proves_nothing(ground: Ground) -> None:
    with ground.run(ground.experiment([latency("4s")])) as run:
        run.until(Observed, during, count=2)
        for name in ground.toxics():
            assert ask(ground.toxiproxy, "DELETE", f"/proxies/{PROXY}/toxics/{name}")[0] == 204
        done = run.wait()
    inconclusive(done, "StoppedLanding")


def inconclusive(done: Done, reason: str) -> None:
    landed = done.condition("FaultLanded")
    assert (landed.status, landed.reason) == ("False", reason), landed.message
    assert done.verdict == (Verdict.INCONCLUSIVE, 2)
    assert done.record.status.verdict == "Inconclusive"


def test_without_probes_the_fault_is_healed_and_nothing_is_claimed(ground: Ground) -> None:
    with ground.run(ground.experiment([latency("20s")])) as run:
        seen = run.until(Observed, during)
        os.kill(run.worker("probes"), signal.SIGKILL)
        healed = run.until(Healed)
        done = run.wait()
    assert healed.at - seen.at < 10
    assert healed.clean
    assert ground.toxics() == []
    assert done.verdict == (Verdict.INCONCLUSIVE, 2)


def test_without_a_steady_baseline_nothing_is_injected(ground: Ground) -> None:
    number = iter(range(10**9))
    ground.service.answer = lambda asked: response(503 if asked.target == "/meet" and next(number) % 2 else 200)
    seen: list[tuple[str, str]] = []
    with admin(ground.toxiproxy, lambda method, path, _: seen.append((method, path))) as door:
        stack = ground.stack(toxiproxies=[{"name": "main", "url": door.url}])
        with ground.run(ground.experiment([latency()]), stack) as run:
            done = run.wait()
    assert ("GET", "/proxies") in seen
    assert {method for method, _ in seen} == {"GET"}
    assert not done.history.all(Intended)
    assert not done.history.all(Injected)
    assert done.verdict == (Verdict.INCONCLUSIVE, 2)
    assert "baseline" in done.judgement.because


# Budget


@pytest.mark.parametrize("spread", ["evenly", "in blocks"])
def test_thirty_seven_of_each_hundred(ground: Ground, spread: str) -> None:
    """The service fails 148 of 400 requests from Active on, and serves again: 37% of that window, to the request."""
    bad = [n * 37 % 100 < 37 if spread == "evenly" else n % 100 < 37 for n in range(400)]
    pending = iter(bad)
    failing: list[bool] = []
    ground.service.answer = lambda asked: response(
        503 if asked.target == "/meet" and failing and next(pending, False) else 200
    )
    stack = ground.stack(indicators=[ground.indicator(every="10ms")])
    with ground.run(ground.experiment(steady="1s"), stack) as run:
        run.until(Entered, lambda event: event.phase == "Active")
        failing.append(True)
        done = run.wait()
    spent = done.claim("budget").measured
    assert sum(bad) == 148
    assert spent is not None
    assert spent.low <= 1.48 <= spent.high
    assert spent.high - spent.low < 1.0, "bounds that contain everything say nothing"
    assert done.verdict == (Verdict.PASSED, 0)


def test_thirty_seven_of_each_hundred_for_as_long_as_a_fault_stands_for(ground: Ground) -> None:
    """Held for seconds, standing for 30 minutes: 37% of these is 666 s. The one era allows 518 s, the other 3 h 36 min."""
    failing: list[bool] = []
    number = iter(range(10**9))
    ground.service.answer = lambda asked: response(
        503 if asked.target == "/meet" and failing and next(number) * 37 % 100 < 37 else 200
    )
    stack = ground.stack(indicators=[ground.indicator(every="10ms")])
    fault = latency("4s", at="500ms", represents="30m")
    with ground.run(ground.experiment([fault]), stack, era=ground.era("strict", share="0.4%")) as run:
        run.until(Entered, lambda event: event.phase == "Active")
        failing.append(True)
        run.until(Healing)
        failing.clear()
        done = run.wait()
        spent = done.claim("budget").measured
        assert spent is not None
        assert spent.low <= 0.37 * 1800 <= spent.high
        assert spent.high - spent.low < 0.15 * 1800, "bounds that contain everything say nothing"
        assert done.verdict == (Verdict.FAILED, 1)
        assert ground.type("judge", run.name, "--era", ground.era("lenient")).code == 0


# Ends before the end


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_heals_at_once_and_judges(ground: Ground, number: signal.Signals) -> None:
    with ground.run(ground.experiment([latency("30s")])) as run:
        run.until(Observed, during)
        run.signal(number)
        aborting = run.until(Aborting)
        healed = run.until(Healed)
        done = run.wait()
    assert healed.at - aborting.at < 5
    assert ground.toxics() == []
    assert done.verdict == (Verdict.ABORTED, 2)
    assert number.name in done.judgement.because
    assert (done.record.status.phase, done.record.status.verdict) == ("Finished", "Aborted")


def test_a_second_signal_leaves_at_once_and_says_what_it_leaves(ground: Ground) -> None:
    """The first one is stuck in a Toxiproxy that doesn't answer."""
    release = threading.Event()
    with admin(ground.toxiproxy, lambda method, *_: release.wait(60) if method == "DELETE" else None) as door:
        stack = ground.stack(toxiproxies=[{"name": "main", "url": door.url}])
        try:
            with ground.run(ground.experiment([latency("2s")]), stack) as run:
                lease = run.until(Intended)
                run.until(Observed, during)
                run.signal(signal.SIGINT)
                run.until(Healing)
                run.signal(signal.SIGINT)
                done = run.wait()
        finally:
            release.set()
        assert done.code == 2
        assert lease.lease in done.err
        assert "reaper" in done.err
        until(lambda: time.time() > lease.expires)
        reaped = ground.type("reap", "--stack", stack)
    assert reaped.code == 0, reaped.said
    assert ground.toxics() == []
    assert done.record.status.verdict == "Aborted"


def test_a_first_signal_does_not_cut_the_healing_that_is_under_way(ground: Ground) -> None:
    """What stopped the run was no signal; the one that comes then is not the second."""
    release = threading.Event()
    with admin(ground.toxiproxy, lambda method, *_: release.wait(60) if method == "DELETE" else None) as door:
        stack = ground.stack(toxiproxies=[{"name": "main", "url": door.url}])
        try:
            with ground.run(ground.experiment([latency("30s")]), stack) as run:
                run.until(Observed, during)
                os.kill(run.worker("probes"), signal.SIGKILL)
                run.until(Healing)
                run.signal(signal.SIGTERM)
                until(lambda: "SIGTERM" in run.stderr())
                release.set()
                done = run.wait()
        finally:
            release.set()
    assert ground.toxics() == []
    assert done.history.all(Healed)[0].clean
    assert (done.code, done.record.status.phase) == (2, "Finished")


def test_a_killed_executor_is_cleaned_up_after_by_the_reaper(ground: Ground) -> None:
    stack = ground.stack()
    with ground.reaper(stack) as reaper, ground.run(ground.experiment([latency("2s")]), stack) as run:
        lease = run.until(Intended)
        run.until(Observed, during)
        run.signal(signal.SIGKILL)
        done = run.wait()
        assert len(ground.toxics()) == 2
        until(lambda: not ground.toxics())
        late = time.time() - lease.expires
        until(lambda: done.record.status.phase == "Finished")
        assert reaper.poll() is None
    assert late < 1
    assert (done.code, done.record.status.verdict) == (-signal.SIGKILL, "Aborted")
    (aborting,) = done.history.all(Aborting)
    assert aborting.reason == "ExecutorLost"
    (healed,) = done.history.all(Healed)
    assert healed.by == "found"
    report = ground.type("report", run.name)
    assert report.code == 0, report.said
    assert "Aborted" in (run.folder / "report.md").read_text()
    assert "Aborted" in (run.folder / "report.html").read_text()


def test_two_runs_never_hold_one_stack(ground: Ground) -> None:
    """Neither a second one of this machine nor one that can't know of the first but by what is at the target."""
    experiment, stack, era = ground.experiment([latency("5s")]), ground.stack(), ground.era()
    again = ["run", experiment, "--stack", stack, "--era", era]
    with ground.run(experiment, stack) as first:
        lease = first.until(Intended)
        first.until(Observed, during)
        with going(again, ground.folder / "another") as elsewhere:
            second = ground.type(*again)
            stranger = elsewhere.wait()
        assert not first.all(Healing)
        done = first.wait()
    assert second.code == 6
    assert first.name in second.err
    assert stranger.code == 6
    assert lease.lease.split(".")[2] in stranger.err
    assert done.verdict == (Verdict.PASSED, 0)
    assert done.condition("FaultLanded").status == "True"


def test_halt_ends_run_and_fault(ground: Ground) -> None:
    stack = ground.stack()
    with ground.run(ground.experiment([latency("30s")]), stack) as run:
        run.until(Observed, during)
        halted = ground.type("halt", "--stack", stack)
        assert ground.toxics() == []
        assert msgspec.json.decode((run.folder / "run.json").read_bytes(), type=Run).status.phase == "Finished"
        done = run.wait()
    assert halted.code == 0, halted.said
    assert run.name in halted.out
    assert done.verdict == (Verdict.ABORTED, 2)
    assert [event.reason for event in done.history.all(Aborting)] == ["Halt"]


def test_halt_ends_a_run_that_is_stopped(ground: Ground) -> None:
    stack = ground.stack()
    with ground.run(ground.experiment([latency("30s")]), stack) as run:
        run.until(Observed, during)
        run.signal(signal.SIGSTOP)
        halted = ground.type("halt", "--stack", stack)
        assert ground.toxics() == []
        done = run.wait()
    assert halted.code == 0, halted.said
    assert done.code == -signal.SIGKILL
    assert (done.record.status.phase, done.record.status.verdict) == ("Finished", "Aborted")


def test_a_guardrail_aborts_heals_and_fails(ground: Ground) -> None:
    failing: list[bool] = []
    ground.service.answer = lambda asked: response(503 if asked.target == "/meet" and failing else 200)
    rule = {"indicator": "meeting-success", "below": "50%", "for": "500ms"}
    with ground.run(ground.experiment([latency("30s")], guardrails=[rule])) as run:
        run.until(Observed, during)
        failing.append(True)
        tripped = run.until(Tripped)
        healed = run.until(Healed)
        done = run.wait()
    assert healed.at - tripped.at < 5
    assert ground.toxics() == []
    assert run.all(Aborting)[0].reason == "Guardrail"
    assert done.claim("guardrail").truth is Truth.FALSE
    assert done.verdict == (Verdict.FAILED, 1)


# Links that exist only for a run


def created_link(ground: Ground, listen: int) -> dict[str, str]:
    return {
        "name": PROXY,
        "toxiproxy": "main",
        "listen": f"127.0.0.1:{listen}",
        "upstream": f"127.0.0.1:{ground.service.port}",
    }


def test_a_link_that_is_created_for_the_run_goes_with_it(ground: Ground) -> None:
    port = free_port()
    stack = ground.stack(links=[created_link(ground, port)])
    with ground.run(ground.experiment([latency("2s")]), stack) as run:
        run.until(Observed, during)
        assert len(proxies(ground.toxiproxy)) == 2
        assert answers(port)
        done = run.wait()
    assert list(proxies(ground.toxiproxy)) == [PROXY]
    assert not answers(port)
    assert done.verdict == (Verdict.PASSED, 0)
    assert done.condition("FaultLanded").status == "True"
    assert not done.history.all(Cleaned)[-1].left


def test_a_created_link_whose_run_was_killed_goes_with_the_runs_last_fault(ground: Ground) -> None:
    """Not with its own lease, which lasts as long as the run could have and would keep the next run from the stack."""
    stack = ground.stack(links=[created_link(ground, free_port())])
    with ground.reaper(stack), ground.run(ground.experiment([latency("1s")]), stack) as run:
        run.until(Observed, during)
        run.signal(signal.SIGKILL)
        run.wait()
        (made,) = [parse(name) for name in proxies(ground.toxiproxy) if name != PROXY]
        assert made is not None
        until(lambda: list(proxies(ground.toxiproxy)) == [PROXY])
        assert time.time() < made.expires
        until(lambda: Done(0, "", "", run).record.status.phase == "Finished")
        done = Done(0, "", "", run)
    assert done.record.status.verdict == "Aborted"
    assert done.history.all(Aborting)[0].reason == "ExecutorLost"


# Load


def test_a_spike_is_proved_by_what_was_sent(ground: Ground) -> None:
    arrived: list[float] = []
    ground.service.answer = lambda asked: (
        arrived.append(asked.at) or response() if asked.target == "/load" else response()
    )
    stack = ground.stack(indicators=[ground.indicator(), ground.indicator("loaded", "/load", "200ms")])
    with ground.run(spiked(ground), stack) as run:
        done = run.wait()
    assert done.condition("FaultLanded").status == "True", done.condition("FaultLanded").message
    assert done.verdict == ((Verdict.PASSED, 0) if everything_sent(done) else (Verdict.INCONCLUSIVE, 2))
    (injected,) = done.history.all(Injected)
    (healing,) = done.history.all(Healing)
    assert (
        0.9 * 200 * (healing.at - injected.started) <= len(arrived) <= 1.5 * 200 * (healing.at - injected.started) + 200
    )


def test_a_spike_that_overwhelms_the_service_is_proved_all_the_same(ground: Ground) -> None:
    """The load hangs for longer than its record may be late; what was sent is known without an answer."""
    ground.service.answer = lambda asked: HANG if asked.target == "/load" else response()
    stack = ground.stack(indicators=[ground.indicator(), ground.indicator("loaded", "/load", "2s", timeout="6s")])
    with ground.run(spiked(ground, "5s"), stack) as run:
        done = run.wait()
    assert done.condition("FaultLanded").status == "True", done.condition("FaultLanded").message


def everything_sent(done: Done) -> bool:
    """A machine that is busy with other things can keep a request from being sent in time: then nothing may pass."""
    return not any(one.unsent for one in done.history.all(Slice) if one.counted == "load")


def spiked(ground: Ground, hold: str = "3s") -> Path:
    spike = {"at": "0s", "for": hold, "fault": "traffic-spike", "target": "load", "with": {"factor": 10}}
    return ground.experiment([spike], load={"indicator": "loaded", "rate": "20/s"})


def test_a_spike_that_is_cut_short_ends_at_once(ground: Ground) -> None:
    stack = ground.stack(indicators=[ground.indicator(), ground.indicator("loaded", "/load", "200ms")])
    with ground.run(spiked(ground, "30s"), stack) as run:
        run.until(Observed, during)
        run.signal(signal.SIGTERM)
        done = run.wait()
    assert done.condition("CleanedUp").status == "True", done.condition("CleanedUp").message
    assert done.verdict == (Verdict.ABORTED, 2)


def test_load_that_could_not_be_sent_leaves_the_run_open(ground: Ground) -> None:
    stack = ground.stack(indicators=[ground.indicator(), ground.indicator("loaded", "/load", "200ms")])
    with ground.run(spiked(ground), stack) as run:
        run.until(Observed, during)
        load = run.worker("load")
        os.kill(load, signal.SIGSTOP)
        stopped = time.monotonic()
        until(lambda: time.monotonic() > stopped + 0.7)
        os.kill(load, signal.SIGCONT)
        done = run.wait()
    claim = done.claim("load")
    assert claim.truth is Truth.UNKNOWN
    assert "could not be sent" in " ".join(claim.missing)
    assert done.verdict == (Verdict.INCONCLUSIVE, 2)


# Secrets


PLANTED = {
    "dsn": "planted-1-dsn",
    "observer": "planted-2-observer",
    "bearer": "planted-3-bearer",
    "basic": "planted-4-basic",
    "header": "planted-5-header",
    "key": "planted-6-key",
    "query": "planted-7-query",
    "wrong": "planted-8-wrong",
    "userinfo": "planted-9-userinfo",
}


@pytest.fixture
def roles(postgres: Postgres) -> Iterator[dict[str, str]]:
    """Two logins with passwords of their own, one written as keywords and one as a URL. No session stays: it would be a
    stranger's.
    """

    def say(*statements: str) -> None:
        with psycopg.connect(postgres.superuser, autocommit=True) as session:
            for statement in statements:
                session.execute(statement)  # type: ignore[call-overload]

    say(
        f"CREATE ROLE planted LOGIN PASSWORD '{PLANTED['dsn']}'",
        f"CREATE ROLE watcher LOGIN SUPERUSER PASSWORD '{PLANTED['observer']}'",
    )
    yield {
        "dsn": f"host=127.0.0.1 port={postgres.port} user=planted password={PLANTED['dsn']} dbname=postgres",
        "observer": f"postgresql://watcher:{PLANTED['observer']}@127.0.0.1:{postgres.port}/postgres",
        "wrong": f"postgresql://planted:{PLANTED['wrong']}@127.0.0.1:{postgres.port}/postgres",
    }
    say("DROP ROLE planted", "DROP ROLE watcher")


def test_a_planted_secret_is_nowhere(ground: Ground, roles: dict[str, str]) -> None:
    """Not in a file of the run, nor of the stack's folder, nor printed: though the service echoes what it is sent."""
    asked: list[bytes] = []

    def echo(one: Asked) -> bytes:
        if one.target.startswith(("/bearer", "/basic", "/header")):
            asked.append(one.head)
            sent = b" ".join(line for line in one.head.split(b"\r\n") if b"planted" in line or b"Basic" in line)
            return b"HTTP/1.1 nonsense " + one.target.encode() + b" " + sent + b"\r\nX: " + sent + b"\r\n\r\n" + sent
        return response()

    ground.service.answer = echo
    files = {"observer.dsn": roles["observer"], "basic": PLANTED["basic"], "wrong.dsn": roles["wrong"]}
    for name, text in files.items():
        (ground.folder / name).write_text(text)
    extra = {"PLANTED_DSN": roles["dsn"], "PLANTED_BEARER": PLANTED["bearer"]}
    stack = ground.stack(databases=databases("observer.dsn"), indicators=[ground.indicator(), *telling(ground)])
    experiment = ground.experiment([exhaustion()])
    with ground.run(experiment, stack, extra=extra) as run:
        done = run.wait()
    assert done.condition("FaultLanded").status == "True", done.condition("FaultLanded").message
    assert all(PLANTED[name].encode() in b"".join(asked) for name in ("bearer", "key", "query"))

    name, era = run.name, ground.era()
    refused = ground.stack("refused", databases=databases("wrong.dsn"), indicators=[ground.indicator()])
    inside = ground.service.url.replace("http://", f"http://someone:{PLANTED['userinfo']}@")
    userinfo = ground.stack("userinfo", indicators=[ground.indicator(http={"url": f"{inside}/meet"})])
    garbled = {**extra, "PLANTED_DSN": f"{PLANTED['dsn']} and so on"}
    header = {"Authorization": f"Token {PLANTED['header']}"}
    literal = ground.indicator(http={"url": f"{ground.service.url}/meet", "headers": header})
    refused_too = ground.stack("literal", indicators=[literal])
    typed = [
        ground.type("run", experiment, "--stack", refused, "--era", era, "--debug", **extra),
        ground.type("run", experiment, "--stack", userinfo, "--era", era, "--debug", **extra),
        ground.type("run", experiment, "--stack", refused_too, "--era", era, "--debug", **extra),
        ground.type("run", experiment, "--stack", stack, "--era", era, "--debug", **garbled),
        *(ground.type("report", name, "--form", form, "--out", "-") for form in ("html", "markdown", "json", "junit")),
        ground.type("judge", name, "--era", "all", "--json"),
        ground.type("plan", experiment, "--stack", stack, **extra),
        ground.type("plan", experiment, "--stack", userinfo, **extra),
    ]
    assert [one.code >= 3 for one in typed[:4]] == [True, True, True, True], [one.said for one in typed[:4]]
    texts = {f"output {n}": one.said for n, one in enumerate([done, *typed])} | written(ground)
    assert any(place.endswith("report.html") for place in texts)
    hidden = [*PLANTED.values(), base64.b64encode(f"someone:{PLANTED['basic']}".encode()).decode()]
    assert [(place, secret) for place, text in texts.items() for secret in hidden if secret in text] == []


def databases(observer: str) -> list[dict[str, object]]:
    return [{"name": "primary", "dsn": {"env": "PLANTED_DSN"}, "observer": {"file": observer}}]


def exhaustion() -> dict[str, object]:
    return {"at": "0s", "for": "1s", "fault": "db-connection-exhaustion", "target": "primary", "with": {"leave": 0}}


def telling(ground: Ground) -> list[dict[str, object]]:
    """Indicators that carry a secret each."""
    url = ground.service.url
    headers = {"X-Api-Key": PLANTED["key"]}
    basic = {"username": "someone", "password": {"file": "basic"}}
    return [
        {"name": "bearer", "http": {"url": f"{url}/bearer", "auth": {"bearer": {"env": "PLANTED_BEARER"}}}},
        {"name": "basic", "http": {"url": f"{url}/basic", "auth": {"basic": basic}}},
        {"name": "header", "http": {"url": f"{url}/header?token={PLANTED['query']}", "headers": headers}},
        {"name": "select", "sql": {"database": "primary", "query": "SELECT 1"}},
    ]


def written(ground: Ground) -> dict[str, str]:
    """Return every file in the folder but for those that the test itself has put there."""
    ours = {*ground.folder.glob("*.yaml"), *ground.folder.glob("*.dsn"), ground.folder / "basic"}
    files = [path for path in ground.folder.rglob("*") if path.is_file() and path not in ours]
    return {str(path): path.read_text(encoding="utf-8", errors="replace") for path in files}


# The reference stack


@pytest.fixture(scope="module")
def meetings() -> Iterator[Path]:
    """A stack of era 1k, brought up as a user does."""
    with own_home() as home:
        done = type_in(home, "stack", "up", "1k", "--name", "honest")
        assert done.code == 0, done.said
        yield home


@pytest.mark.parametrize(
    ("fault", "target", "wanted"),
    [
        ("process-kill", "app", {}),
        ("process-pause", "app", {}),
        ("process-hold-down", "app", {}),
        ("link-down", "app-to-primary", {}),
        ("latency", "client-to-app", {"latency": "80ms"}),
    ],
)
def test_a_fault_on_the_reference_stack_lands_and_leaves_nothing(
    meetings: Path, tmp_path: Path, fault: str, target: str, wanted: dict[str, str]
) -> None:
    entry = {"at": "0s", "for": "2s", "fault": fault, "target": target, "with": wanted}
    spec = {
        "stack": "honest",
        "baseline": {"for": "1s"},
        "timeline": [entry],
        "recovery": {"watch": "30s", "steady": "2s"},
    }
    file = document(tmp_path, "Experiment", fault, spec)
    uptime = {"name": "uptime", "indicator": "meeting-success", "target": "95%", "source": {"kind": "stated"}}
    era = document(tmp_path, "Era", "uptime-alone", {"window": "30d", "incidentShare": "10%", "objectives": [uptime]})
    with going(["run", file, "--era", era, "--json"], meetings) as run:
        done = run.wait()
    assert done.condition("FaultLanded").status == "True", done.condition("FaultLanded").message
    assert done.condition("CleanedUp").status == "True", done.condition("CleanedUp").message
    assert done.condition("Recovered").status == "True", done.condition("Recovered").message
    (outage,) = [one for one in done.judgement.recovery if one.indicator == "meeting-success"]
    assert (outage.rto is not None) == (fault != "latency"), outage
    assert done.verdict == (Verdict.PASSED, 0)
    status = type_in(meetings, "stack", "status", "honest")
    assert status.code == 0, status.said
