"""A region is evacuated: its nodes take no new pods, and the stack's own there are deleted without grace.

Where pods go then is up to the scheduler, at once: no failure has to be detected first. So it proves that there is room
elsewhere, and not how long a loss takes to be noticed: the recovery time of a real loss stays unknown.
"""

from collections.abc import Sequence

from aftershock.adapters import kubernetes as k8s
from aftershock.core.lease import Lease
from aftershock.errors import InputError
from aftershock.faults import cordon
from aftershock.faults.cluster import Tree, uid_of
from aftershock.faults.drained import DrainedHold
from aftershock.faults.fault import Evidence, Site
from aftershock.faults.regions import region_of

UNKNOWN = "evacuation skips the detection of the failure: it proves capacity, and the RTO of a real loss stays unknown"


class EvacuationHold(DrainedHold):
    """One region, evacuated for one lease."""

    def __init__(self, site: Site, lease: Lease) -> None:
        super().__init__(site, lease)
        region = region_of(site)
        if region is None or not region.nodes:
            raise InputError(
                f"the stack doesn't say which nodes are in the region {site.target}, so it can't be evacuated",
                f"add `regions: [{{name: {site.target}, nodes: {{topology.kubernetes.io/region: …}}}}]` to it",
            )
        self._labels = region.nodes

    def nodes(self) -> Sequence[str]:
        """Return the names of the region's nodes."""
        return cordon.nodes_with(self.ground.api, self._labels)

    def empty(self, pods: Sequence[Tree]) -> None:
        """Delete them without grace, as a node that is lost takes its pods with it."""
        for pod in pods:
            try:
                self.ground.api.delete(
                    k8s.PODS, pod["metadata"]["name"], pod["metadata"]["namespace"], uid=uid_of(pod), grace=0
                )
            except k8s.ConflictError:
                continue  # another bears its name by now

    async def observe(self) -> Evidence:
        """Say with each look what this way can't show."""
        seen = await super().observe()
        return Evidence(seen.holds, seen.observer, f"{seen.saw}; {UNKNOWN}")
