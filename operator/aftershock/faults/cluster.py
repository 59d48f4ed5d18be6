"""What the faults through the Kubernetes API share: whose pods are whose, the words on what is held, the API server's clock.

What is held bears the lease as an annotation (a node: as the value of a taint), the stack that it is held for, and a label
by which the reaper finds it. The API server's clock is the one that leases count on.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from aftershock.adapters import kubernetes as k8s
from aftershock.adapters.kubernetes import Api
from aftershock.adapters.threads import within
from aftershock.core.lease import Lease
from aftershock.errors import InputError
from aftershock.faults.fault import Site
from aftershock.faults.process import workload_of
from aftershock.model.stack import Stack, Workload

Tree = dict[str, Any]
LEASE = "aftershock.dev/lease"
"""Annotation of what is held, and key of a node's taint: the lease's name."""

STACK = "aftershock.dev/stack"
"""Annotation of what is held: the stack that it is held for, `namespace/name`."""

HELD = "aftershock.dev/held"
"""Label of what is held: the run's token. The reaper lists by it; what it goes by is the lease."""

PATIENCE = 12.0
"""Seconds for a few calls to the API, one after the other, each with its own deadline."""

OVER = ("Succeeded", "Failed")

USER = 10001
"""Whom the pods that we make run as."""

UNPRIVILEGED: Mapping[str, Any] = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""Security context of every pod that we make: with `CONFINED` what the restricted profile of Pod Security asks for."""

CONFINED: Mapping[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
}
"""Security context of every container that we make: it may do nothing but its work."""

UNDRIVEN = ({"key": LEASE, "operator": "Exists"},)
"""Tolerations of every pod that we make: our own taints don't drive it away."""


class Ground(msgspec.Struct, frozen=True):
    """Where a stack's pods are: the API, their namespace, and the stack's name."""

    api: Api
    namespace: str
    stack: str

    @property
    def whose(self) -> str:
        """The stack, as an annotation names it."""
        return f"{self.namespace}/{self.stack}"

    def pods(self, selector: Mapping[str, str]) -> list[Tree]:
        """Return the pods that the labels choose and that run, or are about to."""
        return [pod for pod in self.api.list(k8s.PODS, self.namespace, labels=text_of(selector)) if runs(pod)]

    def marks(self, lease: Lease) -> Tree:
        """Return the metadata that says of an object that it is held."""
        return {"annotations": {LEASE: lease.name, STACK: self.whose}, "labels": {HELD: lease.run}}


UNMARKED: Mapping[str, Any] = {"annotations": {LEASE: None, STACK: None}, "labels": {HELD: None}}
"""Takes the marks away again, merged into the metadata."""


def ground_of(stack: Stack, *, hurried: bool = False) -> Ground:
    """Return where the stack's pods are. InputError where nothing says how to reach a cluster.

    `hurried`: for calls that come again soon, and had better fail than wait.
    """
    api = k8s.shared(k8s.HURRIED if hurried else k8s.TIMEOUT)
    return Ground(api, stack.metadata.namespace or api.namespace, stack.metadata.name)


GRACE = 30.0
"""Seconds that a pod has to end once it is asked to, if it doesn't say otherwise: Kubernetes' default."""


def grace_of(pods: Sequence[Tree]) -> float:
    """Return the seconds that the slowest of these pods may take to end; 0 for none."""
    return max((float(pod["spec"].get("terminationGracePeriodSeconds", GRACE)) for pod in pods), default=0.0)


def chosen(site: Site) -> Workload:
    """Return the workload that is the site's target, if it is one of a cluster."""
    workload = workload_of(site)
    if workload.selector is None:
        raise InputError(
            f"the workload {workload.name} is no part of a cluster: no selector says which pods are its",
            "give it `selector:` in the Stack, or take a fault of processes",
        )
    return workload


def labels_of(workload: Workload) -> Mapping[str, str]:
    """Return the labels by which a workload's pods are chosen; none chooses no pod."""
    return workload.selector or {}


def text_of(selector: Mapping[str, str]) -> str:
    """Return labels as the API reads them.

    >>> text_of({"app": "meetings", "tier": "web"})
    'app=meetings,tier=web'
    """
    return ",".join(f"{key}={value}" for key, value in selector.items())


def runs(pod: Tree) -> bool:
    """Tell whether a pod runs or is about to: one that has ended or is being deleted is nobody's target."""
    return not pod["metadata"].get("deletionTimestamp") and (pod.get("status") or {}).get("phase") not in OVER


def uid_of(tree: Tree) -> str:
    """Return what tells an object from another of its name."""
    return str(tree["metadata"]["uid"])


def controller(pod: Tree) -> str:
    """Return what keeps a pod, like `Deployment app`; empty where nobody would start it again.

    >>> owner = {"kind": "ReplicaSet", "name": "app-5d9c", "controller": True}
    >>> controller({"metadata": {"labels": {"pod-template-hash": "5d9c"}, "ownerReferences": [owner]}})
    'Deployment app'
    """
    meta = pod["metadata"]
    owner = next((one for one in meta.get("ownerReferences") or [] if one.get("controller")), None)
    if owner is None:
        return ""
    ending = f"-{(meta.get('labels') or {}).get('pod-template-hash', '')}"
    if owner["kind"] == "ReplicaSet" and len(ending) > 1 and owner["name"].endswith(ending):
        return f"Deployment {owner['name'].removesuffix(ending)}"
    return f"{owner['kind']} {owner['name']}"


def refuse_collateral(workload: Workload, pods: Iterable[Tree]) -> None:
    """Raise InputError where the selector matches more than the workload: pods of several controllers, or of none."""
    kept = Counter(controller(pod) for pod in pods)
    advice = (
        "make the selector narrower; if that is meant, say `allow: {collateral: true}` in both Stack and Experiment"
    )
    matches = f"the selector {text_of(labels_of(workload))} of the workload {workload.name} matches"
    if kept[""]:
        raise InputError(f"{matches} {kept['']} pods that nobody would start again: no controller owns them", advice)
    if len(kept) > 1:
        raise InputError(f"{matches} pods of more than one controller: {', '.join(sorted(kept))}", advice)


async def clock(site: Site) -> float:
    """Return the API server's clock, seconds since the epoch."""
    return await within(PATIENCE, ground_of(site.stack).api.now)


def named(pods: Iterable[Tree]) -> str:
    """Return pods' names for a message, not too many of them."""
    names = sorted(pod["metadata"]["name"] for pod in pods)
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more if names else "none"
