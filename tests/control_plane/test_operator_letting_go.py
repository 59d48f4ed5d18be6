"""Runs that end early, or badly: deleted, lost, stuck. Nothing is let go of before it is clean, except by somebody's word."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from aftershock.adapters import kubernetes as k8s
from aftershock.runtime.cluster import objects
from aftershock.stacks.control_plane import ControlPlane
from component.conftest import end, free_port, start_toxiproxy
from control_plane.conftest import until
from control_plane.operating import Field, field_on, latency


@pytest.mark.parametrize("resource", [k8s.EXPERIMENTS, k8s.RUNS], ids=lambda each: str(each.plural))
def test_deleting_in_the_middle_heals_first(field: Field, resource: k8s.Resource) -> None:
    """There is no garbage collector on this plane: the Runs of an Experiment that is gone are the operator's to delete."""
    field.place()
    field.operator()
    field.apply(field.experiment(timeline=[latency("60s")]))
    until(field.toxics)
    field.api.delete(resource, "slow" if resource is k8s.EXPERIMENTS else "slow-1", field.namespace)
    until(lambda: field.find("slow-1") is None)
    assert field.toxics() == []
    if resource is k8s.EXPERIMENTS:
        assert field.api.find(k8s.EXPERIMENTS, "slow", field.namespace) is None
        return
    field.apply(field.experiment("sentinel"))
    field.finished("sentinel-1")
    assert field.runs() == ["sentinel-1"], "what was deleted is not run again"


def test_an_experiment_that_went_while_nobody_watched(field: Field) -> None:
    field.place()
    operator = field.operator()
    field.apply(field.experiment(timeline=[latency("60s")]))
    until(field.toxics)
    operator.kill()
    field.api.delete(k8s.EXPERIMENTS, "slow", field.namespace)
    operator.start()
    until(lambda: field.find("slow-1") is None)
    assert field.toxics() == []


def test_what_is_to_be_left_behind_is_left_and_is_no_later_experiments_run(field: Field) -> None:
    """`kubectl delete --cascade=orphan`, and what the garbage collector does upon it, which this plane has not."""
    field.place()
    field.operator()
    field.apply(field.experiment())
    uid = field.finished("slow-1") and field.run("slow-1")["metadata"]["uid"]
    field.api.delete(k8s.EXPERIMENTS, "slow", field.namespace, propagation="Orphan")
    field.apply(field.experiment("sentinel"))
    field.finished("sentinel-1")
    assert field.run("slow-1")["metadata"]["uid"] == uid
    assert not field.run("slow-1")["metadata"].get("deletionTimestamp")
    field.api.patch(k8s.RUNS, "slow-1", {"metadata": {"ownerReferences": None}}, field.namespace)
    field.api.patch(k8s.EXPERIMENTS, "slow", {"metadata": {"finalizers": None}}, field.namespace)
    field.apply(field.experiment(timeline=[latency("2s")]))
    until(lambda: field.ready("slow")[1] == "WaitingForDeletion")
    assert "kubectl delete run slow-1" in field.ready("slow")[2]
    field.api.delete(k8s.RUNS, "slow-1", field.namespace)
    until(lambda: (field.find("slow-1") or {"metadata": {"uid": uid}})["metadata"]["uid"] != uid)
    assert field.verdict("slow-1") == "Passed"
    assert set(field.injected.values()) == {1}, "what was applied is what ran"


def test_a_lost_executor_is_never_run_again(field: Field) -> None:
    field.place()
    operator = field.operator()
    field.reaper()
    field.apply(field.experiment(timeline=[latency("2s")]))
    until(field.toxics)
    os.kill(field.executor("slow-1"), signal.SIGKILL)
    operator.restart()
    assert field.verdict("slow-1") == "Aborted"
    assert "ExecutorLost" in str(field.status("slow-1"))
    field.apply(field.experiment("sentinel"))
    field.finished("sentinel-1")
    assert (set(field.injected.values()), len(field.injected)) == ({1}, 2)
    assert field.toxics() == []


@pytest.fixture
def own_toxiproxy() -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    port = free_port()
    process = start_toxiproxy(port)
    yield f"http://127.0.0.1:{port}", process
    end(process)


def test_what_is_stuck_is_kept_and_says_so_until_somebody_insists(
    api: k8s.Api,
    applied_crds: None,
    plane: ControlPlane,
    tmp_path: Path,
    own_toxiproxy: tuple[str, "subprocess.Popen[bytes]"],
) -> None:
    """The Toxiproxy is frozen, and the executor lost: nobody can say that nothing is left."""
    url, process = own_toxiproxy
    with field_on(api, plane.kubeconfig, url, tmp_path) as field:
        field.place()
        field.operator()
        field.reaper()
        field.apply(field.experiment(timeline=[latency("1s")]))
        until(field.toxics)
        process.send_signal(signal.SIGSTOP)
        os.kill(field.executor("slow-1"), signal.SIGKILL)
        until(lambda: field.condition("slow-1", "StuckOnCleanup")[0] == "True")
        field.api.delete(k8s.RUNS, "slow-1", field.namespace)
        field.apply(field.experiment("sentinel", waitFor="1s", stack="nowhere"))
        field.finished("sentinel-1")
        assert field.run("slow-1")["metadata"]["finalizers"] == [objects.FINALIZER]
        until(lambda: "StuckOnCleanup" in field.events("slow-1"))
        change = {"metadata": {"annotations": {objects.ABANDON: "the Toxiproxy is going anyway"}}}
        field.api.patch(k8s.RUNS, "slow-1", change, field.namespace)
        until(lambda: field.find("slow-1") is None)
        until(lambda: "Abandoned" in field.events("slow-1"))
        process.send_signal(signal.SIGCONT)


def test_what_was_stuck_is_let_go_once_its_target_answers(
    api: k8s.Api,
    applied_crds: None,
    plane: ControlPlane,
    tmp_path: Path,
    own_toxiproxy: tuple[str, "subprocess.Popen[bytes]"],
) -> None:
    url, process = own_toxiproxy
    with field_on(api, plane.kubeconfig, url, tmp_path) as field:
        field.place()
        field.operator()
        field.reaper()
        field.apply(field.experiment(timeline=[latency("1s")]))
        until(field.toxics)
        process.send_signal(signal.SIGSTOP)
        os.kill(field.executor("slow-1"), signal.SIGKILL)
        until(lambda: field.condition("slow-1", "StuckOnCleanup")[0] == "True")
        process.send_signal(signal.SIGCONT)
        assert field.verdict("slow-1") == "Aborted"
        assert field.condition("slow-1", "StuckOnCleanup")[0] == "False"
        assert field.toxics() == []


def test_the_oldest_finished_runs_go_and_none_is_made_again(field: Field) -> None:
    field.place()
    operator = field.operator()
    limit = {"passed": 1, "others": 0}
    field.apply(field.experiment("often", [latency("2s")], trigger="Manual", historyLimit=limit))
    for number in range(3):
        field.apply(field.tree("Run", f"often-1-r{number}", {"experiment": "often", "stack": "planted"}))
        until(lambda name=f"often-1-r{number}": field.status(name).get("phase") == "Finished")
    until(lambda: field.runs() == ["often-1-r2"])
    field.apply(field.experiment("never-kept", historyLimit={"passed": 0, "others": 0}))
    until(lambda: "RunCreated" in field.events("never-kept"))
    until(lambda: field.find("never-kept-1") is None)
    operator.restart()
    field.apply(field.experiment("sentinel"))
    field.finished("sentinel-1")
    assert field.runs() == ["often-1-r2", "sentinel-1"]
