"""The Kubernetes API as a place: workloads held down, tainted nodes, policies, and Services behind a Toxiproxy that bear our
lease, by the API's own clock.

What lies in a namespace is read once for all of its stacks that are looked at in the same moment.
"""

import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from threading import Lock

import msgspec
from msgspec.structs import replace

from aftershock.adapters import kubernetes as k8s
from aftershock.adapters.kubernetes import Api, Resource
from aftershock.adapters.threads import within
from aftershock.core.lease import Lease, parse
from aftershock.errors import AftershockError, TargetError
from aftershock.faults import cordon, fronts, workload_hold_down
from aftershock.faults.cluster import HELD, STACK, Ground, Tree, ground_of, uid_of
from aftershock.model.stack import Stack
from aftershock.runtime.place import HEAL, KUBERNETES, LOOK, Looked, Trace, undo_all
from aftershock.runtime.places import has_nodes, has_services

QUEUE = 3.0
"""Seconds to wait for another thread that reads."""

FRESH = 0.3
"""Seconds for which what was read of a namespace is good for its other stacks too."""


class KubernetesPlace:
    """What is held through the API for one stack."""

    name = KUBERNETES
    costly = True

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    async def look(self) -> Looked:
        """Read everything that bears our label, and the API server's clock."""
        return await within(LOOK, self._look)

    async def heal(self, traces: list[Trace]) -> list[str]:
        """Undo each by what it says of itself."""
        done = await within(HEAL, undo_all, traces)
        _forget()
        return done

    async def repair(self, due: Callable[[Lease, float], bool]) -> list[str]:
        """Nothing of ours wedges an API server."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is kept open."""

    def _look(self) -> Looked:
        ground = ground_of(self._stack, hurried=True)
        snapshot = read(ground, self._stack)
        looked = Looked(snapshot.now, [])
        astray = fronts.astray((tree for _, tree in snapshot.held), snapshot.now)
        for resource, tree in snapshot.held:
            if _whose(tree) in {"", ground.whose}:
                self._add(looked, ground, resource, tree, lost=uid_of(tree) in astray)
        return looked

    def _add(self, looked: Looked, ground: Ground, resource: Resource, tree: Tree, *, lost: bool) -> None:
        """Add one. A Service that leads to nobody is given back at once: its lease is over with its pod."""
        name = tree["metadata"]["name"]
        said = (cordon.lease_at(tree) if resource == k8s.NODES else workload_hold_down.lease_on(tree)) or ""
        if lease := parse(said):
            what = (
                f"{resource.plural} {name} in the Kubernetes API ({lease.name}{'; it leads to nobody' if lost else ''})"
            )
            until = replace(lease, expires=math.floor(looked.now)) if lost else lease
            looked.traces.append(Trace(until, what, partial(_undo, ground, resource, tree, lease)))
        else:
            looked.odd.append(
                f"{resource.plural} {name} has the label {HELD}, but {said!r} is no lease: see who wrote it"
            )


def _whose(tree: Tree) -> str:
    """Return the stack that an object says it is held for; empty where it doesn't say: then it is everybody's affair."""
    return str((tree["metadata"].get("annotations") or {}).get(STACK) or "")


def _undo(ground: Ground, resource: Resource, tree: Tree, lease: Lease) -> None:
    name = tree["metadata"]["name"]
    if resource == k8s.NODES:
        cordon.untaint(ground.api, name, lease.name)
    elif resource == k8s.NETWORK_POLICIES:
        ground.api.delete(resource, name, ground.namespace, uid=uid_of(tree))
    elif resource in {k8s.SERVICES, k8s.PODS}:
        fronts.take_away(ground.api, ground.namespace, fronts.service_of(tree), lease)
    else:
        workload_hold_down.restore(ground.api, resource, ground.namespace, name, lease.name)


class Snapshot(msgspec.Struct, frozen=True):
    """What bore our label, or why that can't be told; and when: on the API server's clock, and on our monotonic one."""

    now: float
    at: float
    held: list[tuple[Resource, Tree]]
    failure: AftershockError | None = None


class _Kinds(msgspec.Struct, frozen=True):
    """What may bear our label besides what any namespace may have."""

    nodes: bool
    services: bool


_snapshots: dict[tuple[Api, str, _Kinds], Snapshot] = {}
_reading = Lock()


def read(ground: Ground, stack: Stack) -> Snapshot:
    """Read it, unless somebody just has. An API server that hangs is waited for by one thread, and soon given up by all.

    Raises why it could not be read.
    """
    kinds = _Kinds(has_nodes(stack), has_services(stack))
    key = (ground.api, ground.namespace, kinds)
    if not _reading.acquire(timeout=QUEUE):
        raise TargetError("the Kubernetes API lets everybody wait", "see whether it answers: kubectl get --raw /readyz")
    try:
        known = _snapshots.get(key)
        if known is None or time.monotonic() - known.at > FRESH:
            known = _snapshots[key] = _taken(ground, kinds)
    finally:
        _reading.release()
    if known.failure is not None:
        raise known.failure
    return known


def _taken(ground: Ground, kinds: _Kinds) -> Snapshot:
    try:
        now = ground.api.now()
        return Snapshot(now, time.monotonic(), list(_held(ground, kinds)))
    except AftershockError as error:
        return Snapshot(0.0, time.monotonic(), [], error)


def _forget() -> None:
    _snapshots.clear()


def _held(ground: Ground, kinds: _Kinds) -> Iterator[tuple[Resource, Tree]]:
    fronted = (k8s.SERVICES, k8s.PODS) if kinds.services else ()
    for resource in (*workload_hold_down.scalable(), k8s.NETWORK_POLICIES, *fronted):
        for tree in ground.api.list(resource, ground.namespace, labels=HELD):
            yield resource, tree
    if kinds.nodes:
        for tree in ground.api.list(k8s.NODES, labels=HELD):
            yield k8s.NODES, tree
