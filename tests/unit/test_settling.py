"""How long a fault has to be held is known before the run, and it is what the judge then needs."""

import pytest
from msgspec.structs import replace

from aftershock.adapters import catalog
from aftershock.core.plan import Plan, Step
from aftershock.core.settling import too_short
from aftershock.faults.registry import FAULTS
from aftershock.model.era import Era
from aftershock.model.load import load
from aftershock.model.metadata import Metadata
from aftershock.model.stack import Indicator, Stack, StackSpec
from aftershock.model.units import Duration
from aftershock.reports import outline

INDICATORS = [Indicator(name="meeting-success"), Indicator(name="join", timeout=Duration(10))]
STACK = Stack(
    api_version="aftershock.dev/v1alpha1",
    metadata=Metadata(name="tested"),
    spec=StackSpec(era="1k", environment="test", indicators=INDICATORS),
)


def era() -> Era:
    (path,) = (path for path in catalog.eras() if path.stem == "1k")
    (document,) = load(path, FAULTS).sound()
    assert isinstance(document.object, Era)
    return document.object


def plan(held: float, represents: float | None) -> Plan:
    step = Step(0, "latency", "app-to-primary", 2.0, 2.0 + held, represents, {})
    return Plan("e", "tested", "test", [step], 5, 2 + held, 60, 7, ["meeting-success", "join"], None)


@pytest.mark.parametrize(("held", "found"), [(2, ["uptime", "join-latency"]), (20, ["join-latency"]), (22, [])])
def test_a_short_hold_settles_for_no_objective_with_a_long_timeout(held: float, found: list[str]) -> None:
    assert [short.objective for short in too_short(plan(held, 1200), STACK, [era()])] == found


def test_what_stands_for_itself_need_not_settle() -> None:
    assert list(too_short(plan(2, None), STACK, [era()])) == []


def test_a_plan_says_what_would_do_once_for_all_eras() -> None:
    (said,) = outline.doubts(plan(20, 1200), STACK, [era(), era()])
    assert "join-latency needs at least 22 s" in said


def test_a_plan_says_what_the_stack_does_not_measure_once_for_all_objectives() -> None:
    stack = replace(STACK, spec=replace(STACK.spec, indicators=INDICATORS[:1]))
    (said,) = outline.doubts(plan(2, None), stack, [era(), era()])
    assert said.startswith("stack tested doesn't measure join, so join-latency (era 1k)"), said
    assert outline.doubts(plan(2, None), STACK, [era()]) == []
