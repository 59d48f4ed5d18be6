"""Service accounts that have a part's rights on the real API server, or all of them but one."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aftershock.adapters import kubernetes as k8s
from aftershock.runtime.cluster.rights import NAMESPACED, RIGHTS, Part, Right
from aftershock.stacks.control_plane import ControlPlane
from control_plane.conftest import account_token, api_of, new_namespace, until

RBAC = "rbac.authorization.k8s.io/v1"
ROLES = k8s.Resource(RBAC, "clusterroles", namespaced=False)
BINDINGS = k8s.Resource(RBAC, "clusterrolebindings", namespaced=False)
LOCAL_BINDINGS = k8s.Resource(RBAC, "rolebindings")


@dataclass(frozen=True)
class One:
    """One verb on one resource, of one part."""

    right: Right
    verb: str

    def __str__(self) -> str:
        return f"{self.right.part}:{self.verb}:{self.right.called}"

    @property
    def missing(self) -> str:
        """What the API server says when it is missing."""
        return f'cannot {self.verb} resource "{self.right.called}" in API group "{self.right.resource.group}"'


EACH = [One(right, verb) for right in RIGHTS for verb in right.verbs]


@dataclass(frozen=True)
class Bound:
    """A service account in a namespace of its own, with a part's rights or with all but one of them."""

    api: k8s.Api
    admin: k8s.Api
    namespace: str
    account: str

    def may(self, one: One) -> bool:
        where = self.namespace if one.right.scope in NAMESPACED else None
        return self.api.may(one.verb, one.right.resource, where, subresource=one.right.sub)


@contextmanager
def granting(plane: ControlPlane, api: k8s.Api) -> Iterator[Callable[..., Bound]]:
    """Give a function that makes a service account with a part's rights, or all of them `without` one."""
    made: list[str] = []
    with new_namespace(api) as namespace:

        def bind(part: Part, without: One | None = None) -> Bound:
            name = f"aftershock-{part}-{secrets.token_hex(3)}"
            user = Bound(api_of(plane, token=account_token(api, name, namespace)), api, namespace, name)
            kept = [
                one for one in EACH if one.right.part == part and (without is None or one.missing != without.missing)
            ]
            for everywhere in (False, True):
                rules = [_rule(one) for one in kept if (one.right.scope not in NAMESPACED) == everywhere]
                role = f"{name}-{'cluster' if everywhere else 'namespace'}"
                _grant(api, role, rules, name, namespace, everywhere=everywhere)
                made.append(role)
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
