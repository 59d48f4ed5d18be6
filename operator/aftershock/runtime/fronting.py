"""Puts Toxiproxies in front of the Services that a stack's links name, before the baseline, and takes them away at the end.

All of them are looked at before anything is made, and each is on record before it is touched. The selector is moved last: to a
pod that is ready, and through which somebody gets to the pods behind. Connections that were open before stay what they are.
"""

import asyncio
import math
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from aftershock.adapters import canary
from aftershock.adapters import kubernetes as k8s
from aftershock.adapters.canary import Line
from aftershock.adapters.threads import within
from aftershock.core import front
from aftershock.core.history import Aborting, Any_, Fronting, Noted
from aftershock.core.lease import GRACE, Lease
from aftershock.core.wording import authority
from aftershock.errors import AftershockError, TargetError
from aftershock.faults import front_pod, fronts
from aftershock.faults.cluster import HELD, PATIENCE, Ground, Tree, ground_of
from aftershock.faults.created import FAULT, part_of
from aftershock.faults.front_pod import Pod
from aftershock.faults.fronts import Entrance
from aftershock.runtime import front_place
from aftershock.runtime.clock import RunClock

if TYPE_CHECKING:
    from aftershock.runtime.executor import Inputs

STARTING = 60.0
"""Seconds that a Toxiproxy pod may take to be ready: its image may have to be fetched."""

MOVING = 20.0
"""Seconds that the cluster may take to let a Service lead where its selector says."""

SPREAD = 1.0
"""Seconds from then until the nodes know it too; nobody can be asked for that. kube-proxy writes its rules once a second."""

THROUGH = 10.0
"""Seconds in which somebody has to get through a Toxiproxy that is ready."""

AGAIN = 0.2
IN_A_POD = "KUBERNETES_SERVICE_HOST"
"""Environment variable that every pod has."""

GUARDING = 2.0
"""Seconds between two looks whether they still stand."""


class Task(msgspec.Struct, frozen=True):
    """What there is to do at one Service."""

    ground: Ground
    service: Tree
    wanted: list[front.Wanted]
    lease: Lease

    @property
    def name(self) -> str:
        """The Service's name."""
        return str(self.service["metadata"]["name"])


async def stand(
    inputs: "Inputs", record: Callable[..., None], clock: RunClock, stop: asyncio.Event, cleanup: float
) -> "Inputs":
    """Put a Toxiproxy in front of every Service of which a link may be hit; return the inputs with such links as they now are.

    `cleanup`: seconds beyond the run's planned end for which the leases last. Whatever it raises, `remove` takes away.
    """
    tasks = await _tasks(inputs, cleanup)
    if not tasks:
        return inputs
    told = front_pod.pod_settings()
    for task in tasks:
        record(_intent(task, clock), durable=True)
    there = await _all(_stand(task, told, inputs, stop) for task in tasks)
    for entrance in there:
        record(Noted(at=clock.now(), text=_untouched(entrance)))
    stack = fronts.resolved(inputs.stack, there)
    sites = [replace(one, site=replace(one.site, stack=stack)) for one in inputs.injections]
    return replace(inputs, injections=sites)


async def _all(work: Iterable[Awaitable[Entrance | None]]) -> list[Entrance]:
    """Do all at once, and none is under way any more when one has failed: what it made is about to be taken away."""
    done = await asyncio.gather(*work, return_exceptions=True)
    for one in done:
        if isinstance(one, BaseException):
            raise one
    return [one for one in done if isinstance(one, Entrance)]


async def _tasks(inputs: "Inputs", cleanup: float) -> list[Task]:
    services = front.concerned(inputs.stack, inputs.plan.steps)
    if not services:
        return []
    ground = ground_of(inputs.stack)
    allowed = inputs.stack.spec.allow.collateral and inputs.experiment.spec.allow.collateral
    now = await within(PATIENCE, ground.api.now)
    expires = math.ceil(now + STARTING + MOVING + inputs.plan.longest + cleanup + GRACE)
    return [
        Task(
            ground,
            await within(PATIENCE, fronts.look, ground, name, wanted, inputs.token, collateral=allowed),
            wanted,
            Lease(FAULT, inputs.token, expires, part=part_of(name)),
        )
        for name, wanted in services.items()
    ]


def _intent(task: Task, clock: RunClock) -> Any_:
    undo = {"operation": "restore-selector", "service": task.name, "lease": task.lease.name}
    return Fronting(
        at=clock.now(),
        service=task.name,
        links=[one.link for one in task.wanted],
        lease=task.lease.name,
        expires=task.lease.expires,
        undo=undo,
    )


def _untouched(entrance: Entrance) -> str:
    entered = sorted({where for _, where in entrance.ports.values()})
    return (
        f"the Service {entrance.service} leads through Toxiproxy (pod {entrance.pod.name}) until the run ends. Connections that"
        " were open before go past it: no fault of this run touches them, and nothing here speaks of them. Those opened"
        f" meanwhile are closed when it is taken away. Canaries enter at {', '.join(entered)}"
    )


async def _stand(task: Task, told: front_pod.PodSettings, inputs: "Inputs", stop: asyncio.Event) -> Entrance | None:
    """Do one Service; None where the run is to end before it was moved."""
    name = await within(PATIENCE, fronts.surround, task.ground, task.service, task.lease, told)
    pod = await _ready(task, name, stop)
    if pod is None:
        return None
    front_place.remember(inputs.folder, task.name, pod)
    for one in task.wanted:
        await _through(task, pod, one)
    if stop.is_set():
        return None
    await within(PATIENCE, fronts.move, task.ground, task.name, task.lease)
    await _leads(task, pod, stop)
    return Entrance(task.name, pod, await _ports(task, pod))


async def _ready(task: Task, name: str, stop: asyncio.Event) -> Pod | None:
    """Wait until the pod takes connections. TargetError with what its status says if it doesn't in time."""
    end = time.monotonic() + STARTING
    while not stop.is_set():
        tree = await within(PATIENCE, task.ground.api.get, k8s.PODS, name, task.ground.namespace)
        pod = front_pod.pod_of(tree) if front_pod.ready(tree) else None
        if pod is not None:
            return pod
        if time.monotonic() > end:
            raise TargetError(
                f"the Toxiproxy pod for the Service {task.name} was not ready within {STARTING:g} s: "
                f"{front_pod.waiting(tree)}",
                f"`kubectl describe pod {name}` says more; the image is said by the chart's `toxiproxy.image`, or by"
                f" {front_pod.SETTINGS}",
            )
        await asyncio.sleep(AGAIN)
    return None


async def _through(task: Task, pod: Pod, wanted: front.Wanted) -> None:
    """See that a client gets through the pod to those behind it, before anybody is led there."""
    passage = _passage(task, wanted.port)
    end = time.monotonic() + THROUGH
    while True:
        seen = await canary.stay(Line(pod.host, passage.listen))
        if seen.end in {"answered", "silent"} and await _connects(pod, passage):
            return
        if time.monotonic() > end:
            break
        await asyncio.sleep(AGAIN)
    if seen.end in {"closed", "reset"}:
        raise TargetError(
            f"through the Toxiproxy pod for the Service {task.name} nobody gets to its port {wanted.port}: connections end at"
            " once",
            f"see whether it has pods that are ready (`kubectl get endpointslices -l kubernetes.io/service-name={task.name}`),"
            " and whether a NetworkPolicy lets pods with the label app.kubernetes.io/part-of=aftershock through to them",
        )
    raise TargetError(
        f"the Toxiproxy pod for the Service {task.name}, {pod.name} at {pod.host}, can't be reached from here",
        "carry the run out in the cluster (`kubectl aftershock run`, or apply the Experiment), or from where pods can be"
        " reached; see NetworkPolicies",
    )


async def _connects(pod: Pod, passage: front.Passage) -> bool:
    """A connection attempt that nobody answers is silent too: that is no way through."""
    return (await canary.knock(Line(pod.host, passage.listen))).end == "answered"


async def _leads(task: Task, pod: Pod, stop: asyncio.Event) -> None:
    """Wait until the Service leads to the pod and nowhere else."""
    end = time.monotonic() + MOVING
    while front.led_to(await within(PATIENCE, fronts.slices, task.ground, task.name)) != {pod.uid}:
        if time.monotonic() > end:
            raise TargetError(
                f"the Service {task.name} does not lead to the Toxiproxy pod {pod.name} alone, {MOVING:g} s after its selector"
                " was moved",
                f"see `kubectl get endpointslices -l kubernetes.io/service-name={task.name}`",
            )
        if stop.is_set():
            return
        await asyncio.sleep(AGAIN)
    await asyncio.sleep(SPREAD)


async def _ports(task: Task, pod: Pod) -> Mapping[int, tuple[str, str]]:
    """Return each wanted port's proxy, and where canaries enter: at the Service, or if that can't be from here at the pod.

    Outside the cluster a Service's address leads nowhere, or to somebody else who answers, so nobody knocks there.
    """
    found = {}
    host = str(task.service["spec"].get("clusterIP"))
    for one in task.wanted:
        passage = _passage(task, one.port)
        at_service = IN_A_POD in os.environ and (await canary.knock(Line(host, one.port))).end == "answered"
        where = (host, one.port) if at_service else (pod.host, passage.listen)
        found[one.port] = (passage.proxy, authority(*where))
    return found


def _passage(task: Task, port: int) -> front.Passage:
    return next(one for one in front.passages(task.service["spec"]) if port in one.ports)


async def guard(inputs: "Inputs", clock: RunClock, abort: Callable[[Aborting], None]) -> None:
    """Abort the run once a Toxiproxy of its is lost: what clients see from then on is no fault of the timeline.

    Whoever can't tell, as the API is away, goes on. Ends only by being cancelled.
    """
    ground = ground_of(inputs.stack)
    while front.concerned(inputs.stack, inputs.plan.steps):
        await asyncio.sleep(GUARDING)
        with suppress(AftershockError):
            if gone := await within(PATIENCE, _unguarded, inputs, ground):
                abort(Aborting(at=clock.now(), reason="TargetLost", message="; ".join(map(_lost, gone))))
                await remove(inputs)  # at once: healing what was held there may take as long as its lease


def _unguarded(inputs: "Inputs", ground: Ground) -> list[str]:
    """Return the Services that the run has moved and that lead to a Toxiproxy no more, or to one that is lost."""
    now = ground.api.now()
    label = f"{HELD}={inputs.token}"
    pods = {fronts.service_of(pod): pod for pod in ground.api.list(k8s.PODS, ground.namespace, labels=label)}
    led = {
        tree["metadata"]["name"]
        for tree in ground.api.list(k8s.SERVICES, ground.namespace, labels=label)
        if (tree["spec"].get("selector") or {}).keys() == {front.FRONT}
    }
    names = front.concerned(inputs.stack, inputs.plan.steps)
    sound = {name for name, pod in pods.items() if not front_pod.lost(pod, now) and not front_pod.restarted(pod)}
    return [name for name in names if name not in led & sound]


def _lost(service: str) -> str:
    return (
        f"the Service {service} does not lead through this run's Toxiproxy any more: its pod is lost (evicted, deleted, or its"
        " node is) or was started anew, or somebody else has changed the Service"
    )


# The end


async def remove(inputs: "Inputs") -> None:
    """Take it all away again: selectors first, and the pods only once nobody is led to them any more. Twice is once."""
    if not front.services(inputs.stack):
        return
    ground = ground_of(inputs.stack)
    standing = await within(PATIENCE, fronts.standing, ground, inputs.token)
    removing = (_remove(ground, inputs.folder, service, lease) for service, lease in standing)
    for one in await asyncio.gather(*removing, return_exceptions=True):  # one that fails keeps no other
        if isinstance(one, BaseException):
            raise one


async def _remove(ground: Ground, folder: Path, service: str, lease: Lease) -> None:
    await within(PATIENCE, fronts.restore, ground.api, ground.namespace, service, lease)
    with suppress(AftershockError):  # whoever can't tell waits no longer for it
        await _left_by(ground, service, lease)
    await within(PATIENCE, fronts.clear, ground.api, ground.namespace, service, lease)
    front_place.forget(folder, service)


async def _left_by(ground: Ground, service: str, lease: Lease) -> None:
    """Wait until the Service leads past Toxiproxy again, so that no new connection meets a pod that is just going."""
    pods = await within(PATIENCE, fronts.pods, ground, service, lease)
    uids = {str(pod["metadata"]["uid"]) for pod in pods if front_pod.ready(pod)}
    if not uids:
        return
    end = time.monotonic() + MOVING / 4
    while time.monotonic() < end:
        if not front.led_to(await within(PATIENCE, fronts.slices, ground, service)) & uids:
            break
        await asyncio.sleep(AGAIN)
    await asyncio.sleep(SPREAD)
