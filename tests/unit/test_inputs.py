"""The frozen inputs, as judges read them."""

import msgspec
import pytest

from aftershock.core.inputs import inputs
from journals import demo


@pytest.mark.parametrize(("represents", "read"), [("30s", None), ("31s", 31.0), ("30m", 1800.0)])
def test_a_fault_that_stands_for_its_own_length_is_not_multiplied(represents: str, read: float | None) -> None:
    begun = demo().begun
    (entry,) = begun.experiment["spec"]["timeline"]
    timeline = [{**entry, "for": "30s", "represents": represents}]
    document = {**begun.experiment, "spec": {**begun.experiment["spec"], "timeline": timeline}}
    (asked,) = inputs(msgspec.structs.replace(begun, experiment=document)).timeline
    assert asked.represents == read
