"""The frozen inputs at the head of a journal, as typed documents.

Only what a judge asks for is read: a journal outlives the version that wrote it, and a field that nobody asks for
shall not keep it from being judged again.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from aftershock.core.history import Begun
from aftershock.model.era import Era
from aftershock.model.experiment import Baseline, Expectation, Guardrail, Injection, Load, Recovery
from aftershock.model.stack import Indicator
from aftershock.model.units import Unit

T = TypeVar("T")


class Inputs(msgspec.Struct, frozen=True):
    """What was measured (by name), and what was asked for."""

    indicators: Mapping[str, Indicator]
    timeline: list[Injection]
    expect: list[Expectation]
    guardrails: list[Guardrail]
    load: Load | None
    baseline: Baseline
    recovery: Recovery


def inputs(begun: Begun) -> Inputs:
    """Read the inputs; msgspec.ValidationError where they aren't what this version understands."""
    asked = begun.experiment.get("spec", {})
    measured = typed(begun.stack.get("spec", {}).get("indicators", []), list[Indicator])
    return Inputs(
        indicators={one.name: one for one in measured},
        timeline=[_plainly(one) for one in typed(asked.get("timeline", []), list[Injection])],
        expect=typed(asked.get("expect", []), list[Expectation]),
        guardrails=typed(asked.get("guardrails", []), list[Guardrail]),
        load=typed(asked["load"], Load) if asked.get("load") else None,
        baseline=typed(asked.get("baseline", {}), Baseline),
        recovery=typed(asked.get("recovery", {}), Recovery),
    )


def _plainly(asked: Injection) -> Injection:
    """Read a fault that stands for no more than its own length as one that stands for itself: nothing is multiplied."""
    own = asked.represents is None or asked.represents <= asked.for_
    return msgspec.structs.replace(asked, represents=None) if own else asked


def eras(begun: Begun) -> dict[str, Era]:
    """Return the eras that the run carries, by name; `begun.judge_by` says by which of them it is judged."""
    return {one.metadata.name: one for one in typed(begun.eras, list[Era])}


def typed(tree: Any, kind: type[T]) -> T:
    """Turn a plain tree into a type of the model."""
    return msgspec.convert(tree, kind, dec_hook=_unit)


def _unit(kind: type[Any], value: Any) -> Any:
    """Read a unit, which stands as a string in YAML."""
    if issubclass(kind, Unit):
        return kind.parse(str(value))
    raise NotImplementedError(kind)
