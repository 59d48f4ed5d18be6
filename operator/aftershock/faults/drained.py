"""Nodes without the stack's pods: what `node-drain` and the evacuation of a region share. They differ in how pods leave."""

from collections.abc import Mapping, Sequence
from typing import Any

from aftershock.adapters import kubernetes as k8s
from aftershock.adapters.threads import within
from aftershock.core.lease import Lease
from aftershock.faults import cordon, doors
from aftershock.faults.cluster import HELD, PATIENCE, Tree, ground_of, named, uid_of
from aftershock.faults.fault import Evidence, Site


class DrainedHold:
    """Some nodes, tainted for one lease, which the stack's own pods have to leave."""

    def __init__(self, site: Site, lease: Lease) -> None:
        self.site, self.lease = site, lease
        self.ground = ground_of(site.stack)
        self._nodes: Sequence[str] = ()
        self._gone: dict[str, Tree] = {}
        self._doors: list[doors.Door] = []
        self.settles = 0.0

    def nodes(self) -> Sequence[str]:
        """Return the names of the nodes, as Kubernetes calls them."""
        raise NotImplementedError

    def empty(self, pods: Sequence[Tree]) -> None:
        """Have these pods leave."""
        raise NotImplementedError

    def leaving(self, _pods: Sequence[Tree]) -> float:
        """Return the seconds that these pods may take to leave; none where they are given none."""
        return 0.0

    async def prepare(self) -> None:
        """See which nodes and pods it is about, and that nobody else is hit."""
        pods = await within(PATIENCE, self._look_around)
        self.settles = self.leaving(pods)
        self._doors = await doors.found(pods)

    async def inject(self) -> None:
        """Taint the nodes, then have the stack's pods leave."""
        await within(PATIENCE, self._drain)

    async def observe(self) -> Evidence:
        """Ask the API for the nodes and for what is on them, and knock at the ports of the pods that left."""
        tainted, there = await within(PATIENCE, self._look)
        mine = [door for door in self._doors if door.uid in self._gone]
        open_ = await doors.opening(doors.still(mine, there))
        on_them = [pod for pod in there if pod["spec"].get("nodeName") in self._nodes]
        holds = bool(self._nodes) and len(tainted) == len(self._nodes) and not on_them and not open_
        saw = f"{len(tainted)} of {len(self._nodes)} nodes bear the lease ({', '.join(self._nodes) or 'none matches'})"
        saw += f"; the stack's pods on them: {named(on_them)}; {len(self._gone)} had to leave"
        return Evidence(holds, "the lists of nodes and pods, and a canary", f"{saw}; {doors.told(mine, open_)}")

    async def heal(self) -> None:
        """Take the taints off again; where pods go is the scheduler's affair."""
        await within(PATIENCE, self._untaint)

    async def left(self) -> list[str]:
        """Name the nodes that bear this lease."""
        return [f"the node {node} bears {self.lease.name}" for node in await within(PATIENCE, self._bearing)]

    async def close(self) -> None:
        """Nothing is kept open."""

    def _look_around(self) -> list[Tree]:
        self._nodes = self.nodes()
        if not self.site.collateral:
            cordon.refuse_strangers(self.site.stack, self.ground, self._nodes)
        return self._own()

    def _drain(self) -> None:
        for node in self._nodes:
            cordon.taint(self.ground, node, self.lease)
        pods = self._own()
        self._gone |= {uid_of(pod): pod for pod in pods}
        self.empty(pods)

    def _own(self) -> list[Tree]:
        pods = [pod for node in self._nodes for pod in cordon.pods_on(self.ground.api, node)]
        return cordon.own(self.site.stack, self.ground.namespace, pods)

    def _look(self) -> tuple[list[str], list[Tree]]:
        """Return the nodes that bear the lease, and the stack's pods, in any state and wherever they are."""
        pods = self.ground.api.list(k8s.PODS, self.ground.namespace)
        return self._bearing(), cordon.own(self.site.stack, self.ground.namespace, pods)

    def _bearing(self) -> list[str]:
        nodes = self.ground.api.list(k8s.NODES, labels=HELD)
        return [node["metadata"]["name"] for node in nodes if cordon.lease_at(node) == self.lease.name]

    def _untaint(self) -> None:
        for node in self._bearing():
            cordon.untaint(self.ground.api, node, self.lease.name)


def undo(site: Site, lease: Lease) -> Mapping[str, Any]:
    """Say what takes the fault away again, as data."""
    return {"operation": "remove-taints", "target": site.target, "lease": lease.name}
