"""A Toxiproxy in front of a Kubernetes Service: what may be fronted, by what, and how the Service is given back.

The Service keeps its name, address and ports; its selector alone is moved to the Toxiproxy pod, which listens on the Service's
target ports and leads to a second Service, `<name>-direct`, with the old selector. Pure: objects of the API come as trees.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from aftershock.core.lease import LONGEST
from aftershock.core.plan import Step
from aftershock.core.wording import authority
from aftershock.errors import InputError, TargetError
from aftershock.model.stack import Link, Stack

Tree = Mapping[str, Any]
FRONT = "aftershock.dev/front"
"""Label of a Toxiproxy pod and of what leads around it, and the key that the Service's selector is moved to."""

SELECTOR = "aftershock.dev/selector"
"""Annotation of a fronted Service: the selector that it had, as JSON."""

DEPENDENCY_SLOW = "dependency-slow"
"""The fault that hits every link to its target."""

SPLIT_BRAIN = "split-brain"
"""The fault that hits every link between two regions."""

SUFFIX = "-direct"
API = "aftershock-api"
"""What the port of Toxiproxy's own API is called in its pod."""

API_PORT = 8474
"""Where Toxiproxy's own API listens. It asks nobody who he is: the chart's NetworkPolicy lets executors and reaper in alone."""

FIRST_PORT = 20000
"""Where Toxiproxy listens for target ports that have names; they are looked for by name, so any number will do."""

LOWEST = 1024
"""Ports below are for root, unless a pod says otherwise."""


class Wanted(msgspec.Struct, frozen=True):
    """A link that leads to a port of a Service."""

    link: str
    port: int


class Passage(msgspec.Struct, frozen=True):
    """One proxy: it listens at `listen`, where the Service's target port leads, and leads on to `port` of `<name>-direct`.

    `named` is the target port's name, empty where that is a number. `ports` of the Service all lead to this target port.
    """

    proxy: str
    listen: int
    named: str
    ports: tuple[int, ...]

    @property
    def port(self) -> int:
        """The port of `<name>-direct` that it leads to: they all lead to the same."""
        return self.ports[0]


def services(stack: Stack) -> dict[str, list[Wanted]]:
    """Return the Services that links of the stack name, each with those links."""
    found: dict[str, list[Wanted]] = {}
    for link in stack.spec.links:
        if link.service is not None:
            found.setdefault(link.service.name, []).append(Wanted(link.name, link.service.port))
    return found


def concerned(stack: Stack, steps: Sequence[Step]) -> dict[str, list[Wanted]]:
    """Return the Services of which a run may hit a link: only they have a Toxiproxy put in front of them."""
    hit = {name for step in steps for name in (step.target, *_hit(stack, step))}
    return {name: links for name, links in services(stack).items() if any(one.link in hit for one in links)}


def _hit(stack: Stack, step: Step) -> list[str]:
    """Return the links that a fault hits whose target is something else: a region, or a part that they have an end at."""
    if step.fault == DEPENDENCY_SLOW:
        return [link.name for link in links_to(stack, step.target)]
    if step.fault == SPLIT_BRAIN:
        return [link.name for link in links_between(stack, step.target, str(step.parameters.get("from")))]
    match step.parameters.get("by"):
        case "links":
            return [link.name for link in links_in(stack, step.target)]
        case "partition":
            return [link.name for part in servers_of(stack, step.target) for link in links_at(stack, part)]
        case "link":
            return [link.name for link in links_at(stack, step.target) if link.from_ == step.target]
    return []


def servers_of(stack: Stack, part: str) -> list[str]:
    """Return what runs as a part: itself, or the servers that a database of that name can have."""
    return next((each.servers for each in stack.spec.databases if each.name == part), [part])


def links_at(stack: Stack, part: str) -> list[Link]:
    """Return every link that has an end at this part."""
    return [link for link in stack.spec.links if part in (link.from_, link.to)]


def links_to(stack: Stack, part: str) -> list[Link]:
    """Return every link by which others reach this part."""
    return [link for link in stack.spec.links if link.to == part]


def links_in(stack: Stack, region: str) -> list[Link]:
    """Return every link that has an end in the region."""
    inside = _inside(stack, region)
    return [link for link in stack.spec.links if {link.from_, link.to} & inside]


def links_between(stack: Stack, one: str, other: str) -> list[Link]:
    """Return every link by which parts of one region reach those of another, whichever way."""
    ends = _inside(stack, one), _inside(stack, other)
    return [link for link in stack.spec.links if any(link.from_ in a and link.to in b for a, b in (ends, ends[::-1]))]


def _inside(stack: Stack, region: str) -> set[str]:
    spec = stack.spec
    inside = {part.name for part in spec.workloads if part.region == region}
    return inside | {name for part in spec.databases if part.region == region for name in (part.name, *part.servers)}


def direct(service: str) -> str:
    """Return the name of the Service that leads around Toxiproxy.

    >>> direct("users")
    'users-direct'
    """
    return service + SUFFIX


def check(service: Tree, wanted: Sequence[Wanted], *, collateral: bool = False) -> None:
    """Raise InputError, with what would do, where no Toxiproxy can be put in front of a Service for these links."""
    name = service["metadata"]["name"]
    for found, advice in _objections(service, wanted, collateral=collateral):
        links = ", ".join(one.link for one in wanted)
        raise InputError(
            f"no Toxiproxy can be put in front of the Service {name} for the link {links}: {found}", advice
        )


def _objections(service: Tree, wanted: Sequence[Wanted], *, collateral: bool) -> Iterator[tuple[str, str]]:
    name, spec = service["metadata"]["name"], service["spec"]
    if spec.get("type") == "ExternalName":
        yield "it is an ExternalName, which is no more than a name for a host elsewhere", _OTHERWISE
    if spec.get("clusterIP") == "None":
        yield "it is headless: clients connect to its pods and not to the Service", f"{_A_SERVICE}; {_OTHERWISE}"
    if not spec.get("selector"):
        yield "it has no selector: somebody else says where it leads", f"give it a selector; {_OTHERWISE}"
    if len(direct(name)) > LONGEST:
        yield f"{direct(name)} would be too long a name for a Service", "shorten its name to 56 characters"
    yield from _keeps_to_nodes(spec)
    if spec.get("sessionAffinity") == "ClientIP":
        yield (
            "its clients are told apart by their addresses (sessionAffinity: ClientIP), and behind Toxiproxy all have one",
            "set `sessionAffinity: None` for the experiment, or name another Service",
        )
    yield from _port_objections(spec, wanted, collateral=collateral)


_A_SERVICE = "name a Service with an address of its own (no `clusterIP: None`)"
_OTHERWISE = "or let the link pass through a Toxiproxy of your own: `toxiproxy:` with `proxy:`"


_COLLATERAL = "if that is meant, say `allow: {collateral: true}` in both Stack and Experiment"


def _keeps_to_nodes(spec: Tree) -> Iterator[tuple[str, str]]:
    for field in ("internalTrafficPolicy", "externalTrafficPolicy"):
        if spec.get(field) == "Local":
            yield (
                f"its traffic stays on the node that it comes to ({field}: Local), and Toxiproxy runs on one node only",
                f"set `{field}: Cluster` for the experiment, or name another Service",
            )


def _port_objections(spec: Tree, wanted: Sequence[Wanted], *, collateral: bool) -> Iterator[tuple[str, str]]:
    ports = spec.get("ports") or []
    if other := [f"{port['port']}/{port['protocol']}" for port in ports if _protocol(port) != "TCP"]:
        yield (
            f"Toxiproxy carries TCP alone, and {', '.join(other)} would lead nowhere meanwhile",
            "name a Service that has TCP ports only: give those of TCP one of their own",
        )
    if any(one.listen == API_PORT for one in passages(spec)):
        yield (
            f"its pods listen at {API_PORT}, where Toxiproxy's own API has to be",
            f"have them listen at another port; {_OTHERWISE}",
        )
    known = ", ".join(str(port["port"]) for port in ports)
    for one in wanted:
        if one.port not in {port["port"] for port in ports}:
            yield (
                f"it has no port {one.port}; it has: {known or 'none'}",
                "correct `service.port` of the link in the Stack",
            )
            continue
        shared = next(each.ports for each in passages(spec) if one.port in each.ports)
        if len(shared) > 1 and not collateral:
            same = " and ".join(map(str, shared))
            found = (
                f"its ports {same} lead to the same port of its pods: a fault at one would be a fault at all of them"
            )
            yield found, f"give the link's port a Service of its own; {_COLLATERAL}"


def _protocol(port: Tree) -> str:
    return str(port.get("protocol") or "TCP")


def passages(spec: Tree) -> list[Passage]:
    """Return the proxies that carry all ports of a Service: one for each target port.

    >>> [(one.listen, one.named, one.ports) for one in passages({"ports": [
    ...     {"port": 80, "targetPort": "http"}, {"port": 8080, "targetPort": 8080}, {"port": 81, "targetPort": 8080}]})]
    [(20000, 'http', (80,)), (8080, '', (8080, 81))]
    """
    by_target: dict[int | str, list[int]] = {}
    for port in spec.get("ports") or []:
        by_target.setdefault(port.get("targetPort") or port["port"], []).append(int(port["port"]))
    taken = {target for target in by_target if isinstance(target, int)}
    made = []
    for target, ports in by_target.items():
        listen = target if isinstance(target, int) else _free(FIRST_PORT, taken)
        taken.add(listen)
        made.append(Passage(f"port-{ports[0]}", listen, target if isinstance(target, str) else "", tuple(ports)))
    return made


def _free(first: int, taken: set[int]) -> int:
    return next(number for number in range(first, 65536) if number not in taken)


def config(made: Sequence[Passage], upstream: str) -> str:
    """Return Toxiproxy's configuration, with the address of `<name>-direct` as upstream."""
    return json.dumps(
        [
            {"name": one.proxy, "listen": f":{one.listen}", "upstream": authority(upstream, one.port), "enabled": True}
            for one in made
        ]
    )


def around(service: Tree, metadata: Tree) -> dict[str, Any]:
    """Return the Service that leads to the pods which the given one led to."""
    spec = service["spec"]
    kept = ("selector", "ipFamilies", "ipFamilyPolicy", "publishNotReadyAddresses")
    fields = ("name", "port", "protocol", "targetPort", "appProtocol")
    ports = [{field: port[field] for field in fields if field in port} for port in spec["ports"]]
    own = {"type": "ClusterIP", "ports": ports, **{field: spec[field] for field in kept if field in spec}}
    named = {**metadata, "name": direct(service["metadata"]["name"])}
    return {"apiVersion": "v1", "kind": "Service", "metadata": named, "spec": own}


def moved(service: Tree, mark: str, marks: Tree) -> dict[str, Any]:
    """Return the change by which a Service leads to the pod that bears `mark`: selector, what it was, and whose it is now."""
    before = service["spec"]["selector"]
    annotations = {**marks["annotations"], SELECTOR: json.dumps(before, sort_keys=True)}
    return {
        "metadata": {**marks, "annotations": annotations, "resourceVersion": service["metadata"]["resourceVersion"]},
        "spec": {"selector": {**dict.fromkeys(before), FRONT: mark}},
    }


def given_back(service: Tree, unmarked: Tree, known: Tree | None) -> dict[str, Any]:
    """Return the change that gives a Service its selector back. What somebody has set meanwhile stands.

    `known`: the old selector as `<name>-direct` has it, for where the annotation is spoilt. TargetError where neither tells.
    """
    meta, selector = service["metadata"], dict(service["spec"].get("selector") or {})
    change: dict[str, Any] = {
        "metadata": {
            "annotations": {**unmarked["annotations"], SELECTOR: None},
            "labels": unmarked["labels"],
            "resourceVersion": meta["resourceVersion"],
        }
    }
    if selector.pop(FRONT, None) is not None:
        before = {} if selector else _before(service, known)
        change["spec"] = {"selector": {FRONT: None, **before}}
    return change


def _before(service: Tree, known: Tree | None) -> dict[str, str]:
    said = str((service["metadata"].get("annotations") or {}).get(SELECTOR, "nothing"))
    for read in (_selector(said), dict(known or {})):
        if read:
            return read
    name = service["metadata"]["name"]
    raise TargetError(
        f"the Service {name} leads to a Toxiproxy, its annotation {SELECTOR} says {said!r}, and there is no {direct(name)}",
        f"`kubectl edit service {name}`: a selector that somebody set is let stand",
    )


def _selector(text: str) -> dict[str, str]:
    """Read a selector; nothing where it is none."""
    try:
        read = json.loads(text)
    except ValueError:
        return {}
    sound = isinstance(read, dict) and all(isinstance(value, str) for value in read.values())
    return {key: value for key, value in read.items() if key != FRONT} if sound else {}


def led_to(slices: Sequence[Tree]) -> set[str]:
    """Return the uids of the pods that a Service leads to, by its EndpointSlices. What is no pod counts as one called ``."""
    return {
        str((endpoint.get("targetRef") or {}).get("uid") or "")
        for one in slices
        for endpoint in one.get("endpoints") or []
        if (endpoint.get("conditions") or {}).get("ready", True)
    }
