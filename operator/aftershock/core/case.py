"""A journal made ready for judging: what every claim needs, worked out once for all eras."""

from collections.abc import Mapping, Sequence

import msgspec

from aftershock.core.history import Aborting, Ended, History, Slice
from aftershock.core.holds import Hold, holds
from aftershock.core.inputs import Inputs, inputs
from aftershock.core.readings import Reading, readings
from aftershock.core.series import WARM_UP, Cell, recorded, row, watched_until
from aftershock.model.era import Objective


class Case(msgspec.Struct, frozen=True):
    """`rows` and `slices`: by indicator, of probes; `load`: the load's cells.

    Times are run seconds, None where the journal doesn't say. `since`: the first injection's start; without any
    injection asked for, the start of Active. `healed`: the end of the last healing, None while something injected isn't
    healed. `watched`: until when slices were due.
    """

    history: History
    inputs: Inputs
    holds: Sequence[Hold]
    rows: Mapping[str, Sequence[Cell]]
    slices: Mapping[str, Mapping[int, Slice]]
    load: Sequence[Cell]
    since: float | None
    healed: float | None
    watched: float

    @property
    def aborting(self) -> Aborting | None:
        """What cut the run short."""
        return self.history.first(Aborting)

    @property
    def cut_off(self) -> bool:
        """Tell whether the executor was gone before it was done."""
        return self.history.first(Ended) is None

    @property
    def injects(self) -> bool:
        """Tell whether the experiment asks for any fault."""
        return bool(self.inputs.timeline)

    def read(self, objective: Objective) -> list[Reading]:
        """Return an objective's readings; its indicator has to be among the rows."""
        return readings(self.rows[objective.indicator], objective, self.inputs.indicators[objective.indicator])


def case(history: History) -> Case:
    """Prepare a journal. LookupError where it has no first record."""
    asked = inputs(history.begun)
    found = holds(history, asked.timeline)
    watched = watched_until(history)
    slices = {name: recorded(history, name) for name in asked.indicators}
    due = (history.entered("Baseline") or 0.0) + WARM_UP
    started = [one for one in found if one.started is not None]
    healed = [one.healed for one in started if one.healed is not None]
    return Case(
        history=history,
        inputs=asked,
        holds=found,
        rows={name: row(slices[name], one.every, due, watched) for name, one in asked.indicators.items()},
        slices=slices,
        load=_load(history, asked, watched),
        since=_since(history, found),
        healed=max(healed) if healed and len(healed) == len(started) else None,
        watched=watched,
    )


def _since(history: History, found: Sequence[Hold]) -> float | None:
    if not found:
        return history.entered("Active")
    return min((one.started for one in found if one.started is not None), default=None)


def _load(history: History, asked: Inputs, watched: float) -> list[Cell]:
    """Return the load's cells; it is due from the start of Active at the latest.

    Where the rate changes, the next request comes up to one and a half intervals after the last: a shorter cell could be empty
    though everything was sent.
    """
    if asked.load is None:
        return []
    due = (history.entered("Active") or 0.0) + WARM_UP
    return row(recorded(history, asked.load.indicator, "load"), 1.5 / asked.load.rate, due, watched)
