"""Faults through the Kubernetes API, on a real API server without controllers and kubelets: the tests take their part."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest

from aftershock.adapters import kubernetes as k8s
from aftershock.core.lease import Lease
from aftershock.errors import HeldError, InputError
from aftershock.faults import node_drain
from aftershock.faults.cluster import GRACE, HELD, LEASE
from aftershock.faults.fault import Evidence, Hold, Settling, Site
from aftershock.faults.workload_hold_down import REPLICAS
from aftershock.model.stack import Node, Region
from component.test_link_faults import FAR, hold_of
from control_plane.pods import Cluster, door, port_of, stack_in, workload

T = TypeVar("T")
RUN = "k3f9a2x1"


def now(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


@pytest.fixture
def cluster(api: k8s.Api, namespace: str, plane: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig))
    made = Cluster(api, namespace)
    yield made
    for node in made.nodes:
        api.delete(k8s.NODES, node)


def site(cluster: Cluster, target: str, *, collateral: bool = False, **parts: object) -> Site:
    return Site(stack_in(cluster.namespace, **parts), target, Path("/nonexistent"), collateral=collateral)


def app(cluster: Cluster, *, collateral: bool = False, **parts: object) -> Site:
    return site(cluster, "app", collateral=collateral, workloads=[workload("app", **parts)])


def held(hold: Hold) -> Evidence:
    async def go() -> Evidence:
        await hold.prepare()
        assert not (await hold.observe()).holds, "not before"
        await hold.inject()
        await hold.inject()
        return await hold.observe()

    return now(go())


# pod-kill


@pytest.mark.parametrize(("tree", "count"), [({}, 1), ({"count": 2}, 2), ({"percent": "50%"}, 3), ({"count": 9}, 5)])
def test_pods_are_killed_and_counted(cluster: Cluster, tree: dict[str, Any], count: int) -> None:
    before = {cluster.pod("app")["metadata"]["name"] for _ in range(5)}
    other = cluster.pod("other")["metadata"]["name"]
    hold = hold_of(app(cluster), "pod-kill", tree)
    seen = held(hold)
    assert seen.holds, seen
    assert f"{count} of the {count} killed pods are gone" in seen.saw
    assert "no canary could reach" in seen.saw
    there = cluster.there()
    assert len(there & before) == 5 - count and other in there
    cluster.pod("app")
    assert now(hold.observe()).holds, "the one that takes its place is another"
    now(hold.heal())
    assert not now(hold.observe()).holds
    assert now(hold.left()) == []


def test_a_kill_is_not_seen_before_it_is_true(cluster: Cluster) -> None:
    """The API forgets a pod that is deleted without grace at once; its processes end when the kubelet comes to it."""
    with door("127.0.7.1") as server:
        cluster.runs_at(cluster.pod("app", port=port_of(server)), "127.0.7.1")
        hold = hold_of(app(cluster), "pod-kill", {})
        seen = held(hold)
        assert cluster.there() == set()
        assert not seen.holds and "still gets through" in seen.saw, seen
    assert now(hold.observe()).holds
    with door("127.0.7.1") as server:
        cluster.runs_at(cluster.pod("app", port=port_of(server)), "127.0.7.1")
        assert now(hold.observe()).holds, "its address was given to another"


@pytest.mark.parametrize("fault", ["pod-kill", "workload-hold-down"])
def test_a_selector_that_matches_nothing_lands_nowhere_and_says_so(cluster: Cluster, fault: str) -> None:
    cluster.pod("other")
    seen = held(hold_of(app(cluster), fault, {}))
    assert not seen.holds
    assert "app=app" in seen.saw and " no " in seen.saw, seen


@pytest.mark.parametrize("fault", ["pod-kill", "workload-hold-down"])
def test_collateral_is_refused_unless_it_is_allowed(cluster: Cluster, fault: str) -> None:
    cluster.deployment("app")
    cluster.pod("app")
    cluster.pod("billing", {"app": "app"})
    with pytest.raises(InputError, match="more than one controller: Deployment app, Deployment billing"):
        held(hold_of(app(cluster), fault, {}))
    assert len(cluster.there()) == 2
    assert cluster.read("app")[0] == 3
    now(hold_of(app(cluster, collateral=True), fault, {}).prepare())


def test_what_nobody_would_start_again_is_not_killed(cluster: Cluster) -> None:
    cluster.pod("app", kind="")
    with pytest.raises(InputError, match="nobody would start again"):
        held(hold_of(app(cluster), "pod-kill", {}))


# workload-hold-down


def test_a_workload_is_held_down_with_its_count_on_record_and_comes_back(cluster: Cluster) -> None:
    cluster.deployment("app", 3)
    cluster.deployment("other", 2)
    pod = cluster.pod("app")
    hold = hold_of(app(cluster), "workload-hold-down", {})
    seen = held(hold)
    assert not seen.holds and pod["metadata"]["name"] in seen.saw, "its pods are still there"
    assert isinstance(hold, Settling) and hold.settles == GRACE
    cluster.gone(pod)
    assert now(hold.observe()).holds
    count, annotations, labels = cluster.read("app")
    assert (count, annotations[REPLICAS], labels[HELD]) == (0, "3", RUN)
    assert annotations[LEASE] == Lease("workload-hold-down", RUN, FAR).name
    assert len(now(hold.left())) == 1
    now(hold.heal())
    now(hold.heal())
    assert cluster.read("app") == (3, {}, {})
    assert cluster.read("other") == (2, {}, {})
    assert now(hold.left()) == []
    assert not now(hold.observe()).holds


def test_a_count_that_somebody_set_meanwhile_stands_and_is_seen(cluster: Cluster) -> None:
    cluster.deployment("app", 3)
    hold = hold_of(app(cluster), "workload-hold-down", {})
    assert held(hold).holds
    cluster.api.patch(k8s.DEPLOYMENTS, "app", {"spec": {"replicas": 5}}, cluster.namespace)
    seen = now(hold.observe())
    assert not seen.holds and "is not what was held down" in seen.saw
    now(hold.heal())
    assert cluster.read("app") == (5, {}, {})


def test_one_that_was_replaced_meanwhile_is_seen(cluster: Cluster) -> None:
    cluster.deployment("app", 3)
    hold = hold_of(app(cluster), "workload-hold-down", {})
    assert held(hold).holds
    cluster.api.delete(k8s.DEPLOYMENTS, "app", cluster.namespace)
    cluster.deployment("app", 0)
    seen = now(hold.observe())
    assert not seen.holds and "is not what was held down" in seen.saw
    now(hold.heal())
    assert cluster.read("app") == (0, {}, {}), "the new one is not ours"


def test_what_another_lease_holds_is_left_alone(cluster: Cluster) -> None:
    cluster.deployment("app", 3)
    assert held(hold_of(app(cluster), "workload-hold-down", {}, "another1")).holds
    with pytest.raises(HeldError, match="another1"):
        held(hold_of(app(cluster), "workload-hold-down", {}))


def test_a_change_in_between_is_not_overwritten(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody changes the count between our reading and our writing."""
    cluster.deployment("app", 3)
    hold = hold_of(app(cluster), "workload-hold-down", {})
    now(hold.prepare())
    get = k8s.Api.get
    changes = iter([7])

    def late(self: k8s.Api, resource: k8s.Resource, *where: Any) -> dict[str, Any]:
        tree = get(self, resource, *where)
        for count in changes:
            cluster.api.patch(k8s.DEPLOYMENTS, "app", {"spec": {"replicas": count}}, cluster.namespace)
        return tree

    monkeypatch.setattr(k8s.Api, "get", late)
    now(hold.inject())
    assert cluster.read("app")[1][REPLICAS] == "7"


def test_an_autoscaler_is_named(cluster: Cluster) -> None:
    cluster.deployment("app", 3)
    spec = {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"}, "maxReplicas": 5}
    cluster.api.create(k8s.AUTOSCALERS, {"metadata": {"name": "scaler"}, "spec": spec}, cluster.namespace)
    seen = held(hold_of(app(cluster), "workload-hold-down", {}))
    assert seen.holds and "autoscaler scaler" in seen.saw


# node-drain and evacuation


def drain(cluster: Cluster, node: str, *, collateral: bool = False) -> Hold:
    where = site(
        cluster, "one", collateral=collateral, workloads=[workload("app")], nodes=[Node(name="one", node=node)]
    )
    return hold_of(where, "node-drain", {})


def evacuate(cluster: Cluster, *, collateral: bool = False) -> Hold:
    regions = [Region(name="us-west", nodes={"region": f"us-west-{cluster.namespace}"})]
    where = site(cluster, "us-west", collateral=collateral, workloads=[workload("app")], regions=regions)
    return hold_of(where, "region-loss", {"by": "evacuation"})


def test_a_node_is_drained_of_the_stacks_own_pods(cluster: Cluster) -> None:
    node, elsewhere = cluster.node(), cluster.node()
    pod, stays = cluster.pod("app", node=node), cluster.pod("app", node=elsewhere)
    daemon = cluster.pod("logs", node=node, kind="DaemonSet")
    cluster.api.patch(k8s.NODES, node, {"spec": {"unschedulable": True}})
    theirs = cluster.taints(node)
    hold = drain(cluster, node)
    seen = held(hold)
    assert not seen.holds, "an evicted pod takes its time"
    assert isinstance(hold, Settling) and hold.settles == node_drain.ASKING + GRACE
    assert cluster.api.get(k8s.PODS, pod["metadata"]["name"], cluster.namespace)["metadata"]["deletionTimestamp"]
    cluster.gone(pod)
    seen = now(hold.observe())
    assert seen.holds, seen
    assert cluster.there() == {stays["metadata"]["name"], daemon["metadata"]["name"]}
    assert [taint["value"] for taint in cluster.taints(node) if taint["key"] == LEASE] == [
        Lease("node-drain", RUN, FAR).name
    ]
    assert cluster.taints(elsewhere) == []
    now(hold.heal())
    now(hold.heal())
    assert cluster.taints(node) == theirs
    assert cluster.api.get(k8s.NODES, node)["spec"]["unschedulable"], "somebody else has cordoned it"
    assert now(hold.left()) == []


def test_a_disruption_budget_is_respected(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aftershock.faults.node_drain.ASKING", 0.0)
    node = cluster.node()
    pod = cluster.pod("app", node=node)
    cluster.runs_at(pod, "127.0.7.9")
    budgets = k8s.Resource("policy/v1", "poddisruptionbudgets")
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "app"}}}
    cluster.api.create(budgets, {"metadata": {"name": "one"}, "spec": spec}, cluster.namespace)
    hold = drain(cluster, node)
    assert not held(hold).holds
    assert "deletionTimestamp" not in cluster.api.get(k8s.PODS, pod["metadata"]["name"], cluster.namespace)["metadata"]
    now(hold.heal())
    assert cluster.taints(node) == []


def test_a_region_is_evacuated_and_says_what_that_leaves_unknown(cluster: Cluster) -> None:
    nodes, elsewhere = [cluster.node(), cluster.node()], cluster.node("us-east")
    for node in nodes:
        cluster.pod("app", node=node)
    stays = cluster.pod("app", node=elsewhere)
    hold = evacuate(cluster)
    seen = held(hold)
    assert seen.holds, seen
    assert "the RTO of a real loss stays unknown" in seen.saw
    assert cluster.there() == {stays["metadata"]["name"]}
    cluster.pod("app", node=nodes[0])
    assert not now(hold.observe()).holds, "one has come back"
    now(hold.heal())
    assert [cluster.taints(node) for node in [*nodes, elsewhere]] == [[], [], []]


@pytest.mark.parametrize("way", ["drain", "evacuate"])
def test_a_node_with_pods_of_others_is_refused_unless_that_is_allowed(cluster: Cluster, way: str) -> None:
    node = cluster.node()
    stranger = cluster.pod("billing", node=node)

    def hold(*, collateral: bool) -> Hold:
        asked = {"collateral": collateral}
        return drain(cluster, node, **asked) if way == "drain" else evacuate(cluster, **asked)

    with pytest.raises(InputError, match=stranger["metadata"]["name"]):
        held(hold(collateral=False))
    assert cluster.taints(node) == []
    allowed = hold(collateral=True)
    assert held(allowed).holds
    assert stranger["metadata"]["name"] in cluster.there(), "nobody touches it"
    now(allowed.heal())


def test_a_node_is_held_by_one_lease_only(cluster: Cluster) -> None:
    node = cluster.node()
    first = evacuate(cluster)
    assert held(first).holds
    with pytest.raises(HeldError, match="region-loss"):
        held(drain(cluster, node))
    now(first.heal())


def test_a_region_of_which_nobody_says_where_its_nodes_are_is_not_evacuated(cluster: Cluster) -> None:
    where = site(cluster, "us-west", workloads=[workload("app", region="us-west")])
    with pytest.raises(InputError, match="doesn't say which nodes"):
        hold_of(where, "region-loss", {"by": "evacuation"})


# region-loss by network-policy


def isolate(cluster: Cluster) -> Hold:
    parts = [workload("app", region="us-west"), workload("other", region="us-east")]
    return hold_of(site(cluster, "us-west", workloads=parts), "region-loss", {"by": "network-policy"})


def test_a_policy_that_nobody_enforces_has_not_landed(cluster: Cluster) -> None:
    with ExitStack() as doors:
        server = doors.enter_context(door("127.0.7.2"))
        cluster.runs_at(cluster.pod("app", port=port_of(server)), "127.0.7.2")
        hold = isolate(cluster)
        seen = held(hold)
        assert not seen.holds and "still gets through" in seen.saw, seen
        (policy,) = cluster.api.list(k8s.NETWORK_POLICIES, cluster.namespace)
        assert policy["spec"] == {"podSelector": {"matchLabels": {"app": "app"}}, "policyTypes": ["Ingress", "Egress"]}
        assert policy["metadata"]["name"].startswith(Lease("region-loss", RUN, FAR).name)
        doors.close()  # what a network that enforces it would do
        seen = now(hold.observe())
        assert seen.holds and "the kubelet says that app-1" in seen.saw, seen
    cluster.gone(*cluster.api.list(k8s.PODS, cluster.namespace))
    assert not now(hold.observe()).holds, "who is dead is not cut off"
    now(hold.heal())
    now(hold.heal())
    assert cluster.api.list(k8s.NETWORK_POLICIES, cluster.namespace) == []


def test_where_no_canary_gets_through_before_nothing_is_proved(cluster: Cluster) -> None:
    cluster.runs_at(cluster.pod("app"), "127.0.7.3")
    hold = isolate(cluster)
    seen = held(hold)
    assert not seen.holds and "no canary outside could reach the pods before" in seen.saw
    now(hold.heal())
