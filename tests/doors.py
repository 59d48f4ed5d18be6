"""The two doors that a document can come through: `aftershock validate`, and the API server. Both have to find the same."""

import copy
from typing import Any

from aftershock.adapters import kubernetes as k8s
from aftershock.faults.registry import FAULTS
from aftershock.model.load import KINDS, from_tree
from aftershock.model.problem import Invalid

Tree = dict[str, Any]
STRICT = {"dryRun": "All", "fieldValidation": "Strict"}
"""What kubectl asks for: an unknown field is refused, and not silently cut off. Nothing is kept."""


def validated(tree: Tree) -> str | None:
    """Return what our own door finds wrong with a document; None if nothing."""
    kind = KINDS.get(str(tree.get("kind")))
    if kind is None:
        return f"kind: {tree.get('kind')!r} is no known kind"
    try:
        from_tree(tree, kind, FAULTS)
    except Invalid as invalid:
        return "\n".join(map(str, invalid.problems))
    return None


def admitted(api: k8s.Api, tree: Tree, namespace: str) -> str | None:
    """Return what the API server says against a document; None if it would take it. Anything but yes and no is raised."""
    resource, placed = (
        k8s.Resource(k8s.OURS, f"{str(tree['kind']).lower()}s", tree["kind"] != "Era"),
        _placed(tree, namespace),
    )
    try:
        api.call("POST", resource, "", namespace if resource.namespaced else None, json=placed, params=STRICT)
    except k8s.RefusedError as refused:
        return str(refused)
    return None


def _placed(tree: Tree, namespace: str) -> Tree:
    """Put a document into the test's namespace, if it names one that could be; kubectl does so with what names none."""
    meta = tree.get("metadata")
    if not isinstance(meta, dict) or not isinstance(where := meta.get("namespace"), str):
        return tree
    sound = validated({**tree, "metadata": {**meta, "namespace": "sound"}}) == validated(tree)
    placed = copy.deepcopy(tree)
    if tree["kind"] == "Era":
        del placed["metadata"]["namespace"]
    else:
        placed["metadata"]["namespace"] = namespace if sound else where
    return placed
