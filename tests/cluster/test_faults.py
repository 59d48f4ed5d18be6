"""Faults through the Kubernetes API, on real pods."""

import json
from collections.abc import Iterator

import pytest

from cluster.cluster import Cluster
from cluster.doors import Namespace, Told
from cluster.enforced import enforced

LANDED = {"FaultLanded": ("True", "Landed"), "Recovered": ("True", "Held"), "CleanedUp": ("True", "Clean")}
PASSED = Told("Passed", LANDED | {"ObjectivesHeld": ("True", "WithinBudget")})


@pytest.fixture
def with_nodes(meetings: Namespace) -> Iterator[Namespace]:
    """The Stack names its node and its region's nodes, and lets others suffer: Toxiproxy's pods are no workload of it."""
    known = {"regions": [{"name": "us-west", "nodes": {"topology.kubernetes.io/region": "us-west"}}],
             "nodes": [{"name": "first", "node": "us-west"}], "allow": {"collateral": True}}  # fmt: skip
    change(meetings, known)
    yield meetings
    change(meetings, dict.fromkeys(known))


def change(meetings: Namespace, spec: dict[str, object]) -> None:
    meetings.kubectl("patch", "stack", "meetings-1k", "--type=merge", "-p", json.dumps({"spec": spec}))


def taints(cluster: Cluster) -> list[dict[str, str]]:
    nodes = json.loads(cluster.plane.kubectl("get", "nodes", "-o", "json"))["items"]
    return [taint for node in nodes for taint in node["spec"].get("taints", [])]


def test_a_killed_pod_is_gone_and_replaced(meetings: Namespace) -> None:
    before = meetings.pods("app.kubernetes.io/name=app")
    told = meetings.told(meetings.apply("pod-killed"))
    assert told.conditions["FaultLanded"] == ("True", "Landed"), told
    assert told.conditions["Recovered"] == ("True", "Held"), told
    assert told.conditions["CleanedUp"] == ("True", "Clean"), told
    after = meetings.pods("app.kubernetes.io/name=app")
    assert len(after) == len(before) == 1 and after != before


def test_a_policy_that_no_network_enforces_has_not_landed(meetings: Namespace) -> None:
    told = meetings.told(meetings.apply("not-cut-off"))
    assert told.verdict == "Inconclusive", told
    assert told.conditions["FaultLanded"] == ("False", "NeverLanded"), told
    assert told.conditions["CleanedUp"] == ("True", "Clean"), told
    assert meetings.tree("networkpolicies", "-l", "aftershock.dev/run")["items"] == []


def test_a_policy_that_is_enforced_has_landed(meetings: Namespace) -> None:
    """By a stand-in for a network that enforces policies: this cluster's own does not (`enforced.py`)."""
    with enforced(meetings):
        assert meetings.told(meetings.apply("cut-off")) == PASSED
    assert meetings.tree("networkpolicies", "-l", "aftershock.dev/held")["items"] == []


def test_a_region_is_lost_by_its_links(meetings: Namespace) -> None:
    assert meetings.told(meetings.apply("links-lost")) == PASSED


def test_a_workload_is_held_at_zero_and_gets_its_old_count_back(meetings: Namespace) -> None:
    assert meetings.told(meetings.apply("held-down")) == PASSED
    deployment = meetings.tree("deployment", "meetings-1k-app")
    assert deployment["spec"]["replicas"] == 1
    assert not [name for name in deployment["metadata"].get("annotations", {}) if name.startswith("aftershock.dev/")]


@pytest.mark.parametrize("name", ["drained", "evacuated"])
def test_a_node_is_emptied_of_the_stack_and_takes_it_back(name: str, with_nodes: Namespace) -> None:
    before = with_nodes.pods("app.kubernetes.io/name=app")
    assert with_nodes.told(with_nodes.apply(name)) == PASSED
    after = with_nodes.pods("app.kubernetes.io/name=app")
    assert len(after) == len(before) == 1 and after != before
    assert taints(with_nodes.cluster) == []


@pytest.mark.parametrize("name", ["not-drained", "not-evacuated"])
def test_nodes_are_not_emptied_where_others_would_suffer(name: str, with_nodes: Namespace) -> None:
    """The Stack allows that others suffer, and the Experiment does not."""
    before = with_nodes.pods("app.kubernetes.io/name=app")
    told = with_nodes.told(with_nodes.apply(name))
    assert told.verdict == "Error" and "also runs pods that the stack doesn't name" in told.because, told
    assert with_nodes.pods("app.kubernetes.io/name=app") == before and taints(with_nodes.cluster) == []
