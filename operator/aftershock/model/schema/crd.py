"""A kind as a CustomResourceDefinition: its names, its columns, and the schema of its spec and status."""

from collections.abc import Mapping
from inspect import getdoc

import msgspec
from msgspec import inspect

from aftershock.model.era import Era
from aftershock.model.experiment import Experiment, Injection
from aftershock.model.metadata import API_VERSION, Record
from aftershock.model.rules.making import valid
from aftershock.model.run import Run
from aftershock.model.schema import words
from aftershock.model.schema.faults import Faults, injection
from aftershock.model.schema.types import Schemas, Tree, told
from aftershock.model.stack import Stack

GROUP, VERSION = API_VERSION.split("/")
_AGE = ("Age", ".metadata.creationTimestamp", "date")


class Shown(msgspec.Struct, frozen=True):
    """How kubectl shows a kind. Columns: heading, path, and for what is no text its type; a `*` before a heading: only wide."""

    short: tuple[str, ...]
    columns: tuple[tuple[str, ...], ...]
    namespaced: bool = True
    selectable: tuple[str, ...] = ()


KINDS: Mapping[type[Record], Shown] = {
    Era: Shown(
        short=(),
        columns=(
            ("Users", ".spec.scale.users"),
            ("Concurrent", ".spec.scale.concurrentUsers"),
            ("Window", ".spec.window"),
            ("Share", ".spec.incidentShare"),
        ),
        namespaced=False,
    ),
    Stack: Shown(
        short=("stk",),
        columns=(("Era", ".spec.era"), ("Environment", ".spec.environment")),
        selectable=(".spec.era", ".spec.environment"),
    ),
    Experiment: Shown(
        short=("exp",),
        columns=(
            ("Stack", ".spec.stack"),
            ("Trigger", ".spec.trigger"),
            ("Ready", '.status.conditions[?(@.type=="Ready")].status'),
            ("Last Run", ".status.lastRun"),
            ("Last Verdict", ".status.lastVerdict"),
            ("*Reason", '.status.conditions[?(@.type=="Ready")].message'),
        ),
        selectable=(".spec.stack", ".spec.trigger"),
    ),
    Run: Shown(
        short=("arun",),
        columns=(
            ("Experiment", ".spec.experiment"),
            ("Era", ".status.era"),
            ("Phase", ".status.phase"),
            ("Verdict", ".status.verdict"),
            ("RTO", ".status.rto"),
            ("*Stack", ".spec.stack"),
            ("*Because", ".status.because"),
        ),
        selectable=(".spec.stack", ".spec.experiment", ".status.phase", ".status.verdict"),
    ),
}


def crd(kind: type[Record], faults: Faults) -> Tree:
    """Return the definition of one kind."""
    shown, name = KINDS[kind], kind.__name__
    plural = f"{name.lower()}s"
    names: Tree = {
        "kind": name,
        "listKind": f"{name}List",
        "plural": plural,
        "singular": name.lower(),
        "categories": [GROUP.partition(".")[0]],
    }
    if shown.short:
        names["shortNames"] = list(shown.short)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": names,
            "scope": "Namespaced" if shown.namespaced else "Cluster",
            "versions": [_version(kind, shown, faults)],
        },
    }


def _version(kind: type[Record], shown: Shown, faults: Faults) -> Tree:
    version: Tree = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [_column(*column) for column in (*shown.columns, _AGE)],
        "schema": {"openAPIV3Schema": _document(kind, faults)},
    }
    if shown.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in shown.selectable]
    if "status" in kind.__struct_fields__:
        version["subresources"] = {"status": {}}
    return version


def _column(heading: str, path: str, type_: str = "string") -> Tree:
    column: Tree = {"name": heading.removeprefix("*"), "type": type_, "jsonPath": path}
    return {**column, "priority": 1} if heading.startswith("*") else column


def _document(kind: type[Record], faults: Faults) -> Tree:
    known, cel = injection(faults)
    more: dict[type, Tree] = {Injection: {"properties": known, **valid(*cel)}}
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    properties: Tree = {
        "apiVersion": {"type": "string", "description": "The version of the kind: `aftershock.dev/v1alpha1`."},
        "kind": {"type": "string", "description": f"`{kind.__name__}`"},
        "metadata": {"type": "object"},
    }
    for part, schemas in (("spec", Schemas(more=more)), ("status", Schemas(bounded=False))):
        if part in fields:
            properties[part] = schemas.of(inspect.type_info(fields[part].type))
            properties[part]["description"] = f"{words.of(kind, part)}\n\n{properties[part]['description']}"
    document = {"type": "object", "description": getdoc(kind), "required": ["spec"], "properties": properties}
    return told(document, kind)
