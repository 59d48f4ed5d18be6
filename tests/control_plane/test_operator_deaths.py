"""What happens to the operator, the API and the watch between the two does not happen to runs: each is carried out once.

Injections are counted at the target: nothing that a Run or a journal says of itself would do.
"""

import os
import random
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from aftershock.adapters import kubernetes as k8s
from aftershock.errors import AftershockError
from aftershock.runtime.cluster import objects
from aftershock.stacks.control_plane import ControlPlane
from control_plane.conftest import Cutter, install_crds, outage, until
from control_plane.operating import BROKEN, Field, field_on, latency, working_from

SOAK = bool(os.environ.get("AFTERSHOCK_SOAK"))


def carried_out_once(field: Field, names: Iterable[str]) -> None:
    """Every Run ended Passed, and is alone; each of its toxics was added once; nothing is left."""
    ended_as(field, dict.fromkeys(names, "Passed"))


def ended_as(field: Field, truth: Mapping[str, str]) -> None:
    """Every Run has its own verdict, and is alone; each of its two toxics was added once; nothing is left."""
    assert {name: field.verdict(name) for name in truth} == truth
    assert field.runs() == sorted(truth)
    assert set(field.injected.values()) == {1}
    assert len(field.injected) == 2 * len(truth)
    assert field.toxics() == []
    until(lambda: not field.api.list(k8s.LEASES, field.namespace))


TRUTHS: dict[str, list[k8s.Tree]] = {
    "Passed": [],
    "Failed": [{"indicator": "broken", "during": "fault", "atLeast": "50%"}],
    "Inconclusive": [{"indicator": "meeting-success", "during": "fault", "atLeast": "99.9%"}],
}
"""What is expected of a fault of 2 s at 20 probes a second, by what has to come of it: 40 good answers don't prove 99.9%."""
LANES = [f"lane{number}" for number in range(4)]


def test_the_operator_is_killed_again_and_again(field: Field) -> None:
    """SIGKILL at random moments, so many times and in as many runs; each lane has one after the other, and one that waits."""
    seed = random.randrange(1 << 32)
    chance, count = random.Random(seed), 500 if SOAK else 50
    field.place_era()
    field.place_apart(*LANES, indicators=[field.indicator(), field.indicator("broken", path=BROKEN)])
    operator = field.operator()
    truth: dict[str, str] = {}
    over, kills = threading.Event(), 0
    while min(kills, len(truth)) < count or _over(field) < len(truth):
        while min(kills, len(truth)) < count and len(truth) < _over(field) + 2 * len(LANES):
            truth |= _one_more(field, len(truth))
        over.wait(chance.uniform(0.2, 3.0))
        operator.restart()
        kills += 1
    print(f"seed {seed}: {kills} kills in {len(truth)} runs")
    ended_as(field, truth)


def _one_more(field: Field, number: int) -> dict[str, str]:
    """Apply an Experiment; return its Run's name and what has to come of it."""
    name, verdict = f"slow-{number}", list(TRUTHS)[number % len(TRUTHS)]
    lane = LANES[number % len(LANES)]
    field.apply(field.experiment(name, [latency("2s")], stack=lane, expect=TRUTHS[verdict], waitFor="2h"))
    return {f"{name}-1": verdict}


def _over(field: Field) -> int:
    """Return how many Runs are Finished."""
    found = field.api.list(k8s.RUNS, field.namespace)
    return sum((run.get("status") or {}).get("phase") == "Finished" for run in found)


def test_it_ends_at_once_when_asked_to_and_leaves_runs_alone(field: Field) -> None:
    field.place()
    operator = field.operator()
    field.apply(field.experiment(timeline=[latency("8s")]))
    until(field.toxics)
    assert operator.end() == 0
    assert field.toxics(), "it did not wait for the run"
    until(lambda: field.status("slow-1").get("phase") == "Finished")
    operator.start()
    carried_out_once(field, ["slow-1"])


def test_a_restart_among_many_runs_runs_none_again(field: Field) -> None:
    """200 are finished and 20 hold a fault: a new operator touches none of them, and those that go on can still be ended."""
    field.place_era()
    stacks = [f"lane{number}" for number in range(20)]
    field.place_apart(*stacks, indicators=[field.indicator(every="500ms")])
    _give_finished(field, 200)
    operator = field.operator("--max-runs", "40")
    for stack in stacks:
        field.apply(field.experiment(stack, [latency("10m")], stack=stack))
    going = [f"{stack}-1" for stack in stacks]
    until(lambda: all(field.status(name).get("phase") == "Active" for name in going), 300)
    until(lambda: len(field.toxics()) == 2 * len(going))
    operator.kill()
    before = _as_they_are(field)
    operator.start()
    field.api.create(k8s.STACKS, field.stack("other", toxiproxies=[], links=[]))
    field.apply(field.experiment("sentinel", stack="other"))
    field.finished("sentinel-1")
    after = _as_they_are(field)
    assert {name: after[name] for name in before} == before
    assert operator.said().count("started") == len(going) + 1, "those at first, and the sentinel"
    for name in going:
        field.api.patch(k8s.RUNS, name, {"spec": {"abort": True}}, field.namespace)
    field.api.delete(k8s.RUNS, "sentinel-1", field.namespace)
    assert {field.verdict(name) for name in going} == {"Aborted"}
    assert set(field.injected.values()) == {1}
    assert len(field.injected) == 2 * len(going)
    assert field.toxics() == []


def _give_finished(field: Field, count: int) -> None:
    """Put so many Runs there of which nothing is to be done any more."""
    limit = {"passed": 1000, "others": 1000}
    owner = field.apply(field.experiment("old", stack="none", trigger="Manual", historyLimit=limit))
    for number in range(count):
        tree = objects.run_tree(owner, f"old-1-r{number}")
        tree["metadata"]["finalizers"] = []
        field.api.create(k8s.RUNS, tree)
        change = {"status": {"phase": "Finished", "verdict": "Passed", "executor": f"elsewhere/{number}"}}
        field.api.patch(k8s.RUNS, f"old-1-r{number}", change, field.namespace, subresource="status")


def _as_they_are(field: Field) -> dict[str, k8s.Tree]:
    return {run["metadata"]["name"]: run for run in field.api.list(k8s.RUNS, field.namespace)}


def test_watches_that_are_cut_every_second(field: Field, cutter: Cutter, cut_kubeconfig: Path) -> None:
    field.place()
    field.operator(kubeconfig=cut_kubeconfig)
    names = []
    end = time.monotonic() + (120 if SOAK else 10)
    with cutter.cutting(1.0):
        while not names or time.monotonic() < end:
            name = f"slow{len(names)}"
            field.apply(field.experiment(name, [latency("2s")]))
            names.append(f"{name}-1")
            until(lambda at=names[-1]: field.status(at).get("phase") == "Finished")
    carried_out_once(field, names)


def test_a_storm_of_conflicting_updates(field: Field) -> None:
    """Everything that may be written to is written to all the time, by somebody else."""
    field.place()
    field.operator()
    over = threading.Event()

    def storm(number: int) -> None:
        while not over.is_set():
            for resource, name in ((k8s.EXPERIMENTS, "slow"), (k8s.RUNS, "slow-1"), (k8s.STACKS, "planted")):
                change = {"metadata": {"annotations": {f"storm{number}": str(time.monotonic_ns())}}}
                try:
                    field.api.patch(resource, name, change, field.namespace)
                except AftershockError:
                    continue

    field.apply(field.experiment(timeline=[latency("2s")]))
    storming = [threading.Thread(target=storm, args=(number,)) for number in range(2)]
    for thread in storming:
        thread.start()
    try:
        until(lambda: field.status("slow-1").get("phase") == "Finished")
    finally:
        over.set()
        for thread in storming:
            thread.join()
    carried_out_once(field, ["slow-1"])


@pytest.mark.parametrize("away", [5, 30, 120] if SOAK else [5])
def test_the_api_is_away_in_the_middle_of_a_run(
    breakable: ControlPlane,
    shared_toxiproxy: str,
    tmp_path: Path,
    away: int,
) -> None:
    api = k8s.Api.connect(breakable.kubeconfig)
    install_crds(api)
    with field_on(api, breakable.kubeconfig, shared_toxiproxy, tmp_path) as field:
        field.place()
        operator = field.operator()
        field.reaper()
        field.apply(field.experiment(timeline=[latency("2s")]))
        until(field.toxics)
        with outage(breakable):
            began = time.monotonic()
            until(lambda: not field.toxics())
            until(lambda: time.monotonic() - began > away, 2 * away)
            assert operator.said()
        until(lambda: _answers(field))
        carried_out_once(field, ["slow-1"])
        field.apply(field.experiment("after", [latency("2s")]))
        carried_out_once(field, ["after-1", "slow-1"])


def _answers(field: Field) -> bool:
    try:
        return bool(field.runs())
    except AftershockError:
        return False


def test_two_operators_are_no_more_than_one(field: Field) -> None:
    field.place()
    first = field.operator()
    field.operator()
    names = [f"slow{number}" for number in range(4)]
    for name in names:
        field.apply(field.experiment(name, [latency("2s")]))
    until(lambda: field.status("slow0-1").get("executor"))
    first.kill()
    carried_out_once(field, [f"{name}-1" for name in names])
    assert working_from(field.state)
