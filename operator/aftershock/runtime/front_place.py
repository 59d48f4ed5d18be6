"""The Toxiproxy in front of a Service as a place: toxics of ours in a pod that a run has put there.

Toxics don't lie in the Kubernetes API and end while it is away: where the pod is stands in the stack's folder, and the API is
only asked where nothing stands there, or where nobody answers. A Toxiproxy that can't be healed is taken away as a whole.
"""

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from aftershock.adapters import kubernetes as k8s
from aftershock.adapters import lastseen
from aftershock.adapters.durable import write
from aftershock.adapters.threads import within
from aftershock.adapters.toxiproxy import Server
from aftershock.core.lease import Lease, parse
from aftershock.errors import AftershockError, TargetError, WedgedError
from aftershock.faults import front_pod, fronts
from aftershock.faults.cluster import ground_of, runs, uid_of
from aftershock.faults.front_pod import Pod
from aftershock.faults.workload_hold_down import lease_on
from aftershock.model.stack import Stack, ToxiproxyServer
from aftershock.runtime import kubernetes_place
from aftershock.runtime.place import HEAL, LOOK, Looked, Trace
from aftershock.runtime.toxiproxy_place import ToxiproxyPlace

FOLDER = "fronts"
T = TypeVar("T")


class FrontPlace:
    """What is held in the Toxiproxy that stands in front of one Service, if one does."""

    def __init__(self, stack: Stack, service: str, folder: Path) -> None:
        self.name = f"Toxiproxy {fronts.server_name(service)}"
        self._stack, self._service, self._folder = stack, service, folder
        self._there: ToxiproxyPlace | None = None
        self.costly = False
        """Once the API had to be asked: that costs more than a look at a pod."""

    async def look(self) -> Looked:
        """Read its toxics by its own clock. Nothing where no Toxiproxy stands there."""
        place = await within(LOOK, self._find)
        looked = None if place is None else await self._unless_gone(place.look())
        return looked or Looked(time.time(), [])

    async def heal(self, traces: list[Trace]) -> list[str]:
        """Remove the toxics."""
        done = [] if self._there is None else await self._unless_gone(self._there.heal(traces))
        return [f"{trace.what}, with its pod" for trace in traces] if done is None else done

    async def repair(self, due: Callable[[Lease, float], bool]) -> list[str]:
        """Take the Toxiproxy away and give the Service its selector back, if it was last seen with something that is due."""
        return await within(HEAL, self._repair, due)

    def close(self) -> None:
        """Let go of connections."""
        if self._there is not None:
            self._there.close()

    async def _unless_gone(self, work: Awaitable[T]) -> T | None:
        """Do it; None where it fails as the pod has just been taken away: the Kubernetes API is healed beside this place."""
        try:
            return await work
        except AftershockError:
            if await within(LOOK, self._find) is None:
                return None
            raise

    def _find(self) -> ToxiproxyPlace | None:
        known = recall(self._folder, self._service)
        if known is not None and self._is_it(known):
            return self._at(known)
        self.costly = True
        try:
            pod = self._listed()
        except AftershockError:
            if known is None:
                return None  # nothing is known to be there; that the API can't be asked, its own place says
            raise
        if pod is None or known is None or known.uid != pod.uid:
            forget(self._folder, self._service)
        if pod is None:
            return None
        if not self._is_it(pod):
            if self._is_gone(pod):
                forget(self._folder, self._service)
                return None
            self._give_up(pod)
        remember(self._folder, self._service, pod)
        return self._at(pod)

    def _at(self, pod: Pod) -> ToxiproxyPlace:
        self.close()
        self._there = ToxiproxyPlace(ToxiproxyServer(name=self._server, url=pod.url), self._folder)
        return self._there

    def _is_it(self, pod: Pod) -> bool:
        """Tell whether the pod's own Toxiproxy answers where it was: another pod may have got its address."""
        with suppress(AftershockError), Server(self._server, pod.url) as server:
            there = {proxy.name: proxy.upstream for proxy in server.proxies().values()}
            return there == dict(pod.proxies)
        return False

    def _listed(self) -> Pod | None:
        """Return the pod that the API has; what is about to be deleted or is not ready yet holds nothing."""
        ground = ground_of(self._stack, hurried=True)
        held = kubernetes_place.read(ground, self._stack).held
        pods = [tree for resource, tree in held if resource == k8s.PODS and parse(lease_on(tree))]
        mine = [tree for tree in pods if fronts.service_of(tree) == self._service and runs(tree)]
        return next((front_pod.pod_of(tree) for tree in mine if front_pod.ready(tree)), None)

    def _is_gone(self, pod: Pod) -> bool:
        """Ask for the one pod: what was read of the namespace may be a moment old."""
        ground = ground_of(self._stack, hurried=True)
        tree = ground.api.find(k8s.PODS, pod.name, ground.namespace)
        return tree is None or uid_of(tree) != pod.uid or not runs(tree)

    def _give_up(self, pod: Pod) -> None:
        """A pod that is ready and doesn't answer here: bad only if something of ours was seen there."""
        problem = f"{self.name} at {pod.url} does not answer as the one that was put there"
        if self._leases():
            raise WedgedError(problem, "it is taken away once something of ours there is past its lease")
        raise TargetError(problem, "see whether pods can be reached from here")

    @property
    def _server(self) -> str:
        return fronts.server_name(self._service)

    def _leases(self) -> list[Lease]:
        """Return what of ours was last seen there."""
        held = lastseen.recall(self._folder, self._server)
        return [lease for proxy in held.values() for toxic in proxy.toxics if (lease := parse(toxic.name))]

    def _repair(self, due: Callable[[Lease, float], bool]) -> list[str]:
        leases = self._leases()
        if not any(due(lease, time.time()) for lease in leases):
            raise TargetError(
                f"{self.name} can't be healed, but nothing of ours that is past its lease was last seen there",
                "wait for the end of the run that put it there, or `aftershock halt`",
            )
        ground = ground_of(self._stack)
        for run in {lease.run for lease in leases}:
            for service, lease in fronts.standing(ground, run):
                if service == self._service:
                    fronts.take_away(ground.api, ground.namespace, service, lease)
        forget(self._folder, self._service)
        return [f"{self.name} could not be healed: it was taken away, and the Service {self._service} is as it was"]


def remember(folder: Path, service: str, pod: Pod) -> None:
    """Write down where the Toxiproxy of a Service is, if that is news. Not being able to stops nothing."""
    if recall(folder, service) != pod:
        forget(folder, service)
        with suppress(OSError):
            write(_path(folder, service), msgspec.json.encode(pod))


def recall(folder: Path, service: str) -> Pod | None:
    """Return where the Toxiproxy of a Service was last known to be; None if that is not known."""
    try:
        return msgspec.json.decode(_path(folder, service).read_bytes(), type=Pod)
    except (OSError, msgspec.DecodeError):
        return None


def forget(folder: Path, service: str) -> None:
    """Drop what is known of a Toxiproxy that is gone, and what it held."""
    lastseen.forget(folder, fronts.server_name(service))
    with suppress(OSError):
        _path(folder, service).unlink(missing_ok=True)


def _path(folder: Path, service: str) -> Path:
    return folder / FOLDER / f"{service}.json"
