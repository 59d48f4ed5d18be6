"""What the code asks of the Kubernetes API, read from the code itself: each verb on each resource is some part's right.

That a right is the right part's, a real API server tells (tests/control_plane/test_rights*.py); a call that no test there
happens to make is found here.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import aftershock
from aftershock.adapters import kubernetes as k8s
from aftershock.runtime.cluster.rights import RIGHTS

CODE = Path(aftershock.__file__).parent
ELSEWHERE = {
    "runtime/cluster/asking.py",
    "runtime/cluster/fetching.py",
    "cli/demo_kubectl.py",
    "adapters/kubernetes.py",
}
"""What `kubectl aftershock` and the demo do, a user does, with rights of his own; what he may, everybody may ask."""
VERBS = {
    "get": "get", "find": "get", "list": "list", "create": "create", "patch": "patch", "replace": "update", "delete": "delete",
}  # fmt: skip


def asked(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield verb, resource as a Role names it, and line, of each call on a resource that is named where it is made."""
    calls = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
    for node in calls:
        if isinstance(node.func, ast.Attribute) and node.func.attr in VERBS and node.args:
            name = ast.unparse(node.args[0]).removeprefix("k8s.")
            resource = getattr(k8s, name, None) if name.isidentifier() else None
            if isinstance(resource, k8s.Resource):
                sub = next((ast.literal_eval(more.value) for more in node.keywords if more.arg == "subresource"), "")
                called = f"{resource.plural}/{sub}" if sub else resource.plural
                yield VERBS[node.func.attr], called, f"{path.relative_to(CODE)}:{node.lineno}"


FILES = [path for path in sorted(CODE.rglob("*.py")) if str(path.relative_to(CODE)) not in ELSEWHERE]
ASKED = [one for path in FILES for one in asked(path)]


@pytest.mark.parametrize(("verb", "called", "line"), ASKED, ids=lambda value: value)
def test_every_call_is_somebodys_right(verb: str, called: str, line: str) -> None:
    assert (verb, called) in {(one, right.called) for right in RIGHTS for one in right.verbs}, line


def test_the_calls_are_found() -> None:
    """As many as there were when this was written, about: a call of another shape would not be seen."""
    assert len(ASKED) > 50
    assert {called for _, called, _ in ASKED} >= {"runs", "runs/status", "pods", "services", "nodes", "leases"}
