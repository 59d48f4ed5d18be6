"""From slices to cells: an unbroken row in which what is missing has a place of its own.

A cell is as wide as the time that one sample speaks for: a slice, or the indicator's `every` where that is longer. A
cell counts as missing where no slice was recorded though one was due, where a request could not be sent, and where
answers are wanting. Half of a cell's answers would be a choice of which half to believe.
"""

from collections.abc import Iterable, Mapping
from math import ceil

import msgspec

from aftershock.core.histogram import merge
from aftershock.core.history import SLICE, Aborting, Counted, Entered, Healing, History, Injected, Observed, Slice
from aftershock.core.verdict import Interval
from aftershock.model.stack import Indicator

WARM_UP = 1.0
"""Seconds after the start of the baseline within which the first slice may come without being missed before."""

_EDGE = 1e-6
"""Run seconds this close are the same instant: it is far under a slice, and far over what floats get wrong."""


class Cell(msgspec.Struct, frozen=True):
    """Requests that were meant to be sent in [start, end), run seconds. `latency` is of the good ones."""

    start: float
    end: float
    planned: int = 0
    unsent: int = 0
    good: int = 0
    bad: int = 0
    latency: Mapping[int, int] = msgspec.field(default_factory=dict)

    @property
    def answered(self) -> int:
        """Requests that came out, one way or the other."""
        return self.good + self.bad

    @property
    def missing(self) -> bool:
        """Tell whether the cell says nothing."""
        return self.answered == 0 or self.answered < self.planned


def recorded(history: History, indicator: str, counted: Counted = "probes") -> dict[int, Slice]:
    """Return an indicator's slices by number."""
    return {one.n: one for one in history.all(Slice) if one.indicator == indicator and one.counted == counted}


def watched_until(history: History) -> float:
    """Return the run second up to which slices were due: the start of Cleanup, or the last word of the executor.

    What others wrote after an executor was lost, perhaps a day later, is no word of its.
    """
    lost = next((one.at for one in history.all(Aborting) if one.reason == "ExecutorLost"), None)
    cleanup = history.entered("Cleanup")
    if cleanup is not None and lost is None:
        return cleanup
    return max(
        (one.at for one in history.events if isinstance(one, _WORDS) and (lost is None or one.at < lost)), default=0.0
    )


_WORDS = Slice | Observed | Injected | Healing | Entered
"""Records of the executor's that say it was there."""


def width(every: float) -> int:
    """Return how many slices a cell spans."""
    return max(1, ceil(every / SLICE - _EDGE))


def cells(
    history: History, indicator: Indicator, counted: Counted = "probes", until: float | None = None
) -> list[Cell]:
    """Return every cell that was due, in order and without a hole, up to `until` (default: the end of the watch).

    The first is the first that was recorded; where that came late, the row starts `WARM_UP` into the baseline, with
    missing cells.
    """
    return row(recorded(history, indicator.name, counted), indicator.every, _first_due(history), _end(history, until))


def _end(history: History, until: float | None) -> float:
    return watched_until(history) if until is None else until


def _first_due(history: History) -> float:
    return (history.entered("Baseline") or 0.0) + WARM_UP


def row(slices: Mapping[int, Slice], every: float, first_due: float, until: float) -> list[Cell]:
    """Lay slices out as cells that are aligned to slice numbers; only whole cells before `until`."""
    wide = width(every)
    grouped: dict[int, list[Slice]] = {}
    for n, one in slices.items():
        grouped.setdefault(n // wide, []).append(one)
    last = int((until + _EDGE) / (wide * SLICE))
    first = min([ceil(first_due / (wide * SLICE)), *grouped])
    return [_cell(number, wide, grouped.get(number, ())) for number in range(first, last)]


def _cell(number: int, wide: int, slices: Iterable[Slice]) -> Cell:
    start, end = round(number * wide * SLICE, 6), round((number + 1) * wide * SLICE, 6)
    found = list(slices)
    if not found:
        return Cell(start, end)
    return Cell(
        start=start,
        end=end,
        planned=sum(one.planned for one in found),
        unsent=sum(one.unsent for one in found),
        good=sum(one.good for one in found),
        bad=sum(sum(one.bad.values()) for one in found),
        latency=found[0].latency if len(found) == 1 else merge(one.latency for one in found),
    )


def gaps(row_: Iterable[Cell], start: float, end: float) -> list[Interval]:
    """Return the stretches within [start, end) for which cells are missing."""
    found: list[Interval] = []
    for cell in row_:
        if not cell.missing or cell.end <= start or cell.start >= end:
            continue
        if found and found[-1].high >= cell.start - _EDGE:
            found[-1] = Interval(found[-1].low, cell.end)
        else:
            found.append(Interval(cell.start, cell.end))
    return found
