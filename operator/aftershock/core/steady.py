"""What the executor asks while the run goes on: is the stack steady, has it recovered? The judge's own rules, on less.

The newest slices are still on their way then: an answer may take as long as its timeout. They are waited for that long
and not held against the stack; what is overdue is.
"""

from collections.abc import Iterator, Sequence

from aftershock.core.held import Recovered, held, steady_claim
from aftershock.core.history import SLICE, History, Slice
from aftershock.core.inputs import inputs
from aftershock.core.readings import ROLLING, Reading, readings
from aftershock.core.series import WARM_UP, recorded, row, width
from aftershock.core.verdict import Claim
from aftershock.core.wording import duration
from aftershock.model.era import Objective
from aftershock.model.stack import Indicator

LAG = 1.0
"""Seconds, besides the timeout, that a slice may be on its way."""


def steady(history: History, objectives: Sequence[Objective], start: float, end: float) -> list[Claim]:
    """Hold every objective that the stack measures against the stretch [start, end), run seconds: one claim each.

    Go on if every claim is true. Where too much is missing it is unknown, and without data nothing may be injected.
    """
    found = []
    for objective, indicator in _measured(history, objectives):
        until = _arrived(history, indicator, end)
        all_ = _read(history, objective, indicator, start, until)
        found.append(steady_claim(all_, objective, objectives, start=start, end=until, when="baseline"))
    return found


def recovered(
    history: History, objectives: Sequence[Objective], since: float, now: float, steady_for: float
) -> Recovered:
    """Tell whether every measured objective has held for the last `steady_for` seconds before `now`.

    `since`: run seconds; a stretch that began before it doesn't count.
    """
    if steady_for <= 0:
        return Recovered(yes=True, why="no steady stretch was asked for")
    for objective, indicator in _measured(history, objectives):
        end = _arrived(history, indicator, now)
        if end - steady_for < since:
            watched = f"{duration(max(0.0, end - since))} of {duration(steady_for)}"
            return Recovered(yes=False, why=f"{indicator.name} has been watched for {watched}", known=False)
        again = held(
            _read(history, objective, indicator, end - steady_for, end), objective, objectives, end, steady_for
        )
        if not again.yes:
            return again
    return Recovered(yes=True, why=f"every objective has held for {duration(steady_for)}")


def _measured(history: History, objectives: Sequence[Objective]) -> Iterator[tuple[Objective, Indicator]]:
    indicators = inputs(history.begun).indicators
    return ((one, indicators[one.indicator]) for one in objectives if one.indicator in indicators)


def _read(history: History, objective: Objective, indicator: Indicator, start: float, end: float) -> list[Reading]:
    """Read what lies between, and the rolling second before it; older cells are of no interest."""
    first = start - ROLLING - 2 * width(indicator.every) * SLICE
    late = {n: one for n, one in recorded(history, indicator.name).items() if n * SLICE >= first}
    due = max(first, (history.entered("Baseline") or 0.0) + WARM_UP)
    return readings(row(late, indicator.every, due, end), objective, indicator)


def _arrived(history: History, indicator: Indicator, end: float) -> float:
    """Return how far an indicator's record can be expected to reach at `end`: to its newest slice, unless that is overdue."""
    newest = _newest(history, indicator)
    if newest is None or newest < end - indicator.timeout - max(SLICE, indicator.every) - LAG:
        return end
    return min(end, newest)


def _newest(history: History, indicator: Indicator) -> float | None:
    """Return the end of the newest slice of an indicator's probes."""
    mine = (one.n + 1 for one in history.all(Slice) if one.indicator == indicator.name and one.counted == "probes")
    newest = max(mine, default=None)
    return newest * SLICE if newest is not None else None
