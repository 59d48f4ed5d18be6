"""When an indicator's outage began and when it ended: two brackets, from the edges of its slices. Never a point.

The outage runs from the first bad slice to the last. It began between the last good request before it, by the time
that was meant to be sent, and the first failure seen; it ended between the time the last failed request was meant to
be sent and the first good answer to a later one. A single failure is an outage too, and one that comes late moves the
end: the record can't tell a last tremor from a new outage, so the bracket doesn't try.
"""

from collections.abc import Mapping, Sequence

import msgspec

from aftershock.core.history import SLICE, Slice
from aftershock.core.series import Cell
from aftershock.core.verdict import Bracket, Interval

_EDGE = 1e-6


class Outage(msgspec.Struct, frozen=True):
    """The ends of an outage, in run seconds; `ended` is None where no success followed. `requests`: how many failed."""

    began: Interval
    ended: Interval | None
    requests: int


def outage(slices: Mapping[int, Slice], since: float, until: float) -> Outage | None:
    """Return the outage from `since` on, among slices that begin before `until`; None where nothing failed."""
    numbers = sorted(n for n in slices if (n + 1) * SLICE > since + _EDGE and n * SLICE < until - _EDGE)
    bad = [n for n in numbers if slices[n].bad]
    if not bad:
        return None
    return Outage(
        began=_began([slices[n] for n in sorted(slices) if n <= bad[0]], [slices[n] for n in bad]),
        ended=_ended([slices[n] for n in bad], [slices[n] for n in numbers if n >= bad[-1]]),
        requests=sum(sum(slices[n].bad.values()) for n in bad),
    )


def _began(before: Sequence[Slice], bad: Sequence[Slice]) -> Interval:
    """Bracket the beginning: `before` is all up to the first bad slice. Some failure seen earlier narrows it."""
    first = min(one.bad_from if one.bad_from is not None else (one.n + 1) * SLICE for one in bad)
    good = (one.good_before for one in reversed(before) if one.good_before is not None)
    return Interval(min(first, next(good, before[0].n * SLICE)), first)


def _ended(bad: Sequence[Slice], after: Sequence[Slice]) -> Interval | None:
    """Bracket the end: `after` begins with the last bad slice. Requests overtake each other: the earliest answer counts."""
    last = max(one.bad_until if one.bad_until is not None else one.n * SLICE for one in bad)
    answers = [one.good_after for one in after if one.good_after is not None]
    return Interval(last, max(last, min(answers))) if answers else None


def lasted(row: Sequence[Cell], since: float, until: float) -> float:
    """Return the seconds of unbroken record that follow `since`."""
    missing = next((one.start for one in row if one.missing and one.end > since + _EDGE), None)
    end = row[-1].end if row else since
    return max(0.0, min(end, until, missing if missing is not None else end) - since)


def bracket(
    indicator: str, found: Outage | None, since: float, healed: float | None, followed: float, *, over: bool
) -> Bracket:
    """Put an outage on record. `over`: it ended for good; `followed`: seconds of record after it."""
    if found is None:
        return Bracket(indicator=indicator, lasted=followed)
    if found.ended is None or not over:
        return Bracket(indicator=indicator, began=found.began, lasted=followed)
    end, began = found.ended, found.began
    healed = since if healed is None else healed
    return Bracket(
        indicator=indicator,
        began=began,
        ended=end,
        rto=Interval(max(0.0, end.low - began.high), end.high - began.low),
        after_healing=Interval(max(0.0, end.low - healed), max(0.0, end.high - healed)),
        lasted=followed,
    )
