"""Every right that a part of Aftershock uses in a cluster, in one table: the chart's Roles are made of it, and nothing else.

`python -m aftershock.runtime.cluster.rights` writes charts/aftershock/files/rights.yaml, which the chart's templates read.
Each line says what it is for. A test takes each away in turn, and sees the part that needs it name it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from aftershock.adapters.kubernetes import (
    AUTOSCALERS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    ERAS,
    EVENTS,
    EXPERIMENTS,
    JOBS,
    LEASES,
    NETWORK_POLICIES,
    NODES,
    PODS,
    RUNS,
    SECRETS,
    SERVICES,
    STACKS,
    STATEFUL_SETS,
    Api,
    Resource,
)
from aftershock.adapters.threads import within

Part = Literal["operator", "reaper", "executor", "uninstall"]
PARTS: tuple[Part, ...] = ("operator", "reaper", "executor", "uninstall")
Scope = Literal["namespace", "services", "cluster", "regionFaults"]
"""Where a right holds, and when: in the watched namespaces, always, or only if Toxiproxies may be put in front of Services; in
the whole cluster, always, or only if region faults are on."""
NAMESPACED: tuple[Scope, ...] = ("namespace", "services")

PATIENCE = 60.0
"""Seconds that asking for all rights may take."""

FILE = Path("charts") / "aftershock" / "files" / "rights.yaml"


@dataclass(frozen=True)
class Right:
    """One part may do this to one resource. `verbs` are Kubernetes'; `sub` is a subresource; `why` is for whoever audits."""

    part: Part
    resource: Resource
    verbs: tuple[str, ...]
    why: str
    sub: str = ""
    scope: Scope = "namespace"

    @property
    def called(self) -> str:
        """The resource as a Role names it."""
        return f"{self.resource.plural}/{self.sub}" if self.sub else self.resource.plural

    def rule(self) -> dict[str, list[str]]:
        """Return it as a Role's rule."""
        return {"apiGroups": [self.resource.group], "resources": [self.called], "verbs": list(self.verbs)}


READ = ("get", "list", "watch")
OPERATOR = (
    Right("operator", EXPERIMENTS, READ, "to see what is asked for"),
    Right("operator", EXPERIMENTS, ("patch",), "to say whether a definition can be run", sub="status"),
    Right("operator", RUNS, (*READ, "create", "patch", "delete"), "to make runs, hold their finalizer, keep to limits"),
    Right("operator", RUNS, ("patch",), "to say what a run waits for, and end one that can't start", sub="status"),
    Right("operator", STACKS, READ, "to start what waited for its Stack"),
    Right("operator", SECRETS, ("get",), "to tell whether the Secrets that a Stack names are there"),
    Right(
        "operator",
        JOBS,
        ("get", "create"),
        "to launch executors, and see whether they live",
    ),
    Right("operator", LEASES, ("get", "create", "delete"), "to let one run at a time hold a Stack"),
    Right("operator", EVENTS, ("create",), "to say what it did"),
    Right("operator", ERAS, READ, "to start what waited for its Era", scope="cluster"),
)
REAPER = (
    Right("reaper", STACKS, ("get", "list"), "to know the places to look at"),
    Right("reaper", SECRETS, ("get",), "to reach databases"),
    Right("reaper", RUNS, ("list",), "to find runs whose executor is lost"),
    Right("reaper", PODS, ("get",), "to tell whether an executor's pod lives"),
    Right("reaper", RUNS, ("patch",), "to end them", sub="status"),
)
EXECUTOR = (
    Right("executor", RUNS, ("get",), "to read what it carries out, and see whether it is to end"),
    Right("executor", RUNS, ("patch",), "to claim its run and say where it stands", sub="status"),
    Right("executor", STACKS, ("get",), "to read what the run is on"),
    Right("executor", SECRETS, ("get",), "to reach databases"),
    Right(
        "executor", LEASES, ("get", "create"), "to see that its run holds the Stack, or to take it where no operator is"
    ),
    Right("executor", ERAS, ("get",), "to judge", scope="cluster"),
)
UNINSTALL = (
    Right(
        "uninstall", RUNS, ("list", "patch"), "to abort runs, wait until they are clean, and let go of their finalizers"
    ),
)
FAULTS = (
    Right("executor", PODS, ("list", "delete"), "pod-kill; to see whose pods are there"),
    Right("executor", PODS, ("create",), "node-drain", sub="eviction"),
    Right("executor", DEPLOYMENTS, ("get", "list", "patch"), "workload-hold-down"),
    Right("executor", STATEFUL_SETS, ("get", "list", "patch"), "workload-hold-down"),
    Right("executor", AUTOSCALERS, ("list",), "workload-hold-down: to say which of them rests meanwhile"),
    Right("executor", NETWORK_POLICIES, ("list", "create", "delete"), "region-loss by network-policy"),
    Right("executor", NODES, ("get", "list", "patch"), "node-drain, evacuation of a region", scope="regionFaults"),
    Right("executor", PODS, ("list",), "to see that nobody else is on a node", scope="regionFaults"),
    Right("reaper", DEPLOYMENTS, ("get", "list", "patch"), "to bring back what is held down"),
    Right("reaper", STATEFUL_SETS, ("get", "list", "patch"), "to bring back what is held down"),
    Right("reaper", NETWORK_POLICIES, ("list", "delete"), "to end what cuts a region off"),
    Right("reaper", NODES, ("get", "list", "patch"), "to let pods on nodes again", scope="regionFaults"),
)
"""What faults through the Kubernetes API need, and who heals them."""

LOAD = (Right("executor", JOBS, ("create", "delete"), "to have pods share a load, and to take them away"),)
"""What `load: {shards: N}` needs, beside looking at pods, which faults need too."""

FRONTS = (
    Right(
        "executor",
        SERVICES,
        ("get", "list", "create", "patch", "delete"),
        "to lead Services through a Toxiproxy",
        scope="services",
    ),
    Right("executor", PODS, ("get", "create"), "to put a Toxiproxy in front of a Service", scope="services"),
    Right("executor", ENDPOINT_SLICES, ("list",), "to see where a Service leads", scope="services"),
    Right("reaper", SERVICES, ("get", "list", "patch", "delete"), "to lead Services past a Toxiproxy again"),
    Right("reaper", PODS, ("list", "delete"), "to take a Toxiproxy away"),
)
"""What links before Services need, and who gives the Services back: the reaper can, also where that was switched off since."""

RIGHTS = (*OPERATOR, *REAPER, *EXECUTOR, *FAULTS, *LOAD, *FRONTS, *UNINSTALL)


def rules(part: Part, scope: Scope) -> list[dict[str, list[str]]]:
    """Return the rules of one part's role of one scope."""
    return [right.rule() for right in RIGHTS if (right.part, right.scope) == (part, scope)]


def lacking(api: Api, part: Part, namespaces: Sequence[str | None]) -> list[str]:
    """Return a line for each right that this user lacks to be that part in these namespaces (None is all); none if all is well.

    Rights for region faults are left out: they are granted only where somebody wants that.
    """
    return [
        f'cannot {verb} resource "{right.called}" in API group "{right.resource.group}"{where}: needed {right.why}'
        for right in RIGHTS
        if right.part == part and right.scope != "regionFaults"
        for verb in right.verbs
        for namespace, where in _places(right, namespaces)
        if not api.may(verb, right.resource, namespace, subresource=right.sub)
    ]


class Rights:
    """A part's look at its own rights: `say` gets a line for each that is lacking, so that nobody has to guess."""

    def __init__(self, api: Api, part: Part, namespaces: Sequence[str | None], say: Callable[[str], object]) -> None:
        self._api, self._part, self._namespaces, self._say = api, part, namespaces, say

    async def look(self) -> None:
        """Ask once. ApiAwayError where nobody answers."""
        for line in await within(PATIENCE, lacking, self._api, self._part, self._namespaces):
            self._say(f"the {self._part} {line}; the chart's role has it")


def _places(right: Right, namespaces: Sequence[str | None]) -> list[tuple[str | None, str]]:
    if right.scope == "cluster":
        return [(None, " at the cluster scope")]
    return [(each, f" in the namespace {each}" if each else " in all namespaces") for each in namespaces]


def table() -> dict[str, dict[str, Any]]:
    """Return all rules: part, scope, rules. Scopes without a rule are left out."""
    return {part: {scope: found for scope in get_args(Scope) if (found := rules(part, scope))} for part in PARTS}


def text() -> str:
    """Return the chart's file."""
    return "\n".join(
        ["# Generated from operator/aftershock/runtime/cluster/rights.py, which says what each is for.", *_lines(), ""]
    )


def _lines() -> Iterator[str]:
    for part, scopes in table().items():
        yield f"{part}:"
        for scope, found in scopes.items():
            yield f"  {scope}:"
            for rule in found:
                yield f"  - {yaml.safe_dump(rule, default_flow_style=True, sort_keys=False, width=1000).strip()}"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
