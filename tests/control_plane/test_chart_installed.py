"""The chart on a real API server, by the real Helm: installed, upgraded, taken away, and installed again.

No controller runs here, so no Job has pods: a thread stands for them, and runs the real command of each hook of the chart, as
the real service account of its pod. With real pods it is shown in tests/cluster.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aftershock.adapters import kubernetes as k8s
from aftershock.runtime.cluster.objects import FINALIZER
from aftershock.stacks.control_plane import ControlPlane
from control_plane.conftest import DEFINITIONS, Kubectl, account_token, started_plane, until
from control_plane.test_chart import CHART, ROOT, Helm, helm  # noqa: F401 - a fixture

NAMESPACE = "chaos"
CLAIMS = k8s.Resource("v1", "persistentvolumeclaims")
Call = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def fresh() -> Iterator[ControlPlane]:
    """An API server that has never heard of us."""
    with started_plane() as running:
        k8s.Api.connect(running.kubeconfig).create(k8s.NAMESPACES, {"metadata": {"name": NAMESPACE}})
        yield running


class Pods:
    """Stands for the Job controller and its pods: runs what a Job says, and says of the Job what came of it."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane, self._api = plane, k8s.Api.connect(plane.kubeconfig)
        self._ending = threading.Event()
        self._done: set[str] = set()
        self._thread = threading.Thread(target=self._work)
        self.logs: dict[str, str] = {}

    def __enter__(self) -> "Pods":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._ending.wait(0.05):
            for job in self._api.list(k8s.JOBS, NAMESPACE):
                if job["metadata"]["uid"] not in self._done:
                    self._done.add(job["metadata"]["uid"])
                    self._finish(job, self._run(job))

    def _run(self, job: dict[str, Any]) -> bool:
        spec = job["spec"]["template"]["spec"]
        token = account_token(self._api, spec["serviceAccountName"], NAMESPACE)
        kubeconfig = self._plane.folder / f"kubeconfig.{job['metadata']['name']}"
        kubeconfig.write_text(self._plane.address(token=token).kubeconfig())
        environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "PYTHONPATH": str(ROOT / "operator")}
        line = [sys.executable, "-m", "aftershock", *spec["containers"][0]["args"]]
        done = subprocess.run(line, env=environment, capture_output=True, text=True)
        self.logs[job["metadata"]["name"]] = done.stdout + done.stderr
        return done.returncode == 0

    def _finish(self, job: dict[str, Any], succeeded: bool) -> None:
        when = job["metadata"]["creationTimestamp"]
        ends = ("SuccessCriteriaMet", "Complete") if succeeded else ("FailureTarget", "Failed")
        conditions = [{"type": end, "status": "True", "lastTransitionTime": when} for end in ends]
        status: dict[str, Any] = {
            "startTime": when,
            "conditions": conditions,
            "ready": 0,
            "uncountedTerminatedPods": {},
        }
        status |= {"succeeded": 1, "completionTime": when} if succeeded else {"failed": 1}
        self._api.patch(k8s.JOBS, job["metadata"]["name"], {"status": status}, NAMESPACE, subresource="status")


@pytest.fixture
def pods(fresh: ControlPlane) -> Iterator[Pods]:
    with Pods(fresh) as running:
        yield running


@pytest.fixture
def call(helm: Helm, fresh: ControlPlane) -> Call:  # noqa: F811
    return lambda *arguments: helm(*arguments, "-n", NAMESPACE, "--kubeconfig", str(fresh.kubeconfig))


def run_tree(name: str) -> dict[str, Any]:
    meta = {"name": name, "namespace": NAMESPACE, "finalizers": [FINALIZER]}
    return {"apiVersion": k8s.OURS, "kind": "Run", "metadata": meta, "spec": {"experiment": "slow", "stack": "shop"}}


def test_it_comes_is_upgraded_goes_and_comes_again(fresh: ControlPlane, pods: Pods, call: Call) -> None:
    api = k8s.Api.connect(fresh.kubeconfig)

    def did(*arguments: str | Path) -> str:
        done = call(*arguments)
        assert done.returncode == 0, f"{done.stderr}\n{pods.logs}"
        return done.stdout

    def image() -> str:
        spec = api.get(k8s.DEPLOYMENTS, "aftershock-operator", NAMESPACE)["spec"]["template"]["spec"]
        return str(spec["containers"][0]["image"])

    assert f"kubectl -n {NAMESPACE} get runs --watch" in did("install", "aftershock", CHART)
    eras = {path.stem for path in CHART.glob("files/eras/*")}
    assert {era["metadata"]["name"] for era in api.list(k8s.ERAS)} == eras
    assert "experiment" in Kubectl(fresh.kubectl, fresh.kubeconfig, NAMESPACE)("explain", "run.spec")

    api.create(k8s.RUNS, run_tree("slow-1"))
    before = api.get(k8s.RUNS, "slow-1", NAMESPACE)["metadata"]
    did("upgrade", "aftershock", CHART, "--set", "image.tag=v2", "--set", "regionFaults.enabled=true")
    assert image().endswith(":v2")
    assert api.get(k8s.RUNS, "slow-1", NAMESPACE)["metadata"] == before  # a run that goes on is not touched
    assert len(api.list(k8s.ERAS)) == len(eras)

    gone = threading.Thread(target=did, args=("uninstall", "aftershock"))
    gone.start()
    until(lambda: api.get(k8s.RUNS, "slow-1", NAMESPACE)["spec"].get("abort"))
    assert image()  # who heals is there until the run has ended
    status = {"status": {"phase": "Finished", "verdict": "Aborted"}}
    api.patch(k8s.RUNS, "slow-1", status, NAMESPACE, subresource="status")
    gone.join()
    assert api.find(k8s.DEPLOYMENTS, "aftershock-operator", NAMESPACE) is None
    assert not api.get(k8s.RUNS, "slow-1", NAMESPACE)["metadata"].get("finalizers")
    assert len([each for each in api.list(DEFINITIONS) if each["spec"]["group"] == "aftershock.dev"]) == 4
    assert api.get(CLAIMS, "aftershock-journals", NAMESPACE)

    did("install", "aftershock", CHART)
    assert image().endswith(":0.1.0")


def test_what_is_not_clean_keeps_the_release(fresh: ControlPlane, pods: Pods, call: Call) -> None:
    api = k8s.Api.connect(fresh.kubeconfig)
    assert call("install", "aftershock", CHART, "--set", "eras.install=false").returncode == 0
    until(lambda: served(api))
    api.create(k8s.RUNS, run_tree("slow-1"))
    stuck = {"type": "StuckOnCleanup", "status": "True", "reason": "ResidueLeft", "message": "the toxic x"}
    status = {"phase": "Finished", "verdict": "Error", "conditions": [stuck]}
    api.patch(k8s.RUNS, "slow-1", {"status": status}, NAMESPACE, subresource="status")
    assert call("uninstall", "aftershock").returncode != 0
    assert "the toxic x" in pods.logs["aftershock-uninstall"]
    assert api.get(k8s.DEPLOYMENTS, "aftershock-reaper", NAMESPACE)
    assert api.get(k8s.RUNS, "slow-1", NAMESPACE)["metadata"]["finalizers"] == [FINALIZER]


def served(api: k8s.Api) -> bool:
    try:
        return api.list(k8s.RUNS, NAMESPACE) == []
    except (k8s.MissingError, k8s.ApiAwayError):
        return False
