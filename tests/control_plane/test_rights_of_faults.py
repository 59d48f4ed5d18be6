"""The rights that faults through the Kubernetes API need: without one of them, fault and reaper say which it is."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aftershock.adapters import kubernetes as k8s
from aftershock.errors import AftershockError
from aftershock.faults.cluster import HELD, LEASE
from aftershock.faults.fault import Hold, Site
from aftershock.faults.workload_hold_down import REPLICAS
from aftershock.model.stack import Node, Region, Stack
from aftershock.runtime import reaper
from aftershock.runtime.cluster.rights import FAULTS
from aftershock.stacks.control_plane import ControlPlane
from component.test_link_faults import hold_of
from control_plane.granted import EACH, Bound, One, granting
from control_plane.pods import Cluster, stack_in, workload

OVER = "aftershock.{}.k3f9a2x1.1600000000"
WANTED: list[tuple[str, str, dict[str, Any]]] = [
    ("workload-hold-down", "app", {}),
    ("region-loss", "cut", {"by": "network-policy"}),
    ("node-drain", "one", {}),
    ("region-loss", "us-west", {"by": "evacuation"}),
    ("pod-kill", "app", {}),
]


@pytest.fixture
def bound(
    plane: ControlPlane, api: k8s.Api, applied_crds: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[One | None, str], Bound]]:
    with granting(plane, api) as bind:

        def act_as(one: One | None, part: str) -> Bound:
            user = bind(part, without=one)
            monkeypatch.setattr(k8s, "shared", lambda *_: user.api)
            return user

        yield act_as


class Ground:
    """Something to hold, of every kind; made by somebody who may."""

    def __init__(self, user: Bound) -> None:
        self.cluster = Cluster(user.admin, user.namespace)
        self.node = self.cluster.node()
        self.cluster.deployment("app")
        self.cluster.pod("app", node=self.node)

    def stack(self) -> Stack:
        return stack_in(
            self.cluster.namespace,
            workloads=[workload("app", region="cut")],
            nodes=[Node(name="one", node=self.node)],
            regions=[Region(name="us-west", nodes={"region": f"us-west-{self.cluster.namespace}"})],
        )

    def held(self) -> None:
        """Leave behind what a fault would whose lease is over."""
        where = self.cluster.namespace
        marks = {"labels": {HELD: "k3f9a2x1"}, "annotations": {LEASE: OVER.format("workload-hold-down"), REPLICAS: "3"}}
        template = {"metadata": {"labels": {"app": "set"}}, "spec": {"containers": [{"name": "c", "image": "none"}]}}
        spec = {"replicas": 0, "selector": {"matchLabels": {"app": "set"}}, "serviceName": "set", "template": template}
        self.cluster.api.create(k8s.STATEFUL_SETS, {"metadata": {"name": "set", **marks}, "spec": spec}, where)
        self.cluster.api.patch(k8s.DEPLOYMENTS, "app", {"metadata": marks, "spec": {"replicas": 0}}, where)
        lost = OVER.format("region-loss")
        policy = {"metadata": {"name": lost, "labels": marks["labels"], "annotations": {LEASE: lost}}}
        self.cluster.api.create(k8s.NETWORK_POLICIES, {**policy, "spec": {"podSelector": {}}}, where)
        taint = {"key": LEASE, "value": OVER.format("node-drain"), "effect": "NoSchedule"}
        change = {"metadata": {"labels": marks["labels"]}, "spec": {"taints": [taint]}}
        self.cluster.api.patch(k8s.NODES, self.node, change)


@pytest.fixture
def done(api: k8s.Api) -> Iterator[list[Ground]]:
    made: list[Ground] = []
    yield made
    for ground in made:
        api.delete(k8s.NODES, ground.node)


async def said_by(hold: Hold) -> list[str]:
    """Hold it and heal it; return all that was seen or complained of."""
    said = []
    for step in (hold.prepare, hold.inject, hold.observe, hold.heal, hold.left):
        try:
            said.append(str(await step()))
        except AftershockError as error:
            said.append(error.problem)
    return said


def hold_all(ground: Ground) -> list[str]:
    where = ground.stack()
    said = []
    for fault, target, tree in WANTED:
        ground.cluster.gone(*ground.cluster.api.list(k8s.PODS, ground.cluster.namespace))
        ground.cluster.pod("app", node=ground.node)
        said += asyncio.run(said_by(hold_of(Site(where, target, Path("/nonexistent")), fault, tree)))
    return said


@pytest.mark.parametrize("one", [one for one in EACH if one.right in FAULTS], ids=str)
def test_what_is_missing_is_named(bound: Callable[[One | None, str], Bound], done: list[Ground], one: One) -> None:
    user = bound(one, one.right.part)
    ground = Ground(user)
    done.append(ground)
    if one.right.part == "reaper":
        ground.held()
        swept = asyncio.run(reaper.sweep(ground.stack(), Path("/nonexistent")))
        assert one.missing in "\n".join([*swept.left, *swept.unreachable])
    else:
        if one.right.resource == k8s.STATEFUL_SETS:
            sets(ground)
        assert one.missing in "\n".join(hold_all(ground))


def sets(ground: Ground) -> None:
    """A StatefulSet beside the Deployment, of the same workload."""
    template = {"metadata": {"labels": {"app": "app"}}, "spec": {"containers": [{"name": "c", "image": "none"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "app"}}, "serviceName": "set", "template": template}
    ground.cluster.api.create(k8s.STATEFUL_SETS, {"metadata": {"name": "set"}, "spec": spec}, ground.cluster.namespace)


@pytest.mark.parametrize("part", ["executor", "reaper"])
def test_with_all_of_them_nothing_is_missing(
    bound: Callable[[One | None, str], Bound], done: list[Ground], part: str
) -> None:
    ground = Ground(bound(None, part))
    done.append(ground)
    if part == "reaper":
        ground.held()
        swept = asyncio.run(reaper.sweep(ground.stack(), Path("/nonexistent")))
        assert len(swept.healed) == 4 and not swept.left and not swept.unreachable, swept
    else:
        said = "\n".join(hold_all(ground))
        assert "cannot" not in said and said.count("holds=True") >= 2, said
