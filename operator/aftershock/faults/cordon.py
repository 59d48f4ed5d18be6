"""A node that takes no new pods: a taint of ours, with the lease as its value. What both drain and evacuation rest on.

A taint of our own and not `unschedulable`, which bears no name: so a node that somebody else has cordoned stays cordoned,
and what we took away is only ever ours.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from aftershock.adapters import kubernetes as k8s
from aftershock.adapters.kubernetes import Api
from aftershock.core.lease import Lease
from aftershock.errors import HeldError, InputError, TargetError
from aftershock.faults.cluster import HELD, LEASE, STACK, Ground, Tree, labels_of, named, runs, text_of
from aftershock.model.stack import Stack

TRIES = 8
"""How often a node is changed again because it was changed since it was read: kubelets write to it too."""

EFFECT = "NoSchedule"
MIRROR = "kubernetes.io/config.mirror"
"""Annotation of a pod that a kubelet runs from a file: nobody can take it away."""

OWN = ("app.kubernetes.io/part-of", "aftershock")


def lease_at(node: Tree) -> str | None:
    """Return the value of the node's taint of ours; None where it has none."""
    for taint in node["spec"].get("taints") or []:
        if taint.get("key") == LEASE:
            return str(taint.get("value") or "")
    return None


def taint(ground: Ground, node: str, lease: Lease) -> None:
    """Put the taint on the node. Twice is once; HeldError where another lease is there."""

    def tainted(tree: Tree) -> Tree | None:
        there = lease_at(tree)
        if there == lease.name:
            return None
        if there is not None:
            raise HeldError(f"the node {node} is held by {there}", "wait for its end, or `aftershock halt`")
        ours = {"key": LEASE, "value": lease.name, "effect": EFFECT}
        return {"spec": {"taints": [*(tree["spec"].get("taints") or []), ours]}, "metadata": ground.marks(lease)}

    _change(ground.api, node, tainted)


def untaint(api: Api, node: str, lease: str) -> None:
    """Take the taint of this lease off the node, and our marks with it. What is not of this lease stays."""

    def without(tree: Tree) -> Tree | None:
        if lease_at(tree) != lease:
            return None
        others = [taint for taint in tree["spec"]["taints"] if (taint.get("key"), taint.get("value")) != (LEASE, lease)]
        marks = {"annotations": {STACK: None, LEASE: None}, "labels": {HELD: None}}
        return {"spec": {"taints": others or None}, "metadata": marks}

    with suppress(k8s.MissingError):  # a node that is gone holds nothing
        _change(api, node, without)


def _change(api: Api, node: str, changed: Callable[[Tree], Tree | None]) -> None:
    """Change a node as it is now; a list is replaced as a whole, so only the version that was read may be changed."""
    for _ in range(TRIES):
        tree = api.get(k8s.NODES, node)
        change = changed(tree)
        if change is None:
            return
        change["metadata"]["resourceVersion"] = tree["metadata"]["resourceVersion"]
        with suppress(k8s.ConflictError):
            api.patch(k8s.NODES, node, change)
            return
    raise TargetError(f"the node {node} changes faster than it can be tainted", "see who changes it")


def pods_on(api: Api, node: str) -> list[Tree]:
    """Return every pod on a node, of whatever namespace, that runs or is about to."""
    return [pod for pod in api.list(k8s.PODS, fields=f"spec.nodeName={node}") if runs(pod)]


def own(stack: Stack, namespace: str, pods: Sequence[Tree]) -> list[Tree]:
    """Return those of the pods that are the stack's: of its namespace, and chosen by one of its workloads."""
    selectors = [labels.items() for workload in stack.spec.workloads if (labels := labels_of(workload))]
    return [
        pod
        for pod in pods
        if pod["metadata"]["namespace"] == namespace
        and any(wanted <= (pod["metadata"].get("labels") or {}).items() for wanted in selectors)
    ]


def refuse_strangers(stack: Stack, ground: Ground, nodes: Sequence[str]) -> None:
    """Raise InputError where pods that are not the stack's are on the nodes: theirs could not be started there meanwhile.

    What belongs to the node itself is nobody's: pods of DaemonSets, those of a kubelet's files, and our own.
    """
    for node in nodes:
        pods = pods_on(ground.api, node)
        mine = {pod["metadata"]["uid"] for pod in own(stack, ground.namespace, pods)}
        if others := [pod for pod in pods if pod["metadata"]["uid"] not in mine and not _of_the_node(pod)]:
            raise InputError(
                f"the node {node} also runs pods that the stack doesn't name: {named(others)}",
                "they could not be started there meanwhile; if that is meant, say `allow: {collateral: true}` in both"
                " Stack and Experiment",
            )


def _of_the_node(pod: Tree) -> bool:
    meta = pod["metadata"]
    daemon = any(owner.get("kind") == "DaemonSet" for owner in meta.get("ownerReferences") or [])
    ours = (meta.get("labels") or {}).get(OWN[0]) == OWN[1]
    return daemon or ours or MIRROR in (meta.get("annotations") or {})


def nodes_with(api: Api, labels: Mapping[str, str]) -> list[str]:
    """Return the names of the nodes that have these labels."""
    return sorted(node["metadata"]["name"] for node in api.list(k8s.NODES, labels=text_of(labels)))
