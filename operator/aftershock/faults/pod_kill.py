"""`pod-kill`: pods of a workload are deleted without grace; whoever keeps them starts others.

Which ones is drawn by lot from the lease's name. It is seen when exactly those pods are gone from the API *and* no canary
that reached their ports before is let in any more: the API forgets a pod before its processes end. There is nothing to heal,
and nothing is left: what recovers is the workload, by itself.
"""

import math
from collections.abc import Mapping
from random import Random
from typing import Any, ClassVar

from aftershock.adapters import kubernetes as k8s
from aftershock.adapters.threads import within
from aftershock.core.lease import Lease
from aftershock.faults import doors
from aftershock.faults.cluster import (
    PATIENCE,
    Tree,
    chosen,
    clock,
    ground_of,
    labels_of,
    named,
    refuse_collateral,
    text_of,
    uid_of,
)
from aftershock.faults.fault import Evidence, Fault, Parameters, Site
from aftershock.model.rules import cel
from aftershock.model.rules.making import Cel
from aftershock.model.units import Percentage


class PodKill(Parameters, frozen=True, kw_only=True):
    """`count` pods, or `percent` of those that there are, rounded up. One, unless something is said."""

    count: int | None = None
    percent: Percentage | None = None

    told: ClassVar[tuple[Cel, ...]] = (
        Cel("!has(self.percent) || !has(self.count)", "percent: leave it out, or `count`"),
        Cel("!has(self.count) || self.count >= 1", "count: 1 or more"),
        Cel(f"!has(self.percent) || {cel.percentage('self.percent')} > 0.0", "percent: more than 0% and at most 100%"),
    )

    def __post_init__(self) -> None:
        if self.count is not None and self.percent is not None:
            raise ValueError("percent: leave it out, or `count`")
        if self.count is not None and self.count < 1:
            raise ValueError("count: 1 or more")
        if self.percent is not None and not 0 < self.percent <= 1:
            raise ValueError("percent: more than 0% and at most 100%")

    def of(self, there: int) -> int:
        """Return how many of the pods that are there are meant."""
        if self.percent is not None:
            return math.ceil(there * float(self.percent) - 1e-9)
        return min(there, self.count or 1)


class PodKillHold:
    """Some pods of one workload, killed under one lease."""

    def __init__(self, site: Site, lease: Lease, wanted: PodKill) -> None:
        self.site, self.lease, self.wanted = site, lease, wanted
        self.workload = chosen(site)
        self.ground = ground_of(site.stack)
        self._doors: list[doors.Door] = []
        self._killed: dict[str, Tree] = {}
        self._injected = self._healed = False

    async def prepare(self) -> None:
        """Look at the pods, and find the ports at which they can be reached."""
        pods = await within(PATIENCE, self._pods)
        if not self.site.collateral:
            refuse_collateral(self.workload, pods)
        self._doors = await doors.found(pods)

    async def inject(self) -> None:
        """Kill them. Called twice, it kills no more."""
        if not self._injected:
            self._injected = True
            await within(PATIENCE, self._kill)

    async def observe(self) -> Evidence:
        """Ask the API for every pod of the namespace, and knock at the ports of those that were killed."""
        there = await within(PATIENCE, self.ground.api.list, k8s.PODS, self.ground.namespace)
        mine = [door for door in self._doors if door.uid in self._killed]
        open_ = await doors.opening(doors.still(mine, there))
        left = [pod for pod in there if uid_of(pod) in self._killed]
        saw = f"{self._said(left)}; {doors.told(mine, open_)}" if self._killed else self._unharmed(there)
        holds = bool(self._killed) and not left and not open_ and not self._healed
        return Evidence(holds, "the list of all pods, and a canary at the ports of the killed ones", saw)

    async def heal(self) -> None:
        """Nothing can be healed: killed is killed."""
        self._healed = True

    async def left(self) -> list[str]:
        """Nothing is ever left."""
        return []

    async def close(self) -> None:
        """Nothing is kept open."""

    def _pods(self) -> list[Tree]:
        return self.ground.pods(labels_of(self.workload))

    def _kill(self) -> None:
        pods = sorted(self._pods(), key=lambda pod: str(pod["metadata"]["name"]))
        if not self.site.collateral:
            refuse_collateral(self.workload, pods)
        for pod in Random(self.lease.name).sample(pods, self.wanted.of(len(pods))):  # noqa: S311 - a lot that can be drawn again
            try:
                self.ground.api.delete(
                    k8s.PODS, pod["metadata"]["name"], self.ground.namespace, uid=uid_of(pod), grace=0
                )
            except k8s.ConflictError:
                continue  # another bears its name by now: that one was not meant
            self._killed[uid_of(pod)] = pod

    def _said(self, left: list[Tree]) -> str:
        gone = len(self._killed) - len(left)
        return f"{gone} of the {len(self._killed)} killed pods are gone ({named(self._killed.values())})"

    def _unharmed(self, there: list[Tree]) -> str:
        wanted = labels_of(self.workload).items()
        matching = [pod for pod in there if wanted <= (pod["metadata"].get("labels") or {}).items()]
        return f"the selector {text_of(labels_of(self.workload))} matches {len(matching) or 'no'} pods; none was killed"


def undo(site: Site, lease: Lease) -> Mapping[str, Any]:
    """Say that nothing takes it back."""
    return {"operation": "none", "workload": site.target, "lease": lease.name}


POD_KILL = Fault(
    name="pod-kill",
    summary="Pods of a workload are deleted without grace.",
    target="workload",
    parameters=PodKill,
    hold=PodKillHold,
    clock=clock,
    undo=undo,
    alone=lambda site, _: (f"the pods of {site.target}",),
)
