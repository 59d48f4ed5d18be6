"""What a run is going to do, worked out before anything is touched: `aftershock plan` prints it, the executor obeys it."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from aftershock.core.lease import GRACE
from aftershock.model.experiment import Experiment
from aftershock.model.stack import Stack

SPIKE = "traffic-spike"


class Step(msgspec.Struct, frozen=True):
    """One fault on the timeline. `start` and `end` are seconds after the baseline."""

    injection: int
    fault: str
    target: str
    start: float
    end: float
    represents: float | None
    parameters: Mapping[str, Any]


class Plan(msgspec.Struct, frozen=True):
    """The whole run. Durations in seconds; `watched` are the indicators that are probed throughout.

    `load`: its indicator and requests a second, which `shards` generators send together.
    """

    experiment: str
    stack: str
    environment: str
    steps: Sequence[Step]
    baseline: float
    active: float
    watch: float
    steady: float
    watched: Sequence[str]
    load: tuple[str, float] | None
    shards: int = 1

    @property
    def longest(self) -> float:
        """The longest the run can take, in seconds, cleanup not counted."""
        return self.baseline + self.active + self.watch

    def rates(self, begin: float) -> list[tuple[float, float]]:
        """Return the load's steps as (run second, requests a second), spikes included, given when Active began.

        The way back down is part of what is sent ahead: a spike ends by itself though the executor is gone.

        >>> spike = Step(0, "traffic-spike", "load", 5.0, 15.0, None, {"factor": 10})
        >>> Plan("e", "s", "test", [spike], 0, 15, 0, 0, [], ("join", 20.0)).rates(100.0)
        [(105.0, 200.0), (115.0, 20.0)]
        """
        if self.load is None:
            return []
        spikes = [step for step in self.steps if step.fault == SPIKE]
        edges = sorted({edge for step in spikes for edge in (step.start, step.end)})
        return [(begin + edge, self.load[1] * _factor(spikes, edge)) for edge in edges]


def _factor(spikes: Sequence[Step], when: float) -> float:
    factor = 1.0
    for step in spikes:
        if step.start <= when < step.end:
            factor *= float(step.parameters["factor"])
    return factor


def compile_plan(experiment: Experiment, stack: Stack) -> Plan:
    """Work out the plan of a validated experiment on a validated stack."""
    spec = experiment.spec
    steps = [
        Step(
            number,
            entry.fault,
            entry.target,
            float(entry.at),
            float(entry.at + entry.for_),
            entry.represents,
            entry.with_,
        )
        for number, entry in enumerate(spec.timeline)
    ]
    return Plan(
        experiment=experiment.metadata.name,
        stack=stack.metadata.name,
        environment=stack.spec.environment,
        steps=sorted(steps, key=lambda step: (step.start, step.injection)),
        baseline=float(spec.baseline.for_),
        active=max((step.end for step in steps), default=0.0),
        watch=float(spec.recovery.watch),
        steady=float(spec.recovery.steady),
        watched=[indicator.name for indicator in stack.spec.indicators],
        load=(spec.load.indicator, float(spec.load.rate)) if spec.load else None,
        shards=spec.load.shards if spec.load else 1,
    )


def longest(experiment: Experiment) -> float:
    """Return the longest that a run of the experiment can take on any stack, in seconds, cleanup not counted."""
    spec = experiment.spec
    active = max((float(entry.at + entry.for_) for entry in spec.timeline), default=0.0)
    return float(spec.baseline.for_) + active + float(spec.recovery.watch)


def lease_seconds(step: Step) -> float:
    """Return how long a step's lease lasts from its injection: the planned length and the grace."""
    return step.end - step.start + GRACE
