"""Each right of each part, taken away: what needs it fails and names it; with all of them nothing is missing.

The roles are made of the same table as the chart's. Every call goes to the real API server as a service account that is bound
to them and to nothing else.
"""

import re
from collections.abc import Callable, Iterator

import pytest

from aftershock.adapters import kubernetes as k8s
from aftershock.errors import AftershockError
from aftershock.runtime.cluster.rights import PARTS, Part, lacking
from aftershock.stacks.control_plane import ControlPlane
from control_plane.granted import EACH, Bound, One, granting

each_right = pytest.mark.parametrize("one", EACH, ids=str)


@pytest.fixture
def bound(plane: ControlPlane, api: k8s.Api, applied_crds: None) -> Iterator[Callable[..., Bound]]:
    with granting(plane, api) as bind:
        yield bind


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
    if one.right.scope != "regionFaults":
        (told,) = lacking(user.api, one.right.part, [user.namespace])
        assert one.missing in told and one.right.why in told


@pytest.mark.parametrize("part", PARTS)
def test_with_all_rights_none_is_missing(bound: Callable[..., Bound], part: Part) -> None:
    user = bound(part)
    assert lacking(user.api, part, [user.namespace]) == []
    for one in EACH:
        if one.right.part == part:
            try:
                used(user.api, one, user.namespace)
            except k8s.ForbiddenError as error:
                pytest.fail(f"{one}: {error}")
            except AftershockError:
                continue  # nothing is there, or nothing sound was sent: it got past the rights
