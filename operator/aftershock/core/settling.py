"""How long a fault has to be held before what was seen of it may stand for a longer one: known before the run. Pure.

The judge multiplies only the settled part of a hold (`core/budget.py`), and an indicator with a long timeout leaves
little of a short one. A run that can't be decided for that reason need not be carried out.
"""

from collections.abc import Iterator, Sequence
from math import ceil

import msgspec

from aftershock.core.budget import ENOUGH
from aftershock.core.plan import Plan, Step
from aftershock.core.readings import ROLLING
from aftershock.model.era import Era, Objective
from aftershock.model.stack import Indicator, Stack

LANDS = 1.0
"""Seconds until a fault is usually proved landed."""


class Short(msgspec.Struct, frozen=True):
    """A step that is held for too short a time to be multiplied for an objective; `needed` in whole seconds."""

    step: Step
    objective: str
    timeout: float
    needed: float


def needed(objective: Objective, indicator: Indicator) -> float:
    """Return for how many seconds a fault has to be held, so that both halves of what settled have samples enough."""
    sample = max(ROLLING, indicator.every) if objective.below is not None else float(indicator.every)
    lead = ROLLING if objective.below is not None else 0.0
    return float(ceil(LANDS + lead + indicator.timeout + 2 * ENOUGH * sample))


def too_short(plan: Plan, stack: Stack, eras: Sequence[Era]) -> Iterator[Short]:
    """Yield what a judge could not decide, whatever the run shows: once for a step and an objective's name."""
    indicators = {indicator.name: indicator for indicator in stack.spec.indicators}
    told: set[tuple[int, str]] = set()
    for step in plan.steps:
        for objective in (one for era in eras for one in era.spec.objectives):
            indicator = indicators.get(objective.indicator)
            if (
                step.represents is None
                or step.represents <= step.end - step.start
                or indicator is None
                or (step.injection, objective.name) in told
            ):
                continue
            if step.end - step.start < (long := needed(objective, indicator)):
                told.add((step.injection, objective.name))
                yield Short(step, objective.name, float(indicator.timeout), long)
