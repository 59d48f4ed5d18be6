"""Guardrails: abort when the share of good requests stays too low for too long.

A `Guard` is fed with slices as they come and says when it trips; it keeps what it needs and nothing else, and reads no
clock. Missing data never trips it: what is not known is no reason to say that it was bad. It is counted, so that the
executor can note it and the judge can call the claim unknown.
"""

from collections import deque
from collections.abc import Sequence
from itertools import accumulate

from aftershock.core.history import SLICE, Slice
from aftershock.core.series import Cell, row, width
from aftershock.model.experiment import Guardrail
from aftershock.model.stack import Indicator


class Guard:
    """One guardrail over one indicator. It takes the slices of any indicator and heeds its own, of probes.

    They have to come in order, as the probes give them out; a cell is complete when a later one begins.
    """

    def __init__(self, rule: Guardrail, indicator: Indicator) -> None:
        self.rule = rule
        self.missing = 0
        """Cells that were missing so far; each of them starts the window anew."""
        self._every = float(indicator.every)
        self._wide = width(indicator.every)
        self._cells = cells_for(rule, self._wide * SLICE)
        self._now: int | None = None
        self._slices: dict[int, Slice] = {}
        self._window: deque[tuple[int, int]] = deque()
        self._good = self._answered = 0

    def feed(self, one: Slice) -> float | None:
        """Take a slice; return for how many seconds the share has been too low, if that is too long, else None."""
        if one.indicator != self.rule.indicator or one.counted != "probes":
            return None
        cell = one.n // self._wide
        tripped = None
        if self._now is not None and cell > self._now:
            tripped = self._take(self._complete(self._now))
            if cell > self._now + 1:
                self._break(cell - self._now - 1)
                tripped = None
            self._slices.clear()
        self._now = cell if self._now is None else max(cell, self._now)
        self._slices[one.n] = one
        return tripped

    def _complete(self, number: int) -> Cell:
        start = number * self._wide * SLICE
        return row(self._slices, self._every, start, start + self._wide * SLICE)[0]

    def _take(self, cell: Cell) -> float | None:
        if cell.missing:
            self._break(1)
            return None
        self._window.append((cell.good, cell.answered))
        self._good, self._answered = self._good + cell.good, self._answered + cell.answered
        if len(self._window) > self._cells:
            good, answered = self._window.popleft()
            self._good, self._answered = self._good - good, self._answered - answered
        low = len(self._window) == self._cells and self._good / self._answered < self.rule.below
        return self._cells * self._wide * SLICE if low else None

    def _break(self, missing: int) -> None:
        self.missing += missing
        self._window.clear()
        self._good = self._answered = 0


def cells_for(rule: Guardrail, wide: float) -> int:
    """Return how many cells, each `wide` seconds, a guardrail's window has."""
    return max(1, round(rule.for_ / wide))


def worst(watched: Sequence[Cell], rule: Guardrail) -> float | None:
    """Return the lowest share that may have been good over any window, missing cells counted bad; None without a window."""
    if not watched:
        return None
    span = cells_for(rule, watched[0].end - watched[0].start)
    due = max(1, *(one.planned for one in watched))
    good = [0, *accumulate(0 if one.missing else one.good for one in watched)]
    total = [0, *accumulate(due if one.missing else one.answered for one in watched)]
    windows = range(len(watched) - span + 1)
    return min(((good[i + span] - good[i]) / (total[i + span] - total[i]) for i in windows), default=None)
