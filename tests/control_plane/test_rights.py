"""Each right of each part, taken away: what needs it fails and names it; with all of them nothing is missing.

The roles are the chart's, made of the same table. Every call goes to the real API server as a service account that is
bound to them and to nothing else.
"""

import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from aftershock.adapters import kubernetes as k8s
from aftershock.errors import AftershockError
from aftershock.runtime.cluster.rights import PARTS, RIGHTS, Part, Right
from aftershock.stacks.control_plane import ControlPlane
from control_plane.conftest import account_token, api_of, new_namespace, until

RBAC = "rbac.authorization.k8s.io/v1"
ROLES = k8s.Resource(RBAC, "clusterroles", namespaced=False)
BINDINGS = k8s.Resource(RBAC, "clusterrolebindings", namespaced=False)
LOCAL_BINDINGS = k8s.Resource(RBAC, "rolebindings")
REVIEWS = k8s.Resource("authorization.k8s.io/v1", "selfsubjectaccessreviews", namespaced=False)


@dataclass(frozen=True)
class One:
    """One verb on one resource, of one part."""

    right: Right
    verb: str

    def __str__(self) -> str:
        return f"{self.right.part}:{self.verb}:{self.right.called}"

    @property
    def review(self) -> dict[str, str]:
        group, resource = self.right.resource.group, self.right.resource.plural
        return {"group": group, "resource": resource, "subresource": self.right.sub, "verb": self.verb}

    @property
    def missing(self) -> str:
        """What the API server says when it is missing."""
        return f'cannot {self.verb} resource "{self.right.called}" in API group "{self.right.resource.group}"'


EACH = [One(right, verb) for right in RIGHTS for verb in right.verbs]
each_right = pytest.mark.parametrize("one", EACH, ids=str)


@dataclass(frozen=True)
class Bound:
    """A service account in a namespace of its own, with a part's rights or with all but one of them."""

    api: k8s.Api
    admin: k8s.Api
    namespace: str

    def may(self, one: One) -> bool:
        where = {"namespace": self.namespace} if one.right.scope == "namespace" else {}
        asked = {"apiVersion": REVIEWS.group_version, "kind": "SelfSubjectAccessReview"}
        answer = self.api.call("POST", REVIEWS, json={**asked, "spec": {"resourceAttributes": {**one.review, **where}}})
        return bool(answer["status"]["allowed"])


@pytest.fixture
def bound(plane: ControlPlane, api: k8s.Api, applied_crds: None) -> Iterator[Callable[..., Bound]]:
    made: list[str] = []
    with new_namespace(api) as namespace:

        def bind(part: Part, without: One | None = None) -> Bound:
            name = f"aftershock-{part}-{secrets.token_hex(3)}"
            user = Bound(api_of(plane, token=account_token(api, name, namespace)), api, namespace)
            kept = [one for one in EACH if one.right.part == part and one != without]
            for scope in ("namespace", "cluster"):
                rules = [_rule(one) for one in kept if (one.right.scope == "namespace") == (scope == "namespace")]
                _grant(api, f"{name}-{scope}", rules, name, namespace, everywhere=scope == "cluster")
                made.append(f"{name}-{scope}")
            until(lambda: all(user.may(one) for one in kept))  # the authorizer learns of it by a watch
            return user

        yield bind
        for name in made:
            api.delete(BINDINGS, name)
            api.delete(ROLES, name)


def _rule(one: One) -> dict[str, list[str]]:
    return {**one.right.rule(), "verbs": [one.verb]}


def _grant(api: k8s.Api, name: str, rules: Sequence[Any], account: str, namespace: str, *, everywhere: bool) -> None:
    """Bind a cluster role, in one namespace or everywhere: a Role and it are the same to who is bound."""
    api.create(ROLES, {"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": name}, "rules": list(rules)})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    kind = "ClusterRoleBinding" if everywhere else "RoleBinding"
    tree = {"apiVersion": RBAC, "kind": kind, "metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
    api.create(BINDINGS if everywhere else LOCAL_BINDINGS, tree, None if everywhere else namespace)


# Every verb, as the adapter makes it


def used(api: k8s.Api, one: One, namespace: str) -> None:
    """Use a right as its part does, on an object that isn't there: what is allowed is then not found, or not valid."""
    resource, sub = one.right.resource, one.right.sub
    where = namespace if resource.namespaced else None
    dry = {"dryRun": "All"}
    way = f"nothing/{sub}" if sub else "nothing"
    match one.verb:
        case "get":
            api.get(resource, way, where)
        case "list":
            api.list(resource, where)
        case "watch":
            api.call("GET", resource, "", where, params={"watch": "1", "timeoutSeconds": "1", "resourceVersion": "x"})
        case "create" if sub:
            api.call("POST", resource, way, where, json={}, params=dry)
        case "create":
            api.call("POST", resource, "", where, json={"metadata": {"name": "nothing"}}, params=dry)
        case "patch":
            api.patch(resource, "nothing", {"metadata": {"labels": {"a": "b"}}}, where, subresource=sub)
        case "update":
            api.call("PUT", resource, way, where, json={"metadata": {"name": "nothing"}}, params=dry)
        case "delete":
            api.delete(resource, "nothing", where)
        case other:
            pytest.fail(f"a test is missing for the verb {other}")


@each_right
def test_a_right_that_is_missing_is_named(bound: Callable[..., Bound], one: One) -> None:
    user = bound(one.right.part, without=one)
    assert not user.may(one), "another rule gives it too: one of them is superfluous"
    with pytest.raises(k8s.ForbiddenError, match=re.escape(one.missing)) as caught:
        used(user.api, one, user.namespace)
    assert "the chart's role" in caught.value.advice


@pytest.mark.parametrize("part", PARTS)
def test_with_all_rights_none_is_missing(bound: Callable[..., Bound], part: Part) -> None:
    user = bound(part)
    for one in EACH:
        if one.right.part == part:
            try:
                used(user.api, one, user.namespace)
            except k8s.ForbiddenError as error:
                pytest.fail(f"{one}: {error}")
            except AftershockError:
                continue  # nothing is there, or nothing sound was sent: it got past the rights
