"""The reference of what a user writes, generated from the model's types: `python -m aftershock.reports.kinds` writes it.

Every type is a section with its own docstring, every field a row. A test sees if the page is not what the types say.
"""

import inspect
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Union, get_args, get_origin

import msgspec

from aftershock.model.era import Era
from aftershock.model.experiment import Experiment
from aftershock.model.metadata import Record
from aftershock.model.schema import words
from aftershock.model.stack import Stack

FILE = Path("docs") / "reference" / "kinds.md"
HEAD = """# What you write: Experiment, Stack, Era

Generated from `operator/aftershock/model/`. `aftershock validate` checks a file against it, and names line and field.

Durations are written `250ms`, `30s`, `1m30s`, `30d`; percentages `99.5%`; rates `20/s`. Every document begins with
`apiVersion: aftershock.dev/v1alpha1`, its `kind`, and `metadata: {name: …}`. What is not *required* may be left out.
`aftershock stack up 1k` writes a whole Stack, and `experiments/` and `charts/era-stack/eras/` hold Experiments and Eras.
"""
_PLAIN = {"int": "whole number", "float": "number", "str": "text", "bool": "`true` or `false`", "Any": "anything"}


def text() -> str:
    """Return the whole page: each kind, followed by the types that it is made of."""
    told: list[type[Record]] = []
    for kind in (Experiment, Stack, Era):
        _gather(kind, told)
    return "\n".join([HEAD, *(line for each in told for line in _section(each))])


def _gather(kind: type[Record], told: list[type[Record]]) -> None:
    if kind in told:
        return
    told.append(kind)
    for field in _written(kind):
        for part in _records(field.type):
            _gather(part, told)


def _written(kind: type[Record]) -> Iterator[msgspec.structs.FieldInfo]:
    """Yield the fields that a user writes: a status is the operator's."""
    return (field for field in msgspec.structs.fields(kind) if field.name != "status")


def _records(kind: object) -> Iterator[type[Record]]:
    if isinstance(kind, type) and not get_args(kind):
        if issubclass(kind, Record):
            yield kind
        return
    for part in get_args(kind):
        yield from _records(part)


def _section(kind: type[Record]) -> Iterator[str]:
    yield f"## {kind.__name__}"
    yield ""
    yield inspect.cleandoc(kind.__doc__ or "")
    yield ""
    yield "| field | type | default | what it is |"
    yield "|---|---|---|---|"
    for field in _written(kind):
        yield f"| `{field.encode_name}` | {_type(field.type)} | {_default(field)} | {words.of(kind, field.encode_name)} |"
    yield ""


def _type(kind: object) -> str:
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        *most, last = (f"`{choice}`" for choice in parts)
        return f"{', '.join(most)} or {last}" if most else last
    if origin in {Union, types.UnionType}:
        return " or ".join(_type(part) for part in parts if part is not type(None))
    if origin in {list, tuple}:
        return f"list of {_type(parts[0])}"
    if origin is dict:
        return f"mapping of {_type(parts[0])} to {_type(parts[1])}"
    name = getattr(kind, "__name__", str(kind))
    if isinstance(kind, type) and issubclass(kind, Record):
        return f"[{name}](#{name.lower()})"
    return _PLAIN.get(name, name.lower())


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.default_factory is not msgspec.NODEFAULT:
        return "none"
    if field.default is msgspec.NODEFAULT:
        return "required"
    if isinstance(field.default, Record):
        return "its fields' defaults"
    return f"`{str(field.default).lower()}`" if isinstance(field.default, bool) else _said(field.default)


def _said(default: object) -> str:
    if isinstance(default, tuple):
        return f"`{list(default)}`"
    return "none" if default is None or default in ([], {}) else f"`{default}`"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
