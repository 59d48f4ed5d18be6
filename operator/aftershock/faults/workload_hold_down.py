"""`workload-hold-down`: a workload's Deployments or StatefulSets are scaled to zero until the lease is over.

The old count and the lease are written to the object in the same change that scales it, and only to the version that was
read: there is no moment at which it is down and nobody could know why. Healing gives the old count back, unless somebody
has set another one meanwhile: then that stands. While the count is zero, an autoscaler rests; the evidence names it.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from aftershock.adapters import kubernetes as k8s
from aftershock.adapters.kubernetes import Api, Resource
from aftershock.adapters.threads import within
from aftershock.core.lease import Lease
from aftershock.errors import HeldError, InputError, TargetError
from aftershock.faults import doors
from aftershock.faults.cluster import (
    HELD,
    LEASE,
    PATIENCE,
    UNMARKED,
    Ground,
    Tree,
    chosen,
    clock,
    controller,
    grace_of,
    ground_of,
    labels_of,
    named,
    refuse_collateral,
    text_of,
    uid_of,
)
from aftershock.faults.fault import Evidence, Fault, Parameters, Site
from aftershock.model.stack import Workload

NAME = "workload-hold-down"
REPLICAS = "aftershock.dev/replicas"
"""Annotation: how many there were before."""

TRIES = 5
"""How often a change is made again because the object was changed since it was read."""


class WorkloadHoldDown(Parameters, frozen=True, kw_only=True):
    """There is nothing to choose: all of it is down."""


class WorkloadHold:
    """One workload, held down for one lease."""

    def __init__(self, site: Site, lease: Lease, _wanted: WorkloadHoldDown) -> None:
        self.site, self.lease = site, lease
        self.workload = chosen(site)
        self.ground = ground_of(site.stack)
        self._doors: list[doors.Door] = []
        self._held: dict[str, tuple[Resource, str]] = {}  # by uid: what was scaled down
        self._scaled_by: list[str] = []
        self.settles = 0.0

    async def prepare(self) -> None:
        """Look at what there is, and find the ports at which it can be reached."""
        pods = await within(PATIENCE, self._look_around)
        self.settles = grace_of(pods)
        self._doors = await doors.found(pods)

    async def inject(self) -> None:
        """Scale it to zero, with the old count on record in the same change."""
        await within(PATIENCE, self._hold_down)

    async def observe(self) -> Evidence:
        """Ask the API for what was held and for pods, and knock at the ports that were open before."""
        counts, pods = await within(PATIENCE, self._look)
        open_ = await doors.opening(doors.still(self._doors, pods))
        down = bool(counts) and all(counts.values())
        return Evidence(
            down and not pods and not open_, "the list of pods, and a canary", self._saw(counts, pods, open_)
        )

    async def heal(self) -> None:
        """Give the old count back to all that bears this lease."""
        await within(PATIENCE, self._heal)

    async def left(self) -> list[str]:
        """Name what bears this lease."""
        held = await within(PATIENCE, self._bearing)
        return [
            f"{kind_of(resource)} {tree['metadata']['name']} is held down by {self.lease.name}"
            for resource, tree in held
        ]

    async def close(self) -> None:
        """Nothing is kept open."""

    def _look_around(self) -> list[Tree]:
        pods = self.ground.pods(labels_of(self.workload))
        if not self.site.collateral:
            refuse_collateral(self.workload, pods)
            self._refuse_others(pods)
        self._scaled_by = autoscalers(self.ground, [tree for _, tree in controllers(self.ground, self.workload)])
        return pods

    def _refuse_others(self, pods: list[Tree]) -> None:
        """Raise InputError for pods that would stay up, since something keeps them that can't be scaled."""
        scalable = {f"{kind_of(resource)} {tree['metadata']['name']}" for resource, tree in self._controllers()}
        if stay := [pod for pod in pods if controller(pod) not in scalable]:
            raise InputError(
                f"the pods {named(stay)} of the workload {self.workload.name} belong to no Deployment or StatefulSet",
                "only those can be held down: take `pod-kill`, or a narrower selector",
            )

    def _controllers(self) -> list[tuple[Resource, Tree]]:
        return controllers(self.ground, self.workload)

    def _hold_down(self) -> None:
        for resource, tree in self._controllers():
            hold_down(self.ground, resource, tree["metadata"]["name"], self.lease)
            self._held[uid_of(tree)] = (resource, tree["metadata"]["name"])

    def _look(self) -> tuple[dict[str, bool], list[Tree]]:
        """Return of each that was held whether it is at zero under this lease; and the pods that are there, in any state."""
        now = {uid_of(tree): tree for _, tree in self._controllers()}
        counts = {
            f"{kind_of(resource)} {name}": uid in now and _is_held(now[uid], self.lease)
            for uid, (resource, name) in self._held.items()
        }
        pods = self.ground.api.list(k8s.PODS, self.ground.namespace, labels=text_of(labels_of(self.workload)))
        return counts, [pod for pod in pods if (pod.get("status") or {}).get("phase") not in {"Succeeded", "Failed"}]

    def _saw(self, counts: dict[str, bool], pods: list[Tree], open_: list[doors.Door]) -> str:
        if not counts:
            found = len(self._controllers())
            return (
                f"the selector {text_of(labels_of(self.workload))} chooses {found or 'no'} controllers, none held down"
            )
        changed = [name for name, held in counts.items() if not held]
        said = f"{', '.join(counts)} held at zero" if not changed else f"{', '.join(changed)} is not what was held down"
        resting = f"; {', '.join(self._scaled_by)} rests meanwhile" if self._scaled_by else ""
        return f"{said}; pods there: {named(pods)}; {doors.told(self._doors, open_)}{resting}"

    def _bearing(self) -> list[tuple[Resource, Tree]]:
        return [(resource, tree) for resource, tree in marked(self.ground) if lease_on(tree) == self.lease.name]

    def _heal(self) -> None:
        for resource, tree in self._bearing():
            restore(self.ground.api, resource, self.ground.namespace, tree["metadata"]["name"], self.lease.name)


def scalable() -> tuple[Resource, ...]:
    """Return the kinds that can be held down."""
    return (k8s.DEPLOYMENTS, k8s.STATEFUL_SETS)


def kind_of(resource: Resource) -> str:
    """Return what one of a resource is called."""
    return "Deployment" if resource == k8s.DEPLOYMENTS else "StatefulSet"


def controllers(ground: Ground, workload: Workload) -> list[tuple[Resource, Tree]]:
    """Return the Deployments and StatefulSets whose pods the workload's labels choose."""
    wanted = labels_of(workload).items()
    return [
        (resource, tree)
        for resource in scalable()
        for tree in ground.api.list(resource, ground.namespace)
        if wanted <= (tree["spec"]["template"]["metadata"].get("labels") or {}).items()
    ]


def marked(ground: Ground) -> list[tuple[Resource, Tree]]:
    """Return the Deployments and StatefulSets that something of ours is on record at."""
    return [
        (resource, tree) for resource in scalable() for tree in ground.api.list(resource, ground.namespace, labels=HELD)
    ]


def lease_on(tree: Tree) -> str:
    """Return the lease that an object's annotation names; empty for none."""
    return str((tree["metadata"].get("annotations") or {}).get(LEASE) or "")


def autoscalers(ground: Ground, held: list[Tree]) -> list[str]:
    """Return which autoscalers of these objects there are, in words; or that this can't be told."""
    names = {tree["metadata"]["name"] for tree in held}
    try:
        found = ground.api.list(k8s.AUTOSCALERS, ground.namespace)
    except (k8s.ForbiddenError, k8s.MissingError) as error:
        return [f"any autoscaler (that can't be told: {error.problem})"]
    targets = [(each["metadata"]["name"], each["spec"]["scaleTargetRef"].get("name")) for each in found]
    return [f"autoscaler {name}" for name, target in targets if target in names]


def hold_down(ground: Ground, resource: Resource, name: str, lease: Lease) -> None:
    """Scale to zero what is not held yet: count, lease and scale in one change to the version that was read."""
    for _ in range(TRIES):
        tree = ground.api.get(resource, name, ground.namespace)
        other = lease_on(tree)
        if other == lease.name:
            return
        if other:
            raise HeldError(
                f"{kind_of(resource)} {name} is held down by {other}", "wait for its end, or `aftershock halt`"
            )
        marks = ground.marks(lease)
        marks["annotations"][REPLICAS] = str(tree["spec"].get("replicas", 1))
        marks["resourceVersion"] = tree["metadata"]["resourceVersion"]
        with suppress(k8s.ConflictError):
            ground.api.patch(resource, name, {"metadata": marks, "spec": {"replicas": 0}}, ground.namespace)
            return
    raise TargetError(f"{kind_of(resource)} {name} changes faster than it can be held down", "see who changes it")


def restore(api: Api, resource: Resource, namespace: str, name: str, lease: str) -> None:
    """Give the old count back, and take the marks away, if it still bears the lease. A count that somebody set stands."""
    for _ in range(TRIES):
        tree = api.find(resource, name, namespace)
        if tree is None or lease_on(tree) != lease:
            return
        marks = {"annotations": {**UNMARKED["annotations"], REPLICAS: None}, "labels": UNMARKED["labels"]}
        change: Tree = {"metadata": {**marks, "resourceVersion": tree["metadata"]["resourceVersion"]}}
        if tree["spec"].get("replicas") == 0:
            change["spec"] = {"replicas": before(tree, kind_of(resource))}
        with suppress(k8s.ConflictError, k8s.MissingError):
            api.patch(resource, name, change, namespace)
            return
    raise TargetError(f"{kind_of(resource)} {name} changes faster than it can be restored", "see who changes it")


def before(tree: Tree, kind: str) -> int:
    """Return the count that is on record. TargetError where somebody has spoilt it."""
    said = str((tree["metadata"].get("annotations") or {}).get(REPLICAS, "nothing"))
    if said.isascii() and said.isdecimal() and int(said) < 2**31:
        return int(said)
    name = tree["metadata"]["name"]
    raise TargetError(
        f"{kind} {name} is held down, and its annotation {REPLICAS} says {said!r}",
        f"`kubectl scale {kind.lower()} {name} --replicas=…`: a count that somebody set is let stand",
    )


def _is_held(tree: Tree, lease: Lease) -> bool:
    return lease_on(tree) == lease.name and tree["spec"].get("replicas") == 0


def undo(site: Site, lease: Lease) -> Mapping[str, Any]:
    """Say what takes the fault away again, as data; the counts stand on the objects themselves."""
    return {"operation": "restore-replicas", "workload": site.target, "lease": lease.name}


WORKLOAD_HOLD_DOWN = Fault(
    name=NAME,
    summary="A workload is scaled to zero, and back later.",
    target="workload",
    parameters=WorkloadHoldDown,
    hold=WorkloadHold,
    clock=clock,
    undo=undo,
    alone=lambda site, _: (f"the pods of {site.target}",),
)
