"""Objects of the Kubernetes API as trees, and the model's documents: from one to the other. Pure, and shared by all.

What the server keeps in an object's metadata (uid, versions, managed fields) is no part of what a user wrote: it is gone
from a document. Names, tokens and the words that several parts must write alike stand here once.
"""

import hashlib
import json
import string
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import msgspec

from aftershock.adapters import home
from aftershock.adapters.kubernetes import LEASES, OURS, Tree
from aftershock.faults.registry import FAULTS
from aftershock.model.experiment import Experiment
from aftershock.model.load import Document, Kind, from_tree
from aftershock.model.metadata import Record, Secret
from aftershock.model.problem import Invalid
from aftershock.model.problem import Path as Path_
from aftershock.model.run import Run
from aftershock.model.stack import Stack
from aftershock.model.write import to_tree
from aftershock.model.yaml12 import node_of

PREFIX = "aftershock.dev/"
FINALIZER = f"{PREFIX}clean"
"""On a Run: something of it may be at a target. Taken off only when nothing is."""

ABANDON = f"{PREFIX}abandon"
"""Annotation of a Run, with a reason: take the finalizer off though something is left. The documented escape."""

EXPERIMENT = f"{PREFIX}experiment"
"""Label of a Run: the Experiment that it executes."""

RUN_UID = f"{PREFIX}run-uid"
"""Annotation of a stack's Lease: which Run of that name holds it."""

SCHEDULED = f"{PREFIX}scheduled-for"
"""Annotation of a scheduled Run: the time for which it was made."""

NOT_ITS_OWN = "in a cluster, a secret is neither a file nor a variable: those would be the executor's"
NOT_HERE = "in a cluster, the files of a gdnsd would be looked for where the executor is"
ITS_OWN = "put it into a Secret of the Stack's namespace, and write `secretRef: {name: …, key: …}`"

TOKEN = 8
LONGEST_NAME = 253
LONGEST_LABEL = 63
_DIGITS = string.digits + string.ascii_lowercase
_KEPT = ("name", "namespace", "labels", "annotations")
_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
K = TypeVar("K", bound=Kind)


def token(uid: str) -> str:
    """Return what the leases of the run with this uid bear: eight characters, the same for all who ask.

    >>> token("2f0a6f1e-3a6c-4a83-9a55-0f6c0f3b8f10") == token("2f0a6f1e-3a6c-4a83-9a55-0f6c0f3b8f10")
    True
    """
    number = int.from_bytes(hashlib.sha256(uid.encode()).digest()[:8])
    return "".join(_DIGITS[number // 36**place % 36] for place in range(TOKEN))


def run_folder(name: str, run_token: str) -> Path:
    """Return where a run's journal and record lie on the machine that executes it."""
    return home.runs() / f"{fitting(name, 200)}-{run_token}"


def fitting(text: str, longest: int) -> str:
    """Return a name cut to a length; what is cut off is told apart by a digest.

    >>> fitting("a" * 9, 9)
    'aaaaaaaaa'
    >>> len(fitting("a" * 300, 63))
    63
    """
    if len(text) <= longest:
        return text
    return f"{text[: longest - 9].rstrip('-.')}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def now() -> str:
    """Return the time as the API writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# Documents


def document(tree: Mapping[str, Any], kind: type[K]) -> Document[K]:
    """Return an object of the API as the document that a user wrote; raise Invalid where it is none that is sound.

    A Run keeps its status; that of other kinds is none of their definition. Its digest is that of its JSON, sorted.
    """
    clean = user_written(tree, kind)
    meta = clean["metadata"]
    name = f"{_name(kind)}/{meta.get('name')}"
    found = from_tree(clean, kind, FAULTS, name=name)
    digest = hashlib.sha256(json.dumps(clean, sort_keys=True).encode()).hexdigest()
    return Document(found, clean, name, digest, node_of(clean))


def stack(tree: Mapping[str, Any]) -> Document[Stack]:
    """Return a Stack of the API as a document; raise Invalid where it is not sound, or names a secret that isn't its own.

    A file or a variable is that of whoever reads it: the executor's, whose token may read every Secret of its namespaces, and
    whoever may apply a Stack would have it sent to a server of his. (On a machine of one's own, both are one's own.)
    """
    found = document(tree, Stack)
    problems = [found.problem(way, NOT_ITS_OWN, ITS_OWN) for way in _borrowed(found.object.spec, ("spec",))]
    if (resolver := found.object.spec.resolver) is not None and resolver.gdnsd is not None:
        problems.append(found.problem(("spec", "resolver", "gdnsd"), NOT_HERE, "leave it out"))
    if problems:
        raise Invalid(problems)
    return found


def _borrowed(value: object, way: Path_) -> Iterator[Path_]:
    """Yield where a part of a Stack has a secret from a file or a variable."""
    match value:
        case Secret():
            yield from ((*way, field) for field in ("env", "file") if getattr(value, field) is not None)
        case msgspec.Struct():
            for field in msgspec.structs.fields(value):
                yield from _borrowed(getattr(value, field.name), (*way, field.encode_name))
        case list() | tuple():
            for place, each in enumerate(value):
                yield from _borrowed(each, (*way, place))


def user_written(tree: Mapping[str, Any], kind: type[K]) -> Tree:
    """Return the tree without what the server keeps in it."""
    meta = dict(tree.get("metadata") or {})
    kept = {field: meta[field] for field in _KEPT if meta.get(field)}
    if "annotations" in kept:
        kept["annotations"] = {k: v for k, v in kept["annotations"].items() if k != _APPLIED}
    given = {"apiVersion": OURS, "kind": _name(kind), "metadata": kept, "spec": tree.get("spec")}
    if kind is Run and tree.get("status"):
        given["status"] = tree["status"]
    return {field: value for field, value in given.items() if value is not None}


def _name(kind: type[K]) -> str:
    return cast("type[Record]", kind).__name__


def definition(run: Mapping[str, Any]) -> Document[Experiment]:
    """Return the Experiment that a Run's tree executes, as it was when the Run was made; raise Invalid if it isn't sound."""
    meta, spec = run["metadata"], run["spec"]
    snapshot = dict(spec.get("definition") or {})
    snapshot.setdefault("stack", spec.get("stack"))
    if spec.get("eras"):
        snapshot["eras"] = spec["eras"]
    tree = {"metadata": {"name": spec["experiment"], "namespace": meta.get("namespace")}, "spec": snapshot}
    return document(tree, Experiment)


def secrets_of(stack: Stack) -> list[tuple[str, str]]:
    """Return the Secrets that a Stack's documents point to, as (name, key), each once, in order."""
    found: dict[tuple[str, str], None] = {}

    def look(value: object) -> None:
        match value:
            case {"secretRef": {"name": str(name), "key": str(key)}}:
                found[name, key] = None
            case dict():
                for each in value.values():
                    look(each)
            case list():
                for each in value:
                    look(each)

    look(to_tree(stack.spec))
    return list(found)


# Runs


def run_name(experiment: str, generation: int, suffix: str = "") -> str:
    """Return the name of the run of a definition's version, so that making it twice makes it once.

    >>> run_name("db-down", 3), run_name("db-down", 3, "29401234")
    ('db-down-3', 'db-down-3-29401234')
    """
    ending = f"-{generation}{f'-{suffix}' if suffix else ''}"
    return fitting(experiment, LONGEST_NAME - 40) + ending


def run_tree(experiment: Mapping[str, Any], name: str, annotations: Mapping[str, str] | None = None) -> Tree:
    """Return the Run to create for an Experiment as it is now: owned by it, with its spec on record and our finalizer."""
    meta, spec = experiment["metadata"], experiment["spec"]
    return {
        "apiVersion": OURS,
        "kind": "Run",
        "metadata": {
            "name": name,
            "namespace": meta.get("namespace"),
            "labels": {EXPERIMENT: fitting(meta["name"], LONGEST_LABEL)},
            "annotations": dict(annotations or {}),
            "finalizers": [FINALIZER],
            "ownerReferences": [owner_reference(experiment, "Experiment")],
        },
        "spec": {
            "experiment": meta["name"],
            "stack": spec["stack"],
            "eras": list(spec.get("eras") or []),
            "definition": dict(spec),
            "generation": meta.get("generation", 1),
        },
    }


def owner_reference(tree: Mapping[str, Any], kind: str, api_version: str = OURS) -> Tree:
    """Return the reference by which the garbage collector knows whose an object is."""
    meta = tree["metadata"]
    return {"apiVersion": api_version, "kind": kind, "name": meta["name"], "uid": meta["uid"], "controller": True}


def owners(run: Mapping[str, Any]) -> set[str]:
    """Return the uids of the Experiments that own a Run: none where somebody made it by hand."""
    references = run["metadata"].get("ownerReferences") or []
    return {str(one["uid"]) for one in references if one.get("kind") == "Experiment"}


# Conditions


def set_condition(
    conditions: Sequence[Mapping[str, Any]],
    kind: str,
    status: Literal["True", "False", "Unknown"],
    *,
    reason: str,
    message: str,
    generation: int | None = None,
    when: str | None = None,
) -> list[Tree]:
    """Return the conditions with one of them set. Its transition time is that of its last change of status.

    What says the same comes back equal, so that a writer can tell that nothing changed.

    >>> a = set_condition([], "Ready", "True", reason="Valid", message="fine", generation=1, when="2026-01-01T00:00:00Z")
    >>> b = set_condition(a, "Ready", "True", reason="Valid", message="still", generation=2, when="2026-01-02T00:00:00Z")
    >>> b[0]["lastTransitionTime"], b[0]["observedGeneration"]
    ('2026-01-01T00:00:00Z', 2)
    """
    before = condition(conditions, kind)
    kept = before is not None and before.get("status") == status
    made: Tree = {"type": kind, "status": status, "reason": reason, "message": message}
    if generation is not None:
        made["observedGeneration"] = generation
    made["lastTransitionTime"] = before["lastTransitionTime"] if before and kept else (when or now())
    if before is None:
        return [*map(dict, conditions), made]
    return [made if one.get("type") == kind else dict(one) for one in conditions]


def condition(conditions: Sequence[Mapping[str, Any]], kind: str) -> Mapping[str, Any] | None:
    """Return the condition of a type; None if there is none."""
    return next((one for one in conditions if one.get("type") == kind), None)


# Who holds a stack


def stack_lease_name(stack: str) -> str:
    """Return the name of the coordination Lease that says which Run holds a stack."""
    return fitting(f"aftershock-{stack}", LONGEST_NAME)


def stack_lease(run: Mapping[str, Any]) -> Tree:
    """Return the Lease to create so that this Run holds its stack."""
    meta = run["metadata"]
    return {
        "apiVersion": LEASES.group_version,
        "kind": "Lease",
        "metadata": {
            "name": stack_lease_name(run["spec"]["stack"]),
            "namespace": meta["namespace"],
            "annotations": {RUN_UID: meta["uid"]},
        },
        "spec": {"holderIdentity": meta["name"]},
    }


def holder(lease: Mapping[str, Any]) -> tuple[str, str]:
    """Return name and uid of the Run that holds a stack, by its Lease."""
    meta, spec = lease["metadata"], lease.get("spec") or {}
    return str(spec.get("holderIdentity") or ""), str((meta.get("annotations") or {}).get(RUN_UID) or "")
