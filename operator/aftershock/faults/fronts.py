"""Toxiproxy pods that exist only for a run: in front of the Services that links name.

What is made bears the run's lease, `aftershock.link_<service>.<run>.<expiry>`, and so does the Service whose selector is moved,
in the same change that moves it. Taking away begins with the selector, and goes no further until that is given back: so there
is no moment at which the Service leads to nobody. Where it may be done, and to what, is core's; when, the runtime's.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

import msgspec

from aftershock.adapters import kubernetes as k8s
from aftershock.adapters.kubernetes import Api
from aftershock.core import front
from aftershock.core.front import Wanted
from aftershock.core.lease import Lease, parse
from aftershock.errors import HeldError, InputError, TargetError
from aftershock.faults import front_pod
from aftershock.faults.cluster import HELD, UNMARKED, Ground, Tree, uid_of
from aftershock.faults.created import FAULT, part_of
from aftershock.faults.front_pod import Pod, PodSettings, manifest
from aftershock.faults.workload_hold_down import TRIES, lease_on
from aftershock.model.stack import Link, Stack, ToxiproxyServer

SERVICE = "aftershock.dev/service"
"""Annotation of what stands around a fronted Service: its name."""


def server_name(service: str) -> str:
    """Return what the Toxiproxy in front of a Service is called: no `toxiproxies:` of a Stack can be."""
    return f"before the Service {service}"


def mark(run: str, service: str) -> str:
    """Return the label by which a Toxiproxy pod is chosen, and all that is around a Service for a run is found."""
    return f"{run}.{part_of(service)}"


def service_of(tree: Tree) -> str:
    """Return the fronted Service that an object of ours is about: the one that it names, or itself."""
    return str((tree["metadata"].get("annotations") or {}).get(SERVICE) or tree["metadata"]["name"])


# Putting it there


def look(ground: Ground, service: str, wanted: Sequence[Wanted], run: str, *, collateral: bool) -> Tree:
    """Return the Service if a Toxiproxy can be put in front of it. InputError, HeldError. Nothing is touched."""
    tree = ground.api.find(k8s.SERVICES, service, ground.namespace)
    links = ", ".join(one.link for one in wanted)
    if tree is None:
        raise InputError(
            f"there is no Service {service} in the namespace {ground.namespace}, which the link {links} names",
            "correct `service.name` of the link in the Stack, or make the Service",
        )
    _refuse_held(tree, run)
    if front.FRONT in (tree["spec"].get("selector") or {}) and not lease_on(tree):
        raise HeldError(
            f"the Service {service} leads to a Toxiproxy already, and nobody says whose",
            "`aftershock reap`, or mend it",
        )
    other = ground.api.find(k8s.SERVICES, front.direct(service), ground.namespace)
    if other is not None:
        _refuse_held(other, run)
        if not lease_on(other):
            raise InputError(
                f"there is a Service {front.direct(service)} already, and it is not ours: that is what the way around"
                f" Toxiproxy would be called for the link {links}",
                "rename it, or let the link pass through a Toxiproxy of your own",
            )
    if not lease_on(tree):
        front.check(tree, wanted, collateral=collateral)
    return tree


def _refuse_held(tree: Tree, run: str) -> None:
    said = lease_on(tree)
    lease = parse(said)
    if said and (lease is None or lease.run != run):
        raise HeldError(
            f"another run has put a Toxiproxy in front of the Service {service_of(tree)}: {said}",
            "wait for its end, or `aftershock halt` ends every run and fault",
        )


def surround(ground: Ground, service: Tree, lease: Lease, told: PodSettings) -> str:
    """Make what a fronted Service needs: the Service that leads around, and a Toxiproxy pod. Return the pod's name.

    Twice is once. The first of them is what two runs can't both make: HeldError for the second.
    """
    marks = marks_of(ground, service["metadata"]["name"], lease)
    with suppress(k8s.ConflictError):
        ground.api.create(k8s.SERVICES, front.around(service, marks), ground.namespace)
    leading = ground.api.get(k8s.SERVICES, front.direct(service["metadata"]["name"]), ground.namespace)
    _refuse_held(leading, lease.run)
    name = f"{lease.of('').name}.{part_of(service['metadata']['name'])}"
    pod = manifest(service, leading["spec"]["clusterIP"], name, marks, told)
    with suppress(k8s.ConflictError):
        ground.api.create(k8s.PODS, pod, ground.namespace)
    return name


def marks_of(ground: Ground, service: str, lease: Lease) -> Tree:
    """Return the metadata of what is made for a Service: whose it is, until when, for which stack and Service."""
    marks = ground.marks(lease)
    labels = {**marks["labels"], front.FRONT: mark(lease.run, service)}
    return {"annotations": {**marks["annotations"], SERVICE: service}, "labels": labels}


def move(ground: Ground, service: str, lease: Lease) -> None:
    """Move the Service's selector to the Toxiproxy pod: selector, what it was, and the lease in one change to what was read."""
    for _ in range(TRIES):
        tree = ground.api.get(k8s.SERVICES, service, ground.namespace)
        _refuse_held(tree, lease.run)
        if lease_on(tree):
            return
        leading = ground.api.get(k8s.SERVICES, front.direct(service), ground.namespace)
        if leading["spec"].get("selector") != tree["spec"].get("selector"):
            raise TargetError(
                f"the Service {service} was changed while a Toxiproxy was put in front of it", "run again"
            )
        with suppress(k8s.ConflictError):
            change = front.moved(tree, mark(lease.run, service), ground.marks(lease))
            ground.api.patch(k8s.SERVICES, service, change, ground.namespace)
            return
    raise TargetError(f"the Service {service} changes faster than its selector can be moved", "see who changes it")


def slices(ground: Ground, service: str) -> list[Tree]:
    """Return the EndpointSlices of a Service: where it leads now."""
    return ground.api.list(k8s.ENDPOINT_SLICES, ground.namespace, labels=f"kubernetes.io/service-name={service}")


def pods(ground: Ground, service: str, lease: Lease) -> list[Tree]:
    """Return the pods that stand in front of a Service for a lease."""
    found = ground.api.list(k8s.PODS, ground.namespace, labels=f"{front.FRONT}={mark(lease.run, service)}")
    return [tree for tree in found if lease_on(tree) == lease.name]


# Taking it away


def restore(api: Api, namespace: str, service: str, lease: Lease) -> None:
    """Give the Service its selector back, if it is this lease that holds it. Twice is once."""
    ours = mark(lease.run, service)
    for _ in range(TRIES):
        tree = api.find(k8s.SERVICES, service, namespace)
        if tree is None:
            return
        held = lease_on(tree) == lease.name
        if not held and (tree["spec"].get("selector") or {}).get(front.FRONT) != ours:
            return
        leading = api.find(k8s.SERVICES, front.direct(service), namespace)
        known = leading["spec"].get("selector") if leading is not None and lease_on(leading) == lease.name else None
        change = front.given_back(tree, UNMARKED, known)
        with suppress(k8s.ConflictError, k8s.MissingError):
            api.patch(k8s.SERVICES, service, change, namespace)
            return
    raise TargetError(f"the Service {service} changes faster than it can be given back", "see who changes it")


def clear(api: Api, namespace: str, service: str, lease: Lease) -> None:
    """Delete the pod and the Service that leads around it, if they bear this lease. Only after `restore`. Twice is once."""
    label = f"{front.FRONT}={mark(lease.run, service)}"
    for resource in (k8s.PODS, k8s.SERVICES):
        for tree in api.list(resource, namespace, labels=label):
            if lease_on(tree) == lease.name:
                grace = 0 if resource == k8s.PODS else None
                with suppress(k8s.ConflictError):  # another has its name by now
                    api.delete(resource, tree["metadata"]["name"], namespace, uid=uid_of(tree), grace=grace)


def take_away(api: Api, namespace: str, service: str, lease: Lease) -> None:
    """Give the Service its selector back, then delete what was made for it. Twice is once."""
    restore(api, namespace, service, lease)
    clear(api, namespace, service, lease)


def standing(ground: Ground, run: str) -> list[tuple[str, Lease]]:
    """Return the Services in front of which something of a run's is, each with its lease."""
    found: dict[tuple[str, Lease], None] = {}
    for resource in (k8s.SERVICES, k8s.PODS):
        for tree in ground.api.list(resource, ground.namespace, labels=f"{HELD}={run}"):
            lease = parse(lease_on(tree))
            if lease is not None and lease.fault == FAULT and lease.run == run:
                found[service_of(tree), lease] = None
    return list(found)


def remove(stack: Stack, ground: Ground, run: str) -> None:
    """Take away all that a run has put in front of the stack's Services, whatever its expiry. Twice is once."""
    if front.services(stack):
        for service, lease in standing(ground, run):
            take_away(ground.api, ground.namespace, service, lease)


def astray(held: Iterable[Tree], now: float) -> set[str]:
    """Return the uids of the Services, among what is held, that lead to nobody: their Toxiproxy pod is lost, or somebody
    has put the old selector beside ours.

    Nobody starts such a pod again, and a selector is moved only to a pod that is ready: so there is nothing to wait for.
    """
    trees = list(held)
    alive = {_label(tree) for tree in trees if "containers" in tree["spec"] and not front_pod.lost(tree, now)}
    led = [(tree, tree["spec"].get("selector") or {}) for tree in trees]
    return {
        uid_of(tree)
        for tree, selector in led
        if front.FRONT in selector and (len(selector) > 1 or selector[front.FRONT] not in alive)
    }


def _label(tree: Tree) -> str:
    return str((tree["metadata"].get("labels") or {}).get(front.FRONT, ""))


# What the faults see


class Entrance(msgspec.Struct, frozen=True):
    """A fronted Service: its pod, and for each of its ports where a client enters it and which proxy carries it."""

    service: str
    pod: Pod
    ports: Mapping[int, tuple[str, str]]


def resolved(stack: Stack, entrances: Sequence[Entrance]) -> Stack:
    """Return the stack with the links before Services as links through the Toxiproxies that stand there now.

    Such a link has a proxy and says with `listen` where clients enter it: at the Service.
    """
    by_service = {one.service: one for one in entrances}
    servers = [ToxiproxyServer(name=server_name(one.service), url=one.pod.url) for one in entrances]
    links = [_resolved(link, by_service) for link in stack.spec.links]
    spec = msgspec.structs.replace(stack.spec, toxiproxies=[*stack.spec.toxiproxies, *servers], links=links)
    return msgspec.structs.replace(stack, spec=spec)


def _resolved(link: Link, entrances: Mapping[str, Entrance]) -> Link:
    if link.service is None or link.service.name not in entrances:
        return link
    proxy, entered = entrances[link.service.name].ports[link.service.port]
    through = server_name(link.service.name)
    return msgspec.structs.replace(link, toxiproxy=through, proxy=proxy, listen=entered, service=None)
