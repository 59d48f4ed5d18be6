"""Definitions that went wrong, many of them, before a real API server and a real operator: it goes on, and touches nothing."""

import os
import random
from typing import Any

from aftershock.adapters import kubernetes as k8s
from aftershock.core.lease import parse
from aftershock.errors import AftershockError
from aftershock.model.problem import Invalid
from aftershock.runtime.cluster import objects
from control_plane.conftest import until
from control_plane.operating import Field
from fuzzed import fuzzed

COUNT = 2000 if os.environ.get("AFTERSHOCK_SOAK") else 250
KINDS = {"Experiment": k8s.EXPERIMENTS, "Run": k8s.RUNS}


def test_whatever_is_applied_the_operator_goes_on_and_injects_nothing_that_is_not_sound(field: Field) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    field.place()
    operator = field.operator()
    taken = [name for name, tree in fuzzed(seed, COUNT) if _applied(field, name, tree)]
    assert len(taken) > COUNT / 50, "some get past the API server"
    _one_more(field, "first")
    _settled(field, taken)
    before = _all(field)
    _one_more(field, "second")
    after = _all(field)
    changed = [(before[at], after[at]) for at in before if at in after and after[at] != before[at]]
    assert [pair for pair in changed if not all(map(_in_turn, pair))] == [], "nothing is written again and again"
    assert "a bug in aftershock" not in operator.said()
    runs = [each for found in (before, after) for (kind, _), each in found.items() if kind == "Run"]
    sound = {objects.token(run["metadata"]["uid"]) for run in runs if _sound(run)}  # some are good still
    assert {lease.run for name in field.injected if (lease := parse(name))} <= sound
    assert all(_sound(run) for run in field.api.list(k8s.RUNS, field.namespace) if run["status"].get("executor"))


def _applied(field: Field, name: str, tree: Any) -> bool:
    """Apply it under a name of its own, to the Stack that is there; tell whether the API server takes it."""
    kind = tree.get("kind") if isinstance(tree, dict) else None
    if not isinstance(kind, str) or kind not in KINDS or not isinstance(tree.get("metadata"), dict):
        return False
    number = "".join(letter for letter in name if letter.isalnum())[-20:].lower()
    tree["metadata"] = {**tree["metadata"], "name": f"f-{number}", "namespace": field.namespace}
    if isinstance(tree.get("spec"), dict) and isinstance(tree["spec"].get("stack"), str):
        tree["spec"]["stack"] = "planted"
    try:
        field.api.create(KINDS[kind], tree, field.namespace)
    except AftershockError:
        return False
    return True


def _settled(field: Field, taken: list[str]) -> None:
    """Wait until something is said of each."""
    until(
        lambda: all(
            each.get("status") for resource in KINDS.values() for each in field.api.list(resource, field.namespace)
        )
    )


def _one_more(field: Field, name: str) -> None:
    """A sound one on a Stack of its own, to its end: so much time has passed, and the operator still works."""
    field.api.create(k8s.STACKS, field.stack(name, toxiproxies=[], links=[]))
    field.apply(field.experiment(name, stack=name))
    field.finished(f"{name}-1")


def _all(field: Field) -> dict[tuple[str, str], k8s.Tree]:
    found = [(kind, each) for kind, resource in KINDS.items() for each in field.api.list(resource, field.namespace)]
    return {(kind, each["metadata"]["name"]): each for kind, each in found}


def _in_turn(tree: k8s.Tree) -> bool:
    """Tell whether something may change: a Run that has its turn, or waits for it, and the Experiment of such a one."""
    status = tree["status"]
    started = objects.condition(status.get("conditions") or [], "Started") or {}
    moves = started.get("status") == "True" or started.get("reason") == "WaitingForTarget"
    return moves or bool(status.get("active") or status.get("lastVerdict"))


def _sound(run: k8s.Tree) -> bool:
    try:
        objects.definition(run)
    except Invalid:
        return False
    return True
