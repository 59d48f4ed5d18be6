"""Typed documents back to plain trees and YAML: what is written here, `load` reads as the same document."""

from functools import cache
from typing import Any

import msgspec

from aftershock.model.units import Unit
from aftershock.model.yaml12 import elsewhere, resolve

_BREAKS = frozenset("\x85\u2028\u2029")
"""Line breaks of YAML 1.1 that are none in 1.2: only an escape means the same to both."""


def to_tree(record: msgspec.Struct) -> dict[str, Any]:
    """Return a document, or any record of one, as a plain tree: units as strings, defaults left out."""
    config = type(record).__struct_config__
    tree: dict[str, Any] = {}
    for field in msgspec.structs.fields(record):
        value = getattr(record, field.name)
        if field.required or value != _default(field):
            tree[field.encode_name] = _plain(value)
    if config.tag_field is not None:
        tree = {"apiVersion": tree.pop("apiVersion", None), config.tag_field: config.tag, **tree}
    return tree


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def _plain(value: Any) -> Any:
    match value:
        case Unit():
            return str(value)
        case msgspec.Struct():
            return to_tree(value)
        case list() | tuple():
            return [_plain(item) for item in value]
        case dict():
            return {key: _plain(item) for key, item in value.items()}
    return value


def dump_yaml(*trees: dict[str, Any]) -> str:
    """Return plain trees as YAML, a document each, that readers of YAML 1.1 and of 1.2 understand alike."""
    import yaml  # noqa: PLC0415  # who only reads journals needs no YAML

    written: str = yaml.dump_all(trees, Dumper=_dumper(), sort_keys=False, allow_unicode=True, width=120)
    return written


@cache
def _dumper() -> Any:
    """Return what writes every value out, and quotes what either version of YAML would take for something else than text."""
    import yaml  # noqa: PLC0415

    class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
        """libyaml's, where PyYAML was built with it."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        plain = resolve(value)[0] == "str" and not elsewhere(value) and not _BREAKS.intersection(value)
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if plain else '"')

    Dumper.add_representer(str, text)
    return Dumper
