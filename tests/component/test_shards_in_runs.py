"""Whole runs, as a user types them, whose load four processes share."""

import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from aftershock.adapters.toxiproxy import Proxy
from aftershock.adapters.toxiproxy import Server as Toxiproxy
from aftershock.core.history import Any_, Entered, Healed, Injected, Intended, Observed, Sharded, Slice
from aftershock.core.verdict import Truth, Verdict
from component.conftest import toxiproxy, toxiproxy_url  # noqa: F401 - fixtures
from planted import response, serving
from whole_runs import PROXY, Going, Ground, good, proxies, until


@pytest.fixture
def ground(toxiproxy: Toxiproxy, tmp_path: Path) -> Iterator[Ground]:  # noqa: F811
    with serving(good) as service:
        toxiproxy.create(Proxy(PROXY, "127.0.0.1:0", f"127.0.0.1:{service.port}"))
        yield Ground(tmp_path, service, toxiproxy.url, proxies(toxiproxy.url)[PROXY]["listen"])


LOAD = {"indicator": "loaded", "rate": "40/s", "shards": 4}


def states(events: Iterable[Any_], state: str) -> list[Sharded]:
    return [one for one in events if isinstance(one, Sharded) and one.state == state]


def stack_of(ground: Ground) -> Path:
    return ground.stack(indicators=[ground.indicator(), ground.indicator("loaded", "/load", "200ms")])


def sent_by(going: Going) -> list[int]:
    """The processes that send the load: the last four that were started; the first is the prober."""
    children = Path(f"/proc/{going.process.pid}/task/{going.process.pid}/children").read_text()
    mine = [pid for pid in map(int, children.split()) if b"probes.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return sorted(mine)[1:]


def landed(event: Observed) -> bool:
    return event.when == "during" and event.holds


def test_a_spike_is_sent_by_all_and_the_run_passes_as_with_one(ground: Ground) -> None:
    arrived: list[str] = []
    ground.service.answer = lambda asked: arrived.append(asked.target) or response()
    spike = {"at": "1s", "for": "3s", "fault": "traffic-spike", "target": "load", "with": {"factor": 10}}
    with ground.run(ground.experiment([spike], load=LOAD), stack_of(ground)) as run:
        run.until(Observed, landed)
        assert len(sent_by(run)) == 4
        done = run.wait()
    load = [one for one in done.history.all(Slice) if one.counted == "load"]
    planned, unsent = sum(one.planned for one in load), sum(one.unsent for one in load)
    probed = sum(one.planned for one in done.history.all(Slice) if (one.indicator, one.counted) == ("loaded", "probes"))
    # what came back while a generator was kept from running is missing too, though it arrived
    assert planned - unsent <= arrived.count("/load") - probed <= planned
    assert [one.n for one in load] == sorted({one.n for one in load})
    (injected,), (healed,) = done.history.all(Injected), done.history.all(Healed)
    held = [one for one in load if injected.started + 0.7 < one.n / 10 < healed.at - 0.5]
    assert {one.planned for one in held} == {40}, "400 a second: each slice has its share of all four"
    assert len(states(done.history.events, "ready")) == 4
    assert done.condition("FaultLanded").status == "True", done.condition("FaultLanded").message
    assert done.verdict == ((Verdict.INCONCLUSIVE, 2) if unsent else (Verdict.PASSED, 0))


def test_a_generator_that_dies_leaves_the_run_open_and_is_named(ground: Ground) -> None:
    slow = {"at": "0s", "for": "4s", "fault": "latency", "target": "in", "with": {"latency": "20ms"}}
    with ground.run(ground.experiment([slow], load=LOAD), stack_of(ground)) as run:
        run.until(Observed, landed)
        os.kill(sent_by(run)[1], signal.SIGKILL)
        done = run.wait()
    (lost,) = states(done.history.events, "lost")
    claim = done.claim("load")
    assert claim.truth is Truth.UNKNOWN
    assert any(f"shard {lost.shard} of 4" in one and "is lost" in one for one in claim.missing)
    assert any("could not be sent" in one for one in claim.missing)
    assert done.verdict == (Verdict.INCONCLUSIVE, 2)
    assert f"shard {lost.shard} of 4" in done.judgement.because
    (intended,), (healed,) = done.history.all(Intended), done.history.all(Healed)
    assert healed.clean and healed.at - intended.at > 3.5, "the others went on, and the fault had its time"


def test_a_spike_that_misses_a_share_did_not_land_and_who_is_missing_is_named(ground: Ground) -> None:
    spike = {"at": "2s", "for": "3s", "fault": "traffic-spike", "target": "load", "with": {"factor": 3}}
    with ground.run(ground.experiment([spike], load=LOAD), stack_of(ground)) as run:
        run.until(Entered, lambda event: event.phase == "Active")
        os.kill(sent_by(run)[3], signal.SIGKILL)
        done = run.wait()
    assert done.condition("FaultLanded").status == "False"
    assert done.verdict == (Verdict.INCONCLUSIVE, 2)
    assert "of 4" in done.judgement.because and "is lost" in done.judgement.because


def test_a_generator_that_dies_before_the_fault_lets_nothing_begin(ground: Ground) -> None:
    slow = {"at": "0s", "for": "4s", "fault": "latency", "target": "in", "with": {"latency": "20ms"}}
    with ground.run(ground.experiment([slow], load=LOAD, baseline="3s"), stack_of(ground)) as run:
        run.until(Entered, lambda event: event.phase == "Baseline")
        until(lambda: len(sent_by(run)) == 4)
        os.kill(sent_by(run)[0], signal.SIGKILL)
        done = run.wait()
    assert done.history.all(Intended) == []
    assert done.verdict == (Verdict.INCONCLUSIVE, 2)
    assert "of 4" in done.judgement.because and "is lost" in done.judgement.because


def test_all_of_them_dead_before_the_fault_are_named(ground: Ground) -> None:
    slow = {"at": "0s", "for": "4s", "fault": "latency", "target": "in", "with": {"latency": "20ms"}}
    with ground.run(ground.experiment([slow], load=LOAD, baseline="10s"), stack_of(ground)) as run:
        run.until(Entered, lambda event: event.phase == "Baseline")
        until(lambda: len(sent_by(run)) == 4)
        for pid in sent_by(run):
            os.kill(pid, signal.SIGKILL)
        done = run.wait()
    assert done.history.all(Intended) == []
    assert done.verdict == (Verdict.INCONCLUSIVE, 2)
    assert all(f"shard {number} of 4" in done.judgement.because for number in range(4))


def test_an_abort_ends_them_all(ground: Ground) -> None:
    slow = {"at": "0s", "for": "60s", "fault": "latency", "target": "in", "with": {"latency": "20ms"}}
    with ground.run(ground.experiment([slow], load=LOAD), stack_of(ground)) as run:
        run.until(Observed, landed)
        senders = sent_by(run)
        run.signal(signal.SIGTERM)
        done = run.wait()
    assert done.verdict == (Verdict.ABORTED, 2)
    assert not [pid for pid in senders if Path(f"/proc/{pid}").exists()]
    assert not states(done.history.events, "lost")


def test_they_end_with_an_executor_that_is_killed(ground: Ground) -> None:
    slow = {"at": "0s", "for": "60s", "fault": "latency", "target": "in", "with": {"latency": "20ms"}}
    with ground.run(ground.experiment([slow], load=LOAD), stack_of(ground)) as run:
        run.until(Observed, landed)
        senders = sent_by(run)
        run.process.kill()
        run.process.wait()
        until(lambda: not [pid for pid in senders if Path(f"/proc/{pid}/cmdline").exists()])
