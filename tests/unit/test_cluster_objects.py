"""Objects of the API as documents: a Stack in a cluster has no secrets but those of its own namespace."""

import copy
from pathlib import Path
from typing import Any

import pytest

from aftershock.faults.registry import FAULTS
from aftershock.model.load import load
from aftershock.model.problem import Invalid
from aftershock.runtime.cluster import objects

GOOD = Path(__file__).parents[1] / "corpus" / "good"


def tree(name: str) -> dict[str, Any]:
    """Return the Stack of a good file."""
    return next(
        copy.deepcopy(each.tree) for each in load(GOOD / f"{name}.yaml", FAULTS).sound() if each.kind == "Stack"
    )


def test_every_secret_from_a_file_or_a_variable_is_refused_by_its_place() -> None:
    with pytest.raises(Invalid) as refused:
        objects.stack(tree("stack-local"))
    places = [each.field for each in refused.value.problems]
    text = (GOOD / "stack-local.yaml").read_text()
    assert len(places) == text.count("{env: ") + text.count("{file: ") + text.count("gdnsd: {")
    assert {"spec.databases[0].dsn.env", "spec.indicators[0].http.auth.bearer.env"} <= set(places)


def test_secrets_of_its_own_namespace_and_settings_are_no_such_thing() -> None:
    assert objects.stack(tree("stack-in-a-cluster")).name == "meetings"
