"""A region is cut off by NetworkPolicies that let nothing in or out of the stack's pods there, named by the lease.

Whether they do anything is up to the cluster's network: many let everything through all the same. So it is only seen where
two canaries agree. The one outside got through to the pods before and doesn't any more; the one inside is the kubelet of
their own node, which no policy keeps out and which says that they still run: cut off, and not dead.
"""

from contextlib import suppress

from aftershock.adapters import kubernetes as k8s
from aftershock.adapters.threads import within
from aftershock.core.lease import Lease
from aftershock.errors import InputError
from aftershock.faults import doors
from aftershock.faults.cluster import HELD, PATIENCE, Tree, ground_of, labels_of, named, refuse_collateral, uid_of
from aftershock.faults.created import part_of
from aftershock.faults.fault import Evidence, Site
from aftershock.faults.regions import workloads_in
from aftershock.model.stack import Workload


class IsolationHold:
    """The pods of one region, cut off for one lease."""

    def __init__(self, site: Site, lease: Lease) -> None:
        self.site, self.lease = site, lease
        self.ground = ground_of(site.stack)
        self.workloads = workloads_in(site)
        if not self.workloads:
            raise InputError(
                f"no workload of the stack is in the region {site.target} with a `selector:`: no policy could choose pods",
                "give the workloads of the region `region:` and `selector:` in the Stack, or lose it `by: links`",
            )
        self._doors: list[doors.Door] = []

    async def prepare(self) -> None:
        """Look at the region's pods, and find the ports at which they can be reached."""
        self._doors = await doors.found(await within(PATIENCE, self._look_around))

    async def inject(self) -> None:
        """Put a policy there for each workload. Twice is once."""
        await within(PATIENCE, self._cut)

    async def observe(self) -> Evidence:
        """Ask for the policies and the pods, and knock at every port that was open before."""
        policies, pods = await within(PATIENCE, self._look)
        there = {uid_of(pod) for pod in pods if _running(pod)}
        mine = [door for door in doors.still(self._doors, pods) if door.uid in there]
        open_ = await doors.opening(mine)
        holds = len(policies) == len(self.workloads) and bool(mine) and not open_
        saw = f"{len(policies)} of {len(self.workloads)} policies are there; {self._outside(mine, open_)}"
        saw += f"; inside, the kubelet says that {named(pod for pod in pods if _running(pod))} run"
        return Evidence(holds, "a canary outside, and the kubelet inside", saw)

    async def heal(self) -> None:
        """Take the policies away."""
        await within(PATIENCE, self._mend)

    async def left(self) -> list[str]:
        """Name the policies that are there."""
        return [f"the NetworkPolicy {policy['metadata']['name']}" for policy in await within(PATIENCE, self._policies)]

    async def close(self) -> None:
        """Nothing is kept open."""

    def _look_around(self) -> list[Tree]:
        pods: dict[str, Tree] = {}
        for workload in self.workloads:
            found = self.ground.pods(labels_of(workload))
            if not self.site.collateral:
                refuse_collateral(workload, found)
            pods |= {uid_of(pod): pod for pod in found}
        return list(pods.values())

    def _look(self) -> tuple[list[Tree], list[Tree]]:
        pods = {uid_of(pod): pod for workload in self.workloads for pod in self.ground.pods(labels_of(workload))}
        return self._policies(), list(pods.values())

    def _policies(self) -> list[Tree]:
        """Return the policies of this lease for this region: two regions may be lost by one run at once."""
        names = {self._name(workload) for workload in self.workloads}
        found = self.ground.api.list(k8s.NETWORK_POLICIES, self.ground.namespace, labels=HELD)
        return [policy for policy in found if policy["metadata"]["name"] in names]

    def _cut(self) -> None:
        for workload in self.workloads:
            with suppress(k8s.ConflictError):  # it is there already
                self.ground.api.create(k8s.NETWORK_POLICIES, self._policy(workload), self.ground.namespace)

    def _mend(self) -> None:
        for workload in self.workloads:
            self.ground.api.delete(k8s.NETWORK_POLICIES, self._name(workload), self.ground.namespace)

    def _name(self, workload: Workload) -> str:
        return f"{self.lease.name}.{part_of(workload.name)}"

    def _policy(self, workload: Workload) -> Tree:
        return {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": self._name(workload), **self.ground.marks(self.lease)},
            "spec": {"podSelector": {"matchLabels": dict(labels_of(workload))}, "policyTypes": ["Ingress", "Egress"]},
        }

    def _outside(self, mine: list[doors.Door], open_: list[doors.Door]) -> str:
        if not self._doors:
            return "no canary outside could reach the pods before, so nothing can show that they are cut off"
        if not mine:
            return "none of the pods that a canary could reach before is there any more"
        return f"outside, {doors.told(mine, open_)}"


def _running(pod: Tree) -> bool:
    return (pod.get("status") or {}).get("phase") == "Running"
