"""What a cell says about one objective: the share of it that was bad, between two bounds, and what that is worth.

An availability objective reads failed requests. A latency objective reads a rolling second that ends with the cell: it
is out of bounds or it is not, or, where a bucket's width blurs the answer, perhaps. Both become the same record, so
that budget, steadiness and recovery are each decided in one way.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import ceil

import msgspec

from aftershock.core.histogram import ERROR, mean, quantile
from aftershock.core.series import Cell
from aftershock.model.era import Objective
from aftershock.model.stack import Indicator

ROLLING = 1.0
"""Seconds over which a latency statistic is taken; longer where requests are further apart."""

_QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "max": 1.0}


class Reading(msgspec.Struct, frozen=True):
    """`low` and `high`: share of [start, end) that was bad, 0 to 1. `n`: samples behind it, 0 where it is missing.

    `due`: the samples that there should be. A rolling second is one sample, so a cell of it is a part of one.
    """

    start: float
    end: float
    low: float
    high: float
    n: float
    due: float

    @property
    def missing(self) -> bool:
        """Tell whether nothing is known."""
        return self.n == 0


def readings(row: Sequence[Cell], objective: Objective, indicator: Indicator) -> list[Reading]:
    """Read a row of cells for one objective."""
    if objective.below is None:
        return [_share(cell, indicator.every) for cell in row]
    return list(_rolling(row, objective.statistic or "mean", objective.below))


def availability(row: Sequence[Cell], every: float) -> list[Reading]:
    """Read a row of cells for their failed requests."""
    return [_share(cell, every) for cell in row]


def _share(cell: Cell, every: float) -> Reading:
    due = max(cell.planned, ceil((cell.end - cell.start) / every - 1e-6))
    if cell.missing:
        return Reading(cell.start, cell.end, 0.0, 1.0, 0, due)
    bad = cell.bad / cell.answered
    return Reading(cell.start, cell.end, bad, bad, cell.answered, due)


def _rolling(row: Sequence[Cell], statistic: str, below: float) -> Iterator[Reading]:
    """Slide over the row. A second that lacks a cell is missing: what is not there may have been the slow part."""
    if not row:
        return
    wide = row[0].end - row[0].start
    span = max(1, ceil(ROLLING / wide - 1e-6))
    merged: dict[int, int] = {}
    for i, cell in enumerate(row):
        _add(merged, cell.latency, 1)
        if i >= span:
            _add(merged, row[i - span].latency, -1)
        if i >= span - 1:
            due = 1 / span
            if any(one.missing for one in row[i - span + 1 : i + 1]):
                yield Reading(cell.start, cell.end, 0.0, 1.0, 0, due)
            else:
                low, high = _out_of_bounds(merged, statistic, below)
                yield Reading(cell.start, cell.end, low, high, due, due)


def _add(total: dict[int, int], histogram: Mapping[int, int], sign: int) -> None:
    for number, count in histogram.items():
        left = total.get(number, 0) + sign * count
        if left:
            total[number] = left
        else:
            del total[number]


def _out_of_bounds(latency: Mapping[int, int], statistic: str, below: float) -> tuple[float, float]:
    """Tell whether a second is out of bounds for certain, and whether it may be. No good answer: it is."""
    found = mean(latency) if statistic == "mean" else quantile(latency, _QUANTILES[statistic])
    if found is None:
        return 1.0, 1.0
    return float(found * (1 - ERROR) >= below), float(found * (1 + ERROR) >= below)
