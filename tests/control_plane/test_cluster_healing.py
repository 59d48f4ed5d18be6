"""The reaper and what is held through the Kubernetes API: whatever befell the holder, or the API, it ends with its lease."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from aftershock.adapters import kubernetes as k8s
from aftershock.core.lease import Lease
from aftershock.faults.cluster import HELD, LEASE, STACK
from aftershock.faults.workload_hold_down import REPLICAS
from aftershock.model.load import dump_yaml, to_tree
from aftershock.model.stack import Node, Region
from aftershock.runtime import reaper
from aftershock.stacks.control_plane import ControlPlane
from component.test_reaper import watching
from control_plane.conftest import new_namespace
from control_plane.pods import Cluster, stack_in, workload

ROOT = Path(__file__).parents[2]
RUN = "k3f9a2x1"
WANTED: list[tuple[str, str, dict[str, object]]] = [
    ("workload-hold-down", "app", {}),
    ("node-drain", "one", {}),
    ("region-loss", "us-west", {"by": "evacuation"}),
    ("region-loss", "cut", {"by": "network-policy"}),
]


class Ground:
    """One of everything that can be held, and the Stack file that names it."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster, self.api = cluster, cluster.api
        self.nodes = [cluster.node("single"), cluster.node()]
        cluster.deployment("app", 3)
        cluster.pod("other")
        self.stack = stack_in(
            cluster.namespace,
            workloads=[workload("app"), workload("other", region="cut")],
            nodes=[Node(name="one", node=self.nodes[0])],
            regions=[Region(name="us-west", nodes={"region": f"us-west-{cluster.namespace}"})],
        )
        self.file = folder / "stack.yaml"
        self.file.write_text(dump_yaml(to_tree(self.stack)))

    def held(self) -> int:
        """Return how many objects bear a mark of ours."""
        there = [self.api.list(each, self.cluster.namespace, labels=HELD) for each in NAMESPACED]
        return sum(map(len, there)) + sum(len(self.cluster.taints(node)) for node in self.nodes)

    def sweep(self, **how: Any) -> reaper.Sweep:
        return asyncio.run(reaper.sweep(self.stack, self.file.parent, **how))

    def sound(self) -> None:
        assert self.held() == 0
        assert self.cluster.read("app") == (3, {}, {})
        for node in self.nodes:
            assert HELD not in self.api.get(k8s.NODES, node)["metadata"]["labels"]


NAMESPACED = (k8s.DEPLOYMENTS, k8s.NETWORK_POLICIES)


@contextmanager
def ground_on(plane: ControlPlane, folder: Path) -> Iterator[Ground]:
    api = k8s.Api.connect(plane.kubeconfig)
    with new_namespace(api) as namespace:
        cluster = Cluster(api, namespace)
        try:
            yield Ground(cluster, folder)
        finally:
            for node in cluster.nodes:
                api.delete(k8s.NODES, node)


@pytest.fixture
def ground(
    plane: ControlPlane, applied_crds: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Ground]:
    monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig))
    with ground_on(plane, tmp_path) as made:
        yield made


HOLDER = """
import asyncio, json, sys
from pathlib import Path
from aftershock.faults.fault import Site
from aftershock.runtime.reaper import read_stack
from component.test_link_faults import hold_of

async def main(file, run, expires, wanted):
    stack = read_stack(file)
    holds = [hold_of(Site(stack, target, file.parent), fault, tree, run, expires) for fault, target, tree in wanted]
    for hold in holds:
        await hold.prepare()
    print("prepared", flush=True)
    for hold in holds:
        await hold.inject()
    print("held", flush=True)
    await asyncio.sleep(1000)

asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])))
"""
"""An executor's stand-in that can be killed."""


@contextmanager
def holding(ground: Ground, expires: int, wanted: list[tuple[str, str, dict[str, object]]]) -> Iterator[Any]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'operator'}{os.pathsep}{ROOT / 'tests'}"}
    line = [sys.executable, "-c", HOLDER, str(ground.file), RUN, str(expires), json.dumps(wanted)]
    with subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "prepared\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_it_ends_with_its_lease_whatever_befell_the_holder(ground: Ground, blow: signal.Signals) -> None:
    """API server and this machine share a clock here."""
    expires = int(time.time()) + 12
    with watching(ground.file), holding(ground, expires, WANTED) as process:
        assert process.stdout.readline() == "held\n"
        process.send_signal(blow)
        assert time.time() < expires - 1, "the machine is too slow for this lease: nothing was tested"
        assert ground.held() == len(WANTED)
        time.sleep(max(0.0, expires + 2 - time.time()))
        ground.sound()


def test_an_api_that_was_away_over_the_expiry_is_healed_within_2_s_of_its_answering(
    breakable: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(breakable.kubeconfig))
    with ground_on(breakable, tmp_path) as ground, watching(ground.file):
        expires = int(time.time()) + 12
        with holding(ground, expires, WANTED) as process:
            assert process.stdout.readline() == "held\n"
        assert time.time() < expires - 1, "the machine is too slow for this lease: nothing was tested"
        breakable.stop_api()
        time.sleep(max(0.0, expires + 1 - time.time()))
        breakable.start_api()
        time.sleep(2)
        ground.sound()


def test_killed_while_it_injects_there_is_no_moment_without_a_record(ground: Ground) -> None:
    """At a random moment; with AFTERSHOCK_SOAK=1 at many. What is down says how it was, in the same change."""
    seed = int(os.environ.get("AFTERSHOCK_SEED") or time.time())
    print(f"AFTERSHOCK_SEED={seed}")
    chance = random.Random(seed)
    for _ in range(50 if os.environ.get("AFTERSHOCK_SOAK") else 4):
        expires = int(time.time()) + 1
        with holding(ground, expires, chance.sample(WANTED, len(WANTED))) as process:
            time.sleep(chance.uniform(0, 0.15))
            process.kill()
            process.wait()
        count, annotations, _ = ground.cluster.read("app")
        assert count == 3 or annotations[REPLICAS] == "3", seed
        time.sleep(max(0.0, expires - time.time()))
        swept = ground.sweep()
        assert swept.left + swept.unreachable == [], seed
        ground.sound()


SPOILT: list[tuple[dict[str, str], str]] = [
    ({LEASE: "aftershock.workload-hold-down.k3f9a2x1.1600000000", REPLICAS: "many"}, "says 'many'"),
    ({LEASE: "aftershock.workload-hold-down.k3f9a2x1.1600000000", REPLICAS: "-1"}, "says '-1'"),
    ({LEASE: "aftershock.workload-hold-down.k3f9a2x1.1600000000", REPLICAS: "9" * 40}, "says '999"),
    ({LEASE: "aftershock.workload-hold-down.k3f9a2x1.1600000000"}, "says 'nothing'"),
    ({LEASE: "aftershock.workload-hold-down.k3f9a2x1.tomorrow", REPLICAS: "3"}, "is no lease"),
    ({LEASE: "", REPLICAS: "3"}, "is no lease"),
    ({}, "is no lease"),
]


def test_annotations_that_somebody_spoilt_are_reported_and_nothing_else_waits_for_them(ground: Ground) -> None:
    over = Lease("workload-hold-down", RUN, 1_600_000_000)
    for number, (annotations, _) in enumerate(SPOILT):
        ground.cluster.deployment(f"spoilt-{number}", 0)
        meta = {"annotations": annotations, "labels": {HELD: RUN}}
        ground.api.patch(k8s.DEPLOYMENTS, f"spoilt-{number}", {"metadata": meta}, ground.cluster.namespace)
    marks = {"annotations": {LEASE: over.name, REPLICAS: "3"}, "labels": {HELD: RUN}}
    ground.api.patch(k8s.DEPLOYMENTS, "app", {"metadata": marks, "spec": {"replicas": 0}}, ground.cluster.namespace)
    ground.api.patch(k8s.NODES, ground.nodes[0], {"metadata": {"labels": {HELD: "x"}}})
    swept = ground.sweep()
    assert ground.cluster.read("app") == (3, {}, {})
    assert all(ground.cluster.read(f"spoilt-{number}")[0] == 0 for number in range(len(SPOILT)))
    said = "\n".join(swept.left)
    assert all(words in said for _, words in SPOILT), said
    assert ground.nodes[0] in said and swept.unreachable == []


def test_what_is_not_due_or_of_another_stack_is_not_touched(ground: Ground) -> None:
    late = Lease("workload-hold-down", RUN, int(time.time()) + 1000)
    over = Lease("workload-hold-down", RUN, 1_600_000_000)
    where = ground.cluster.namespace
    for name, lease, whose in (("late", late, f"{where}/tested"), ("other", over, f"{where}/another")):
        ground.cluster.deployment(name, 0)
        annotations = {LEASE: lease.name, REPLICAS: "3", STACK: whose}
        ground.api.patch(
            k8s.DEPLOYMENTS, name, {"metadata": {"annotations": annotations, "labels": {HELD: RUN}}}, where
        )
    assert replace(ground.sweep(), held=[], due=[]) == reaper.Sweep()
    found = asyncio.run(reaper.leftovers(ground.stack, ground.file.parent, RUN))
    assert len(found.left) == 1 and late.name in found.left[0]
    assert len(ground.sweep(scope="all").healed) == 1
    assert (ground.cluster.read("late")[0], ground.cluster.read("other")[0]) == (3, 0)
