"""Holds: for each injection of the timeline, when it began, when it was proved landed, and when it was healed."""

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from aftershock.core.history import Healed, Healing, History, Injected, Intended, Observed
from aftershock.model.experiment import Injection


class Hold(msgspec.Struct, frozen=True):
    """One injection as it went; run seconds, None where the journal has no such record.

    `settles`: seconds that the target may take, by rules of its own, until the fault is there.
    """

    number: int
    asked: Injection
    intended: float | None
    started: float | None
    landed: float | None
    healing: float | None
    healed: float | None
    settles: float = 0.0

    @property
    def label(self) -> str:
        """What it is called in a sentence."""
        return f"{self.asked.fault} at {self.asked.target}"


def holds(history: History, timeline: Sequence[Injection]) -> list[Hold]:
    """Return one hold for each injection of the timeline, in its order."""
    return [_hold(history, number, asked) for number, asked in enumerate(timeline)]


def _hold(history: History, number: int, asked: Injection) -> Hold:
    def mine(event: Intended | Injected | Observed | Healing | Healed) -> bool:
        return event.injection == number

    started = next((one.started for one in history.all(Injected) if mine(one)), None)
    seen = (one for one in history.all(Observed) if mine(one) and one.when == "during" and one.holds)
    return Hold(
        number=number,
        asked=asked,
        intended=next((one.at for one in history.all(Intended) if mine(one)), None),
        started=started,
        landed=next((one.at for one in seen), None),
        healing=next((one.at for one in history.all(Healing) if mine(one)), None),
        healed=next((one.at for one in reversed(history.all(Healed)) if mine(one)), None),
        settles=next((one.settles for one in history.all(Intended) if mine(one)), 0.0),
    )


def overlapping(all_: Sequence[Hold]) -> bool:
    """Tell whether two faults were held at the same time."""
    known = sorted((one.started, one.healing) for one in all_ if one.started is not None and one.healing is not None)
    return any(later[0] < earlier[1] for earlier, later in pairwise(known))
