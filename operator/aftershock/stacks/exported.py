"""A local stack as objects of the Kubernetes API: its Stack, and a Secret with what its documents read from files. Pure but
for reading those files; sends nothing.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aftershock.adapters import secrets
from aftershock.model.metadata import Secret

Tree = dict[str, Any]
_SOURCES = ({"file"}, {"env"})
_NO_KEY = re.compile(r"[^-._a-zA-Z0-9]")


def objects(tree: Mapping[str, Any], folder: Path, name: str, namespace: str) -> tuple[Tree, Tree]:
    """Return a Stack called `name`, and the Secret of that name which it refers to. Relative paths in `tree` start at `folder`.

    What lies in files or in environment variables is read now; InputError where it can't be.
    """
    values: dict[str, str] = {}
    spec = _moved(tree["spec"], folder, name, values)
    meta = {"name": name, "namespace": namespace}
    stack = {"apiVersion": tree["apiVersion"], "kind": "Stack", "metadata": meta, "spec": spec}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": "Opaque", "stringData": values}
    return stack, secret


def _moved(value: Any, folder: Path, name: str, values: dict[str, str]) -> Any:
    """Return a part of the Stack with references to the Secret in the places of files and variables; fill `values`."""
    match value:
        case dict() if set(value) in _SOURCES:
            return {"secretRef": {"name": name, "key": _kept(value, folder, values)}}
        case {"pidFile": {"path": str(path)}}:
            return {**value, "pidFile": {"path": str(folder / path)}}
        case dict():
            return {field: _moved(each, folder, name, values) for field, each in value.items()}
        case list():
            return [_moved(each, folder, name, values) for each in value]
    return value


def _kept(source: Mapping[str, str], folder: Path, values: dict[str, str]) -> str:
    """Read a secret, keep it, and return its key: its own name, made longer where another one has that."""
    text = secrets.read(Secret(file=source.get("file"), env=source.get("env")), folder)
    key = _NO_KEY.sub("-", Path(*source.values()).name)
    while values.get(key, text) != text:
        key += "-"
    values[key] = text
    return key
