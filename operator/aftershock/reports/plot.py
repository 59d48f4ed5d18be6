"""What is plotted: an indicator's slices, folded into a bounded number of points that hide neither a dip nor a gap.

A point keeps the lowest and the highest share of the slices in it, and how much of it has no record at all; nothing is
interpolated. Pure.
"""

from bisect import bisect_right
from collections.abc import Sequence
from math import ceil

import msgspec

from aftershock.core.histogram import merge, quantile
from aftershock.core.history import SLICE, Counted, History
from aftershock.core.series import WARM_UP, Cell, recorded, row, watched_until
from aftershock.reports.story import every, measured_indicators

MOST = 600
"""Points of a plot: more than a screen is wide, few enough that a page stays under a megabyte."""

NICE = (1, 2, 5, 10, 20, 50, 100, 150, 300, 600, 1200, 3000, 6000, 18_000, 36_000)
"""Widths of a point in slices: each has a plain name in seconds or minutes."""


class Point(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A stretch [start, end) of run seconds. Counts are requests; shares are 0 to 1; latencies are seconds.

    `low` and `high` are the extremes of the slices in it; they, `p50` and `p99` are absent where nothing was answered.
    `missing` is the share of the stretch that the judge
    counts as missing: nothing was answered, or not all that was due.
    """

    start: float
    end: float
    planned: int = 0
    unsent: int = 0
    good: int = 0
    bad: int = 0
    missing: float = 0.0
    low: float | None = None
    high: float | None = None
    p50: float | None = None
    p99: float | None = None

    @property
    def share(self) -> float | None:
        """The share of good answers among all, None where there was none."""
        answered = self.good + self.bad
        return self.good / answered if answered else None


class Series(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One indicator over the run, counted as probes or as load. `width`: seconds that a whole point covers."""

    indicator: str
    counted: str
    width: float
    points: list[Point]


class Record(msgspec.Struct, frozen=True):
    """All that is on record of one indicator, as cells: the row that the judge sees, with a place for what is missing."""

    indicator: str
    counted: Counted
    cells: list[Cell]


def records(history: History) -> list[Record]:
    """Return the record of everything that was measured. It is the slow part of a report: take it once."""
    return [record(history, indicator, counted) for indicator, counted in measured_indicators(history)]


def record(history: History, indicator: str, counted: Counted) -> Record:
    """Return the record of one indicator; without cells where nothing was measured."""
    slices = recorded(history, indicator, counted)
    begin = (history.entered("Baseline") or 0.0) + WARM_UP
    wide = every(history.begun, indicator, counted)
    return Record(indicator, counted, row(slices, wide, begin, watched_until(history)) if slices else [])


def series(kept: Record, most: int = MOST, at_least: float = SLICE) -> Series:
    """Return a record in at most `most` points, each at least `at_least` seconds wide."""
    found = kept.cells
    if not found:
        return Series(indicator=kept.indicator, counted=kept.counted, width=at_least, points=[])
    cell = round((found[0].end - found[0].start) / SLICE)
    first = round(found[0].start / SLICE)
    wide = _width(len(found) * cell, most, max(cell, round(at_least / SLICE)), cell)
    held: dict[int, list[Cell]] = {}
    for number, each in enumerate(found, start=first // cell):
        held.setdefault(number * cell // wide, []).append(each)
    points = [_point(together) for _, together in sorted(held.items())]
    return Series(indicator=kept.indicator, counted=kept.counted, width=wide * SLICE, points=points)


def _width(slices: int, most: int, at_least: int, cell: int) -> int:
    """Return a point's width in slices: plain to name, and whole cells."""
    wanted = max(at_least, ceil(slices / (most - 1)))
    position = bisect_right(NICE, wanted - 1)
    width = NICE[position] if position < len(NICE) else wanted
    return ceil(width / cell) * cell


def _point(cells: Sequence[Cell]) -> Point:
    shares = [each.good / each.answered for each in cells if each.answered]
    latency = merge(each.latency for each in cells)
    return Point(
        start=round(cells[0].start, 3),
        end=round(cells[-1].end, 3),
        planned=sum(each.planned for each in cells),
        unsent=sum(each.unsent for each in cells),
        good=sum(each.good for each in cells),
        bad=sum(each.bad for each in cells),
        missing=round(sum(each.missing for each in cells) / len(cells), 4),
        low=min(shares, default=None),
        high=max(shares, default=None),
        p50=quantile(latency, 0.5) if latency else None,
        p99=quantile(latency, 0.99) if latency else None,
    )


def sparkline(line: Series, width: int = 60) -> str:
    """Return the lowest share of each stretch as one character, `·` where there is no record.

    Eight heights from `▁` (none good) to `█` (all good).
    """
    points = line.points
    step = max(1, ceil(len(points) / width))
    return "".join(_glyph(points[start : start + step]) for start in range(0, len(points), step))


def _glyph(points: Sequence[Point]) -> str:
    known = [each.low for each in points if each.low is not None]
    return "▁▂▃▄▅▆▇█"[int(min(known) * 7)] if known else "·"
