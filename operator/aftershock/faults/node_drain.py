"""`node-drain`: a node takes no new pods, and the stack's own pods are evicted from it, as an administrator would.

Evictions respect disruption budgets: a pod whose budget forbids it stays, and is asked again for a while; as long as one
is there, the fault is not seen. Each pod has its grace period to end: a hold that is shorter proves nothing. Pods of others
are never touched, and without `allow: {collateral: true}` in both Stack and Experiment a node that has any is refused.
Healing takes off what we put on the node; that somebody else has cordoned it stays so.
"""

import time
from collections.abc import Sequence

from aftershock.adapters import kubernetes as k8s
from aftershock.core.lease import Lease
from aftershock.errors import InputError
from aftershock.faults.cluster import Tree, clock, grace_of, uid_of
from aftershock.faults.drained import DrainedHold, undo
from aftershock.faults.fault import Fault, Parameters, Site

ASKING = 8.0
"""Seconds for which a pod that a disruption budget protects is asked to leave."""

AGAIN = 0.5


class NodeDrain(Parameters, frozen=True, kw_only=True):
    """There is nothing to choose."""


class NodeDrainHold(DrainedHold):
    """One node, drained for one lease."""

    def __init__(self, site: Site, lease: Lease, _wanted: NodeDrain) -> None:
        super().__init__(site, lease)

    def nodes(self) -> Sequence[str]:
        """Return the node's name in Kubernetes. TargetError where there is no such node."""
        name = node_of(self.site)
        return [self.ground.api.get(k8s.NODES, name)["metadata"]["name"]]

    def leaving(self, pods: Sequence[Tree]) -> float:
        """Return what budgets and grace periods may take together."""
        return ASKING + grace_of(pods)

    def empty(self, pods: Sequence[Tree]) -> None:
        """Evict them; those that a budget protects again and again for a while."""
        end = time.monotonic() + ASKING
        while pods := [pod for pod in pods if not self._evict(pod)]:
            if time.monotonic() > end:
                return
            time.sleep(AGAIN)

    def _evict(self, pod: Tree) -> bool:
        """Evict one pod; tell whether it goes. 429 is a budget's word, and not the API's being away."""
        meta = pod["metadata"]
        asked = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": meta["name"], "namespace": meta["namespace"]},
            "deleteOptions": {"preconditions": {"uid": uid_of(pod)}},
        }
        try:
            self.ground.api.call("POST", k8s.PODS, f"{meta['name']}/eviction", meta["namespace"], json=asked)
        except (k8s.MissingError, k8s.ConflictError):
            return True
        except k8s.ApiAwayError:
            return False
        return True


def node_of(site: Site) -> str:
    """Return what Kubernetes calls the node that is the site's target. InputError if the stack names none such."""
    for node in site.stack.spec.nodes:
        if node.name == site.target:
            return node.node or node.name
    known = ", ".join(node.name for node in site.stack.spec.nodes) or "none"
    raise InputError(f"the stack has no node {site.target}", f"its nodes: {known}")


NODE_DRAIN = Fault(
    name="node-drain",
    summary="A node takes no new pods, and the stack's own leave it.",
    target="node",
    parameters=NodeDrain,
    hold=NodeDrainHold,
    clock=clock,
    undo=undo,
)
