"""docs/how-to/any-deployment.md, word for word: a Deployment of anything, on a real API server, with a real operator.

There is no controller, no kubelet and no DNS here: `Keeper` takes the Deployment's part, `fronted.Standin` that of the
Toxiproxy pod, and the one address that the page names leads to a server that answers as long as a pod is there.
"""

import itertools
import os
import re
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import shown
from aftershock.adapters import kubernetes as k8s
from aftershock.core.front import FRONT
from aftershock.errors import AftershockError
from aftershock.faults.cluster import uid_of
from aftershock.stacks.control_plane import ControlPlane
from control_plane.conftest import until
from control_plane.fronted import LOOK, standing_in
from control_plane.operating import Field
from control_plane.pods import Cluster, door, port_of
from planted import response, serving

PAGE = shown.ROOT / "docs" / "how-to" / "any-deployment.md"
NAME, PORT, PODS = "hello", 8080, 2
ADDRESSES = itertools.count(1)


@dataclass
class Keeper:
    """Keeps as many pods as the Deployment asks for, in a thread. Somebody listens at each one's own address."""

    cluster: Cluster
    doors: dict[str, ExitStack] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)

    def go_on(self) -> None:
        while not self.stop.wait(LOOK):
            with suppress(AftershockError):  # an object is gone meanwhile: it is looked at again
                self._look()

    def _look(self) -> None:
        deployment = self.cluster.api.find(k8s.DEPLOYMENTS, NAME, self.cluster.namespace)
        wanted = deployment["spec"]["replicas"] if deployment else 0
        pods = self.cluster.api.list(k8s.PODS, self.cluster.namespace, labels=f"app={NAME}")
        for uid in self.doors.keys() - {uid_of(pod) for pod in pods}:
            self.doors.pop(uid).close()
        self.cluster.gone(*pods[wanted:])
        for _ in range(wanted - len(pods)):
            self._start()

    def _start(self) -> None:
        room, host = ExitStack(), f"127.0.10.{next(ADDRESSES)}"
        pod = self.cluster.pod(NAME, port=port_of(room.enter_context(door(host))))
        self.doors[uid_of(pod)] = room
        self.cluster.runs_at(pod, host)


@contextmanager
def keeping(cluster: Cluster) -> Iterator[Keeper]:
    made = Keeper(cluster)
    thread = threading.Thread(target=made.go_on, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.stop.set()
        thread.join(30)
        for room in made.doors.values():
            room.close()


@pytest.fixture
def place(plane: ControlPlane, field: Field, tmp_path: Path) -> dict[str, str]:
    """The environment of somebody whose kubectl means the namespace."""
    programs = tmp_path / "bin"
    programs.mkdir()
    kubectl = programs / "kubectl"
    kubectl.write_text(f'#!/bin/sh\nexec {plane.kubectl} --namespace {field.namespace} "$@"\n', encoding="utf-8")
    kubectl.chmod(kubectl.stat().st_mode | stat.S_IXUSR)
    return {
        **os.environ,
        "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(shown.ROOT / "operator"),
        "KUBECONFIG": str(plane.kubeconfig),
        "HOME": str(tmp_path),
    }


def test_what_the_page_says_is_so(field: Field, place: dict[str, str], tmp_path: Path) -> None:
    files, said = shown.files(PAGE), dict[str, str]()
    assert len([line for line in files["hello.yaml"].splitlines() if not re.search("links:|service:", line)]) == 10
    cluster, experiment = Cluster(field.api, field.namespace), ""
    with keeping(cluster) as keeper, serving(lambda _: response() if keeper.doors else None) as pages:
        for name, text in files.items():
            here = text.replace(f"http://{NAME}:{PORT}/", f"{pages.url}/")
            assert (here != text) == (name == "hello.yaml"), name
            (tmp_path / name).write_text(here, encoding="utf-8")
        field.ending.callback(field.api.delete, k8s.ERAS, NAME)
        field.operator()
        with standing_in(field.api, field.namespace, {PORT: pages.port}):
            for line in shown.typed(PAGE):
                if "--watch" in line:
                    passes(field, experiment)
                    continue
                said[line] = shown.type_line(line, tmp_path, place)
                if (applied := re.fullmatch(r"kubectl apply -f (\S+)\.yaml", line)) is not None:
                    experiment = applied[1]
                until(lambda: len(keeper.doors) == PODS)
    assert cluster.read(NAME) == (PODS, {}, {"app": NAME})
    assert said["kubectl get service hello -o jsonpath='{.spec.selector}'"] == '{"app":"hello"}'
    assert field.api.list(k8s.PODS, field.namespace, labels=FRONT) == []
    assert "FaultLanded" in said["kubectl describe run pod-killed-1           # why"]


def passes(field: Field, experiment: str) -> None:
    """Wait until the Experiment's first Run is over: it has passed, since the fault was there and is gone."""
    status = field.finished(f"{experiment}-1")
    conditions = {each["type"]: each["status"] for each in status["conditions"]}
    assert status["verdict"] == "Passed", status
    assert conditions["FaultLanded"] == conditions["CleanedUp"] == "True", status
