"""What the API server is told of the faults: which there are, and what each takes in its `with:`.

One schema has to do for every `with:`, so it has the parameters of all faults, without defaults; rules say which of them a
fault takes and needs. Parameters of several faults that bear one name are of one type, though each may have its own words.
"""

from collections.abc import Iterator, Mapping
from inspect import getdoc

import msgspec
from msgspec import inspect

from aftershock.model.bounds import LARGEST_MAPPING
from aftershock.model.check import FaultType
from aftershock.model.rules.making import Cel
from aftershock.model.schema.types import Schemas, Tree

Faults = Mapping[str, FaultType]


def injection(faults: Faults) -> tuple[dict[str, Tree], list[Cel]]:
    """Return what the fields `fault` and `with` of an Injection are, and what holds between them."""
    fields = {"fault": {"enum": sorted(faults)}, "with": with_of(faults)}
    return fields, [each for name in sorted(faults) for each in _told(name, faults)]


def with_of(faults: Faults) -> Tree:
    """Return the schema of `with:`, whatever the fault is."""
    properties: Tree = {}
    words: dict[str, dict[str, list[str]]] = {}
    for name in sorted(faults):
        for field in _fields(faults[name]):
            schema = Schemas().of(field.type)
            known = properties.get(field.encode_name, schema)
            properties[field.encode_name] = known if known == schema else _either(field.encode_name, known, schema)
            said = getdoc(_declares(faults[name].parameters, field.name)) or ""
            words.setdefault(field.encode_name, {}).setdefault(said, []).append(name)
    for name, schema in properties.items():
        schema["description"] = "\n\n".join(f"{', '.join(who)}: {said}" for said, who in words[name].items())
    return {"type": "object", "properties": properties, "maxProperties": LARGEST_MAPPING}


def _either(name: str, one: Tree, other: Tree) -> Tree:
    """Return the schema of a field that takes some words for one fault, and others for another.

    An API server takes no rule about a field that has no type, so of two types there can't be one schema.
    """
    if one.keys() != other.keys() or {**one, "enum": []} != {**other, "enum": []}:
        raise TypeError(f"two faults have a parameter {name} of different types: call one of them something else")
    return {**one, "enum": sorted({*one["enum"], *other["enum"]})}


def _declares(parameters: type[msgspec.Struct], field: str) -> type:
    """Return the type that a field was written in: its docstring speaks of it."""
    return next(base for base in parameters.__mro__ if field in vars(base).get("__annotations__", {}))


def _told(name: str, faults: Faults) -> Iterator[Cel]:
    fault, fields = f"self.fault != '{name}'", _fields(faults[name])
    own = [field.encode_name for field in fields]
    needed = [field.encode_name for field in fields if field.required]
    others = sorted({field.encode_name for one in faults.values() for field in _fields(one)} - set(own))
    takes = "takes " + ", ".join(own) if own else "takes nothing"
    if others:
        holds = " && ".join(f"!has(self.with.{other})" for other in others)
        yield Cel(f"{fault} || !has(self.with) || ({holds})", f"{name} {takes}", at=".with")
    if needed:
        holds = " && ".join(("has(self.with)", *(f"has(self.with.{one})" for one in needed)))
        yield Cel(f"{fault} || ({holds})", f"{name} needs {', '.join(needed)}", at=".with")
    for field in fields:
        if (words := Schemas().of(field.type).get("enum")) and words != _words(field.encode_name, faults):
            value = f"self.with.{field.encode_name}"
            holds = f"!has(self.with) || !has({value}) || {value} in {words}"
            yield Cel(f"{fault} || {holds}", f"{name}, {field.encode_name}: {', '.join(words)}", at=".with")
    for each in _own(faults[name].parameters):
        there = " && ".join(("has(self.with)", *(f"has(self.with.{one})" for one in needed)))
        holds = each.holds.replace("self.", "self.with.")
        yield Cel(f"{fault} || !({there}) || ({holds})", each.message, at=".with")


def _words(name: str, faults: Faults) -> list[str]:
    """Return all the words that a field of that name takes, for whatever fault."""
    words: list[str] = with_of(faults)["properties"][name]["enum"]
    return words


def _own(parameters: type[msgspec.Struct]) -> Iterator[Cel]:
    """Yield what the parameters' types say themselves, each type of the line once."""
    for base in parameters.__mro__:
        yield from vars(base).get("told", ())


def _fields(fault: FaultType) -> tuple[inspect.Field, ...]:
    info = inspect.type_info(fault.parameters)
    assert isinstance(info, inspect.StructType)
    return info.fields
