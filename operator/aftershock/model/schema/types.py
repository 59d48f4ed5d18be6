"""From a type to its schema: what `check.Walk` reads, said in the words of OpenAPI v3 as Kubernetes wants them."""

from collections.abc import Mapping
from inspect import getdoc
from typing import Any

import msgspec
from msgspec import inspect

from aftershock.model.bounds import LARGEST_MAPPING, LONGEST_LIST, LONGEST_TEXT
from aftershock.model.metadata import Record
from aftershock.model.rules import RULES, cel
from aftershock.model.rules.making import Cel, valid
from aftershock.model.schema import words
from aftershock.model.units import LONGEST_DAYS, Duration, Unit

Tree = dict[str, Any]


_LIMITS: dict[type, Tree] = {
    Duration: valid(Cel(f"{cel.duration('self')} < duration('{LONGEST_DAYS * 24}h')", f"less than {LONGEST_DAYS}d")),
}
"""What no pattern can say."""


class Schemas:
    """Makes schemas. `bounded`: texts and lists have bounds and fields have defaults, as in a spec, not in a status.

    `more` is what only others know of a record: keywords by its type.
    """

    def __init__(self, *, bounded: bool = True, more: Mapping[type, Tree] | None = None) -> None:
        self.bounded, self.more = bounded, more or {}

    def of(self, type_: inspect.Type) -> Tree:
        """Return the schema of one type."""
        match type_:
            case inspect.Metadata():
                return self.of(type_.type)
            case inspect.UnionType():
                (one,) = (each for each in type_.types if not isinstance(each, inspect.NoneType))
                return self.of(one)
            case inspect.StructType():
                return self._record(type_)
            case inspect.ListType() | inspect.VarTupleType():
                return {"type": "array", "items": self.of(type_.item_type), **self._bound("maxItems", LONGEST_LIST)}
            case inspect.DictType(value_type=inspect.AnyType()):
                return {"type": "object"}  # of `with:`: see faults.py
            case inspect.DictType():
                values = self.of(type_.value_type)
                return {
                    "type": "object",
                    "additionalProperties": values,
                    **self._bound("maxProperties", LARGEST_MAPPING),
                }
        return self._scalar(type_)

    def _scalar(self, type_: inspect.Type) -> Tree:
        match type_:
            case inspect.CustomType(cls=unit) if issubclass(unit, Unit):
                return {"type": "string", "pattern": unit.pattern, "maxLength": unit.longest, **_LIMITS.get(unit, {})}
            case inspect.LiteralType(values=values):
                return {"type": "string", "enum": list(values)}
            case inspect.StrType():
                return {"type": "string", **self._bound("maxLength", LONGEST_TEXT)}
            case inspect.BoolType():
                return {"type": "boolean"}
            case inspect.IntType():
                return {"type": "integer", "format": "int64"}
            case inspect.FloatType():
                return {"type": "number"}
        raise TypeError(f"no document can carry {type_}")

    def _bound(self, keyword: str, most: int) -> Tree:
        return {keyword: most} if self.bounded else {}

    def _record(self, type_: inspect.StructType) -> Tree:
        schema: Tree = {"type": "object", "description": getdoc(type_.cls) or ""}
        if needed := [field.encode_name for field in type_.fields if field.required]:
            schema["required"] = needed
        schema["properties"] = {field.encode_name: self._field(field, type_.cls) for field in type_.fields}
        if self.bounded:
            schema = told(schema, type_.cls)
        return merged(schema, self.more.get(type_.cls, {}))

    def _field(self, field: inspect.Field, record: type) -> Tree:
        schema = self.of(field.type)
        told = (words.of(record, field.encode_name), schema.get("description", ""))
        schema = {**schema, "description": "\n\n".join(text for text in told if text)}
        if self.bounded and (default := default_of(field)) is not None:
            schema["default"] = default
        return schema


def told(schema: Tree, kind: type) -> Tree:
    """Return a record's schema with what its rules say."""
    for rule in RULES.get(kind, ()):
        fields = {"properties": dict(rule.fields)} if rule.fields else {}
        schema = merged(schema, {**fields, **(valid(*rule.cel) if rule.cel else {})})
    return schema


def merged(schema: Tree, more: Mapping[str, Any]) -> Tree:
    """Return a schema with further keywords: they go into the mappings that are there, and behind the lists."""
    made = dict(schema)
    for key, value in more.items():
        match made.get(key), value:
            case dict(before), Mapping():
                made[key] = merged(before, value)
            case list(before), list():
                made[key] = before + value
            case _:
                made[key] = value
    return made


def default_of(field: inspect.Field) -> Any:
    """Return what the API server fills in where a field is absent; None where it leaves it absent.

    Lists and mappings are left absent, and so are records without a default in them: an empty one says nothing.
    """
    value = field.default if field.default is not msgspec.NODEFAULT else None
    match value:
        case Unit():
            return str(value)
        case Record():
            inner = {one.encode_name: default_of(one) for one in _fields(type(value))}
            return {name: one for name, one in inner.items() if one is not None} or None
        case tuple():
            return list(value)
        case str() | bool() | int() | float():
            return value
    return None


def _fields(type_: type[Record]) -> tuple[inspect.Field, ...]:
    info = inspect.type_info(type_)
    assert isinstance(info, inspect.StructType)
    return info.fields
