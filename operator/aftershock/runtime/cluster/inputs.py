"""What a Run needs of the cluster: its definition, Stack, Secrets and Eras. Gathered, checked, and missed by name.

The operator asks with it whether a run can start, the executor starts with it. Nothing is touched.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from aftershock.adapters import home
from aftershock.adapters.kubernetes import ERAS, SECRETS, STACKS, Api, MissingError
from aftershock.core import front
from aftershock.errors import InputError
from aftershock.model.era import Era
from aftershock.model.experiment import Experiment
from aftershock.model.load import Document
from aftershock.model.problem import Invalid
from aftershock.model.stack import Stack
from aftershock.runtime import loading
from aftershock.runtime.cluster import materialise, objects
from aftershock.runtime.loading import Request

Places = Mapping[str, str]
"""What a run holds: a name for each place, the same in every Stack that means it, and what to call it to a person."""

STARTS = "; it starts when "
"""Stands between what a Run waits for and when it starts."""

LONGEST = 1000
"""Characters of a condition's message."""


@dataclass(eq=False)  # not frozen: whoever passes an exception on gives it another traceback
class Lacking(Exception):
    """Why a Run can't start. `reason` is a condition's; `final` if waiting would not help."""

    reason: str
    message: str
    final: bool = False


def check(api: Api, run: Mapping[str, Any]) -> Places:
    """Return the places that the Run will hold. Raise Lacking if it can't start: what it names isn't there, or doesn't fit."""
    stack = _stack(api, run)
    _eras(api, _definition(run, stack), stack)
    namespace = run["metadata"]["namespace"]
    keys = objects.secrets_of(stack.object)
    return _places(namespace, stack.object, {at: _secret(api, namespace, *at) for at in keys})


def places(api: Api, run: Mapping[str, Any]) -> Places:
    """Return the places that a Run holds which goes on, as far as they can be told now."""
    try:
        stack = _stack(api, run).object
        namespace = run["metadata"]["namespace"]
        return _places(namespace, stack, {at: _secret(api, namespace, *at) for at in objects.secrets_of(stack)})
    except Lacking:
        return {}


def _places(namespace: str, stack: Stack, secrets: Mapping[tuple[str, str], str]) -> Places:
    """Name each place by what is the same for all Stacks that mean it; a DSN by its digest, as it is secret."""
    found = {f"toxiproxy {one.url.rstrip('/').lower()}": f"the Toxiproxy {one.url}" for one in stack.spec.toxiproxies}
    for database in stack.spec.databases:
        at = database.dsn.secret_ref
        dsn = secrets.get((at.name, at.key)) if at is not None else None
        if dsn:
            found[f"database {hashlib.sha256(dsn.encode()).hexdigest()}"] = f"the database {database.name}"
    for service in front.services(stack):
        found[f"service {namespace} {service}"] = f"the Service {service}"
    for workload in stack.spec.workloads:
        if workload.selector:
            chosen = ",".join(f"{label}={value}" for label, value in sorted(workload.selector.items()))
            found[f"pods {namespace} {chosen}"] = f"the workload {workload.name}"
    return found


def gather(api: Api, run: Mapping[str, Any], folder: Path) -> Request:
    """Return the request, with Stack and Secrets written to the folder; raise Lacking as `check` does."""
    stack = _stack(api, run)
    experiment = _definition(run, stack)
    eras = _eras(api, experiment, stack)
    try:
        materialise.place(api, run["metadata"]["namespace"], stack, folder)
    except MissingError as error:
        raise Lacking("WaitingForSecret", error.problem) from None
    except InputError as error:
        raise Lacking("WaitingForSecret", f"{error.problem}: {error.advice}") from None
    placed = replace(stack, file=str(folder / "stack.yaml"))
    return loading.fitted(experiment, placed, eras, home.runs())


def planned(api: Api, run: Mapping[str, Any]) -> Request:
    """Return the request as it would be gathered now, to be shown: no Secret is read, and nothing written."""
    stack = _stack(api, run)
    experiment = _definition(run, stack)
    return loading.fitted(experiment, stack, _eras(api, experiment, stack), home.runs())


def _stack(api: Api, run: Mapping[str, Any]) -> Document[Stack]:
    name, namespace = run["spec"]["stack"], run["metadata"]["namespace"]
    tree = api.find(STACKS, name, namespace)
    if tree is None:
        raise Lacking("WaitingForStack", f"there is no Stack {name} in the namespace {namespace}{STARTS}there is")
    try:
        return objects.stack(tree)
    except Invalid as invalid:
        raise Lacking("WaitingForStack", _short(f"the Stack {name} is not sound: {invalid}")) from None


def _definition(run: Mapping[str, Any], stack: Document[Stack]) -> Document[Experiment]:
    try:
        experiment = objects.definition(run)
    except Invalid as invalid:
        raise Lacking("Invalid", _short(str(invalid)), final=True) from None
    try:
        loading.check_fit(experiment, stack)
    except Invalid as invalid:
        raise Lacking("Invalid", _short(str(invalid))) from None
    return experiment


def _eras(api: Api, experiment: Document[Experiment], stack: Document[Stack]) -> list[Document[Era]]:
    return [_era(api, name) for name in loading.judging(experiment.object, stack.object)]


def _era(api: Api, name: str) -> Document[Era]:
    tree = api.find(ERAS, name)
    if tree is None:
        raise Lacking("WaitingForEra", f"there is no Era {name}{STARTS}there is")
    try:
        return objects.document(tree, Era)
    except Invalid as invalid:
        raise Lacking("WaitingForEra", _short(f"the Era {name} is not sound: {invalid}")) from None


def _secret(api: Api, namespace: str, name: str, key: str) -> str:
    """Return a Secret's value, as the API has it."""
    tree = api.find(SECRETS, name, namespace)
    if tree is None:
        raise Lacking("WaitingForSecret", f"there is no Secret {name} in the namespace {namespace}{STARTS}there is")
    if key not in (tree.get("data") or {}):
        raise Lacking("WaitingForSecret", f"the Secret {name} has no key {key}{STARTS}it has")
    return str(tree["data"][key])


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
