"""Hold a plain tree against the model's types, and collect everything that is wrong with it.

The walk goes through the tree and the msgspec types together and never stops at an error. What it could read becomes a
typed object; where a part could not be read, a `Partial` stands in for it, so that the rules of `rules/` still judge the
rest: a rule that asks a Partial for what is missing ends there, silently, as the missing part was reported already.
"""

import operator
from collections.abc import Mapping
from functools import cache
from math import isfinite
from typing import Any, Protocol

import msgspec
from msgspec import inspect

from aftershock.model.bounds import LARGEST_MAPPING, LONGEST_LIST, LONGEST_TEXT
from aftershock.model.experiment import Injection
from aftershock.model.metadata import KEPT_BY_SERVER, Metadata
from aftershock.model.problem import Path, Problem, choose, nearest, printable, written
from aftershock.model.rules import RULES
from aftershock.model.rules.making import Rules
from aftershock.model.stack import TargetKind
from aftershock.model.units import Unit, UnitError
from aftershock.model.yaml12 import Node, describe

_BROKEN: Any = object()
"""Stands for a value that could not be read and has been reported."""


class FaultType(Protocol):
    """What the model needs to know of a fault; the registry's entries fit."""

    @property
    def target(self) -> TargetKind:
        """Which kind of target it is held at."""

    @property
    def parameters(self) -> type[msgspec.Struct]:
        """The type of its `with:`."""


class Unread(AttributeError):
    """Somebody asked a Partial for a part that could not be read."""


class Partial:
    """As much of a record as could be read. Asking for the rest raises Unread."""

    def __init__(self, known: dict[str, Any]) -> None:
        self.__dict__.update(known)

    def __getattr__(self, name: str) -> Any:
        raise Unread(name)


@cache
def _known(type_: type) -> inspect.Type:
    return inspect.type_info(type_)


def locate(root: Node, path: Path) -> int | None:
    """Return the line of the value at `path`, or of the last thing on the way to it that is there."""
    node, line = root, root.line
    for step in path:
        if isinstance(node.value, dict) and step in node.value:
            line = node.keys.get(str(step), line)
            node = node.value[step]
        elif isinstance(node.value, list) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.line
        else:
            break
    return line


class Walk:
    """One tree's way through its types. `problems` has what was wrong when it is over.

    `faults` None: `with:` is not looked into. `rules` are those of each record, by its type.
    """

    def __init__(
        self, root: Node, file: str, faults: Mapping[str, FaultType] | None = None, rules: Rules = RULES
    ) -> None:
        self.root = root
        self.file = file
        self.faults = faults
        self.rules = rules
        self.problems: list[Problem] = []

    def typed(self, type_: type, path: Path = ()) -> Any:
        """Return the tree as a `type_`; a Partial where there are problems."""
        return self._value(self.root, _known(type_), path)

    def report(self, path: Path, message: str, advice: str) -> Any:
        """Take a problem down. Returns the broken value, for the caller to return."""
        self.problems.append(Problem(self.file, locate(self.root, path), written(path), message, advice))
        return _BROKEN

    def _value(self, node: Node, type_: inspect.Type, path: Path) -> Any:
        """Return what `node` is by `type_`, or a broken value."""
        if node.broken:
            return _BROKEN
        type_ = _bare(type_)
        if node.value is None and not isinstance(type_, inspect.AnyType):
            message = f"expected {wanted(type_)}, found nothing"
            return self.report(path, message, "give it a value, or leave the field out")
        match type_:
            case inspect.StructType():
                return self._struct(node, type_, path)
            case inspect.ListType() | inspect.VarTupleType():
                return self._sequence(node, type_, path)
            case inspect.DictType():
                return self._mapping(node, type_, path)
        return self._scalar(node, type_, path)

    def _struct(self, node: Node, type_: inspect.StructType, path: Path) -> Any:
        if not isinstance(node.value, dict):
            self._wrong(node.value, type_, path)
            return Partial({})
        before = len(self.problems)
        values = self._fields(node, type_, path)
        if type_.cls is Injection and self.faults is not None:
            self._parameters(node, self.faults, values, path)
        record: Any = Partial(values)
        if len(self.problems) == before and len(values) == len(type_.fields):
            record = self._build(type_, values, path)
        self._rules(type_.cls, record, path)
        return record

    def _fields(self, node: Node, type_: inspect.StructType, path: Path) -> dict[str, Any]:
        """Return the values of a record's fields that could be read, by their names in Python."""
        known = [field.encode_name for field in type_.fields]
        meant = set()
        for key in node.value:
            if key not in known and key != type_.tag_field and not (type_.cls is Metadata and key in KEPT_BY_SERVER):
                meant.add(nearest(key, known))
                self.report((*path, key), "unknown field", choose(key, known))
        values = {}
        for field in type_.fields:
            here = (*path, field.encode_name)
            given = node.value.get(field.encode_name)
            if given is not None and (field.required or not _is_nothing(given)):
                value = self._value(given, field.type, here)
            elif not field.required:
                value = _default(field)
            elif field.encode_name in meant:  # a slip of the pen is one problem, not two
                continue
            else:
                value = self.report(here, "missing", f"add it: {_example(field.type)}")
            if value is not _BROKEN:
                values[field.name] = value
        return values

    def _build(self, type_: inspect.StructType, values: dict[str, Any], path: Path) -> Any:
        try:
            return type_.cls(**values)
        except (ValueError, TypeError) as error:  # what a `__post_init__` says: "field: what would do"
            name, colon, wants = str(error).partition(": ")
            field = next((field for field in type_.fields if colon and name == field.encode_name), None)
            if field is None:
                self.report(path, str(error), "change what it names")
            else:
                self.report((*path, name), f"found {values[field.name]}", f"write {wants}")
            return Partial(values)

    def _rules(self, cls: type, record: Any, path: Path) -> None:
        for rule in self.rules.get(cls, ()):
            try:
                for way, message, advice in rule(record):
                    self.report((*path, *way), message, advice)
            except Unread:
                continue

    def _parameters(self, node: Node, faults: Mapping[str, FaultType], values: dict[str, Any], path: Path) -> None:
        """Check `with:` against the fault's own type."""
        name = values.get("fault")
        if name is None:
            return
        if name not in faults:
            self.report((*path, "fault"), f"`{printable(name)}` is no known fault", choose(name, sorted(faults)))
            del values["fault"]  # once is enough
            return
        if "with_" not in values:
            return
        given = node.value.get("with")
        if given is None or _is_nothing(given):
            given = Node({}, node.line, node.column)
        self._value(given, _known(faults[name].parameters), (*path, "with"))

    def _sequence(self, node: Node, type_: inspect.ListType | inspect.VarTupleType, path: Path) -> Any:
        if not isinstance(node.value, list):
            return self._wrong(node.value, type_, path)
        self._bounded_size(len(node.value), LONGEST_LIST, "items", path)
        items = [self._value(item, type_.item_type, (*path, place)) for place, item in enumerate(node.value)]
        if any(item is _BROKEN for item in items):
            return _BROKEN
        return items if isinstance(type_, inspect.ListType) else tuple(items)

    def _mapping(self, node: Node, type_: inspect.DictType, path: Path) -> Any:
        if not isinstance(node.value, dict):
            return self._wrong(node.value, type_, path)
        self._bounded_size(len(node.value), LARGEST_MAPPING, "fields", path)
        given = {key: item for key, item in node.value.items() if not _is_nothing(item)}
        values = {key: self._value(item, type_.value_type, (*path, key)) for key, item in given.items()}
        readable = {key: value for key, value in values.items() if value is not _BROKEN}
        return _BROKEN if values and not readable else readable

    def _scalar(self, node: Node, type_: inspect.Type, path: Path) -> Any:
        match type_, node.value:
            case inspect.AnyType(), _:
                return node.plain()
            case inspect.CustomType(cls=unit), str(text) if issubclass(unit, Unit):
                return self._unit(text, unit, path)
            case inspect.LiteralType(values=choices), str(text) if text not in choices:
                return self.report(path, f"found {describe(text)}", choose(text, [str(one) for one in choices]))
            case inspect.StrType(), str(text):
                self._bounded_size(len(text), LONGEST_TEXT, "characters", path)
                return text
            case (inspect.LiteralType(), str()) | (inspect.BoolType(), bool()):
                return node.value
            case inspect.IntType() | inspect.FloatType(), int(number) | float(number) if _is_number(number, type_):
                return self._bounded(number, type_, path)
        return self._wrong(node.value, type_, path)

    def _bounded_size(self, size: int, most: int, of: str, path: Path) -> None:
        """Hold a spec's value against a bound; what was sound in its day, and a status, have none."""
        if size > most and path[:1] == ("spec",) and self.rules:
            self.report(path, f"{size} {of}", f"write at most {most}")

    def _unit(self, text: str, unit: type[Unit], path: Path) -> Any:
        try:
            return unit.parse(text)
        except UnitError:
            return self.report(
                path,
                f"expected {wanted(inspect.CustomType(unit))}, found {describe(text)}",
                f"write it like {unit.example}",
            )

    def _bounded(self, value: float, type_: inspect.IntType | inspect.FloatType, path: Path) -> Any:
        """Hold a number against the bounds that its type states."""
        for bound, holds, words in (
            (type_.ge, operator.ge, "at least"),
            (type_.gt, operator.gt, "more than"),
            (type_.le, operator.le, "at most"),
            (type_.lt, operator.lt, "less than"),
        ):
            if bound is not None and not holds(value, bound):
                return self.report(path, f"found the number {value}", f"write {words} {bound}")
        return float(value) if isinstance(type_, inspect.FloatType) else int(value)

    def _wrong(self, value: Any, type_: inspect.Type, path: Path) -> Any:
        return self.report(path, f"expected {wanted(type_)}, found {describe(value)}", _advice(value, type_))


def _is_number(value: float, type_: inspect.Type) -> bool:
    """Tell whether a value is a number of the kind that `type_` wants; true and false are none, for all that Python says."""
    if isinstance(value, bool) or not isfinite(value):
        return False
    return isinstance(type_, inspect.FloatType) or (value == int(value) and -(2**63) <= value < 2**63)


def _is_nothing(node: Node) -> bool:
    """Tell whether a field or an entry is there without a value: to the API server it is as good as absent."""
    return node.value is None and not node.broken


def _bare(type_: inspect.Type) -> inspect.Type:
    """Strip `X | None` and annotations down to X."""
    match type_:
        case inspect.Metadata():
            return _bare(type_.type)
        case inspect.UnionType():
            others = [one for one in type_.types if not isinstance(one, inspect.NoneType)]
            if len(others) == 1:
                return _bare(others[0])
            raise TypeError(f"a field of a document has one type, not {type_}")
    return type_


def _default(field: inspect.Field) -> Any:
    return field.default_factory() if field.default is msgspec.NODEFAULT else field.default


def wanted(type_: inspect.Type) -> str:
    """Say what a type accepts, for a sentence that begins with "expected"."""
    match _bare(type_):
        case inspect.CustomType(cls=unit):
            return f"a {unit.__name__.lower()}"
        case inspect.LiteralType(values=values):
            return "one of " + ", ".join(f"`{value}`" for value in values) if len(values) > 1 else f"`{values[0]}`"
        case other:
            return _WANTED.get(type(other), "a value")


_WANTED: dict[type, str] = {
    inspect.StrType: "a string",
    inspect.BoolType: "true or false",
    inspect.IntType: "a whole number",
    inspect.FloatType: "a number",
    inspect.ListType: "a list",
    inspect.VarTupleType: "a list",
    inspect.DictType: "a mapping",
    inspect.StructType: "a mapping",
}


def _example(type_: inspect.Type) -> str:
    match type_:
        case inspect.CustomType(cls=unit) if issubclass(unit, Unit):
            return f"{wanted(type_)} like {unit.example}"
        case inspect.StructType(fields=fields):
            needed = [field.encode_name for field in fields if field.required]
            return "a mapping with " + ", ".join(f"`{name}`" for name in needed) if needed else wanted(type_)
    return wanted(type_)


def _advice(value: Any, type_: inspect.Type) -> str:
    advice = f"write {wanted(type_)}"
    match type_:
        case inspect.CustomType(cls=unit) if issubclass(unit, Unit):
            advice = f"write it as a string, like {unit.example}"
        case inspect.StrType() | inspect.LiteralType() if isinstance(value, bool | int | float):
            advice = f'put it in quotes: "{str(value).lower()}"'
        case inspect.ListType() | inspect.VarTupleType():
            advice = "write its items in lines of their own, each after `- `"
        case inspect.DictType() | inspect.StructType():
            advice = "write its fields in lines of their own, as `name: value`"
        case inspect.IntType() | inspect.FloatType() if isinstance(value, str):
            advice = "write it without quotes and units"
        case inspect.BoolType():
            advice = "write true or false, without quotes"
    return advice
