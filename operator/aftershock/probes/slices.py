"""Folds requests into slices, as `core/history.Slice` says. Pure: the caller brings the clock.

A slice is given out once it is over and each of its requests is settled, in order. So a record that stops in the middle
never shows a slice that later would have looked different.
"""

from collections import Counter, deque
from collections.abc import Iterator

from aftershock.core.histogram import bucket
from aftershock.core.history import SLICE, Counted, Slice
from aftershock.core.shards import Part, as_slice
from aftershock.probes.schedule import SECOND, nanoseconds

WIDTH = nanoseconds(SLICE)
UNSENT = "unsent"
"""Not a kind of failure: the request could not be sent, or its answer could not be seen. It is missing."""


class Open:
    """A slice that is being filled. Times are nanoseconds since the run's origin."""

    __slots__ = ("bad", "good", "n", "pending", "planned", "took", "unsent")

    def __init__(self, n: int) -> None:
        self.n = n
        self.planned = 0
        self.pending = 0
        self.unsent = 0
        self.good: list[tuple[int, int]] = []
        self.took: list[int] = []
        self.bad: list[tuple[int, int, str]] = []

    def settle(self, due: int, seen: int, kind: str | None, took: int | None = None) -> None:
        """Count one request that was due at `due` and came out at `seen`: good when `kind` is None.

        `took`: what was measured, where that is not the time from one to the other. It is kept of a bad one, too: a lag that
        is out of its bound is what one wants to know.
        """
        self.pending -= 1
        if kind is None:
            self.good.append((due, seen))
            self.took.append(seen - due if took is None else took)
        elif kind == UNSENT:
            self.unsent += 1
        else:
            self.bad.append((due, seen, kind))
            if took is not None:
                self.took.append(took)


class Fold:
    """One indicator's requests on their way into slices; into parts of slices where others send a share of them."""

    def __init__(self, indicator: str, counted: Counted, *, alone: bool = True) -> None:
        self._indicator = indicator
        self._counted = counted
        self._alone = alone
        self._open: deque[Open] = deque()
        self._untold: deque[Open] = deque()

    @property
    def empty(self) -> bool:
        """Whether every slice was given out."""
        return not self._open

    def plan(self, due: int) -> Open:
        """Count a request as planned; return its slice, to settle it there. `due` never goes back."""
        n = due // WIDTH
        if not self._open or self._open[-1].n != n:
            self._open.append(Open(n))
            if self._counted == "load":
                self._untold.append(self._open[-1])
        slice_ = self._open[-1]
        slice_.planned += 1
        slice_.pending += 1
        return slice_

    def sent(self, end: int) -> Iterator[tuple[int, int]]:
        """Give out the load's slices before number `end`, in which no more is due: each with what was sent of it."""
        while self._untold and self._untold[0].n < end:
            slice_ = self._untold.popleft()
            yield slice_.n, slice_.planned - slice_.unsent

    def take(self, now: int) -> Iterator[Slice | Part]:
        """Give out what is over at `now` and settled, oldest first."""
        while self._open and self._open[0].n < now // WIDTH and self._open[0].pending == 0:
            yield self._close(self._open.popleft(), now)

    def rest(self, now: int) -> Iterator[Slice | Part]:
        """Give out everything, when no more is to come; what is still pending counts as unsent."""
        while self._open:
            slice_ = self._open.popleft()
            slice_.unsent += slice_.pending
            yield self._close(slice_, now)

    def _close(self, slice_: Open, now: int) -> Slice | Part:
        part = Part(
            indicator=self._indicator,
            counted=self._counted,
            n=slice_.n,
            planned=slice_.planned,
            unsent=slice_.unsent,
            latency=dict(Counter([bucket(took / SECOND) for took in slice_.took])),
            good=slice_.good,
            bad=slice_.bad,
        )
        return as_slice(part, now / SECOND) if self._alone else part
