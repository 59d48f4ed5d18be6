"""From a type to its schema: what `check.Walk` reads, said in the words of OpenAPI v3 as Kubernetes wants them."""

from typing import Any

import msgspec
from msgspec import inspect

from aftershock.model.bounds import LARGEST_MAPPING, LONGEST_LIST, LONGEST_TEXT
from aftershock.model.metadata import Record
from aftershock.model.units import Unit

Tree = dict[str, Any]


class Schemas:
    """Makes schemas. `bounded`: texts and lists have bounds and fields have defaults, as in a spec, not in a status."""

    def __init__(self, *, bounded: bool = True) -> None:
        self.bounded = bounded

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
                return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
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
                return {"type": "string", "pattern": unit.pattern}
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
        schema: Tree = {"type": "object"}
        if needed := [field.encode_name for field in type_.fields if field.required]:
            schema["required"] = needed
        schema["properties"] = {field.encode_name: self._field(field) for field in type_.fields}
        return schema

    def _field(self, field: inspect.Field) -> Tree:
        schema = self.of(field.type)
        if self.bounded and (default := default_of(field)) is not None:
            schema["default"] = default
        return schema


def default_of(field: inspect.Field) -> Any:
    """Return what the API server fills in where a field is absent; None where it leaves it absent.

    Lists and mappings are left absent, and so are records without a default in them: an empty one says nothing.
    """
    value = field.default if field.default is not msgspec.NODEFAULT else None
    match value:
        case Unit():
            return str(value)
        case Record():
            return {} if any(default_of(one) is not None for one in _fields(type(value))) else None
        case tuple():
            return list(value)
        case str() | bool() | int() | float():
            return value
    return None


def _fields(type_: type[Record]) -> tuple[inspect.Field, ...]:
    info = inspect.type_info(type_)
    assert isinstance(info, inspect.StructType)
    return info.fields
