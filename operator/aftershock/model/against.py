"""Rules across documents: does an Experiment fit the Stack that it is to run on? Pure; problems name file and line.

The Experiment may have problems of its own: what could not be read of it (see check.py's Partial) is passed over here.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from aftershock.model.check import FaultType, Unread
from aftershock.model.experiment import Experiment, Injection
from aftershock.model.load import Document
from aftershock.model.problem import Path, Problem, choose
from aftershock.model.stack import Cache, Database, Link, Node, Region, Resolver, Stack, StackSpec, Workload

Target: TypeAlias = Database | Cache | Link | Workload | Region | Node | Resolver
TARGETS: dict[str, tuple[str, ...]] = {
    "database": ("databases",),
    "cache": ("caches",),
    "link": ("links",),
    "workload": ("workloads",),
    "region": ("regions",),
    "node": ("nodes",),
    "part": ("workloads", "databases", "caches"),
    "resolver": ("resolver",),
}
"""Kinds of targets, and the fields of a Stack that name them. What is of several kinds is called by the first."""


def check_against(
    experiment: Document[Experiment], stack: Document[Stack], faults: Mapping[str, FaultType]
) -> list[Problem]:
    """Return everything that keeps `experiment` from running on `stack`, whichever stack it names itself."""
    return [
        *_readable(_production(experiment, stack)),
        *_readable(_indicators(experiment, stack)),
        *_readable(_targets(experiment, stack, faults)),
    ]


def _readable(problems: Iterator[Problem]) -> Iterator[Problem]:
    """Yield problems up to where one asks for a part that could not be read: that has been reported."""
    try:
        yield from problems
    except Unread:
        return


def _production(experiment: Document[Experiment], stack: Document[Stack]) -> Iterator[Problem]:
    if stack.object.spec.environment != "production":
        return
    for document, kind in ((stack, "Stack"), (experiment, "Experiment")):
        if not document.object.spec.allow.production:
            message = f"stack `{stack.name}` is in production, and {kind} `{document.name}` doesn't allow that"
            yield document.problem(
                ("spec", "allow", "production"), message, "add `allow: {production: true}` if it is meant"
            )


def _indicators(experiment: Document[Experiment], stack: Document[Stack]) -> Iterator[Problem]:
    spec = experiment.object.spec
    known = [indicator.name for indicator in stack.object.spec.indicators]
    lists = {field: getattr(spec, field, []) for field in ("expect", "guardrails")}
    asked: list[tuple[Path, Any]] = [
        *(((field, place), one) for field, items in lists.items() for place, one in enumerate(items)),
        (("load",), getattr(spec, "load", None)),
    ]
    for way, one in asked:
        path, name = (*way, "indicator"), getattr(one, "indicator", None)
        if name is not None and name not in known:
            message = f"stack `{stack.name}` has no indicator `{name}`"
            yield experiment.problem(("spec", *path), message, choose(name, known, "add it to the stack"))


def _targets(
    experiment: Document[Experiment], stack: Document[Stack], faults: Mapping[str, FaultType]
) -> Iterator[Problem]:
    for place, injection in enumerate(experiment.object.spec.timeline):
        yield from _readable(_target(experiment, place, injection, stack, faults))


def _target(
    experiment: Document[Experiment],
    place: int,
    injection: Injection,
    stack: Document[Stack],
    faults: Mapping[str, FaultType],
) -> Iterator[Problem]:
    way: Path = ("spec", "timeline", place)
    fault = faults.get(injection.fault)
    if fault is None:
        message = f"`{injection.fault}` is no known fault"
        yield experiment.problem((*way, "fault"), message, choose(injection.fault, sorted(faults)))
    elif fault.target == "load":
        yield from _load(experiment, injection, way)
    elif injection.target not in (known := names(stack.object.spec, fault.target)):
        message = _mistaken(injection, stack, fault.target)
        lists = " or ".join(f"`{each}`" for each in TARGETS[fault.target])
        advice = choose(injection.target, known, f"add one to {lists} of the stack")
        yield experiment.problem((*way, "target"), message, advice)


def names(spec: StackSpec, kind: str) -> list[str]:
    """Return the names of the Stack's targets of one kind."""
    named = [target.name for each in TARGETS[kind] for target in _listed(spec, each)]
    if kind == "region":
        said = [workload.region for workload in spec.workloads] + [database.region for database in spec.databases]
        named += [region for region in said if region is not None]
    return list(dict.fromkeys(named))


def _listed(spec: StackSpec, field: str) -> Sequence[Target]:
    targets: Sequence[Target] | Resolver | None = getattr(spec, field)
    if isinstance(targets, Resolver):
        return [targets]
    return targets or []


def _mistaken(injection: Injection, stack: Document[Stack], kind: str) -> str:
    """Say what the target is instead: of another kind, or nothing that the stack names."""
    for other in TARGETS:
        if injection.target in names(stack.object.spec, other):
            return f"`{injection.target}` is a {other}; `{injection.fault}` is held at a {kind}"
    return f"stack `{stack.name}` names no {kind} `{injection.target}`"


def _load(experiment: Document[Experiment], injection: Injection, way: Path) -> Iterator[Problem]:
    load = experiment.object.spec.load
    if load is None:
        message = f"`{injection.fault}` changes the load, and the experiment has none"
        yield experiment.problem((*way, "fault"), message, "add `load:` with an indicator and a rate")
    elif injection.target not in ("load", load.indicator):
        message = f"the load doesn't go to `{injection.target}`"
        yield experiment.problem((*way, "target"), message, f"write `load` or `{load.indicator}`")
