"""The hypothesis as claims: a share of good requests during the fault or the recovery, with exact bounds."""

from collections.abc import Sequence

import msgspec

from aftershock.core.budget import Window
from aftershock.core.case import Case
from aftershock.core.readings import Reading, availability
from aftershock.core.statistics import lower_bound, needed, upper_bound
from aftershock.core.verdict import Claim, Interval, Truth
from aftershock.core.wording import counted, share
from aftershock.model.experiment import Expectation

_EDGE = 1e-6


class Tally(msgspec.Struct, frozen=True):
    """Requests that were meant to be sent in some windows. `absent`: how many more there should have been."""

    good: float
    answered: float
    absent: float

    @property
    def bounds(self) -> Interval:
        """One-sided 95% bounds on the good share; what is absent counts as bad below and as good above."""
        n = self.answered + self.absent
        if n == 0:
            return Interval(0.0, 1.0)
        return Interval(lower_bound(self.good, n), upper_bound(min(n, self.good + self.absent), n))


def expectation(case: Case, one: Expectation) -> Claim:
    """Hold one expectation against the record."""
    found = _readings(case, one)
    windows = _windows(case, one)
    tally = _tally(found, windows) if found is not None else Tally(0, 0, 0)
    bounds = tally.bounds
    truth = _truth(one, tally)
    return Claim(
        kind="expect",
        name=f"{one.indicator} during {one.during}",
        truth=truth,
        statement=_statement(one),
        finding=_finding(one, tally, bounds, measured=found is not None),
        indicator=one.indicator,
        measured=bounds,
        allowed=_limit(one),
        unit="share",
        missing=_missing(one, tally, windows, measured=found is not None) if truth is Truth.UNKNOWN else [],
    )


def _readings(case: Case, one: Expectation) -> list[Reading] | None:
    """Return the readings that the expectation speaks of; None where nothing measures them."""
    if one.counted == "probes":
        measured = case.inputs.indicators.get(one.indicator)
        return availability(case.rows[one.indicator], measured.every) if measured is not None else None
    load = case.inputs.load
    return availability(case.load, 1 / load.rate) if load is not None and load.indicator == one.indicator else None


def _windows(case: Case, one: Expectation) -> list[Window]:
    """Return where it is counted: while the faults were held and proved, or from the last healing to the end of Recovery."""
    if one.during == "fault":
        held = [(hold.landed, hold.healing) for hold in case.holds]
        known = [(landed, healing) for landed, healing in held if landed is not None and healing is not None]
        return _joined(known) if len(known) == len(held) else []
    start = case.healed if case.injects else case.history.entered("Recovery")
    return [(start, case.watched)] if start is not None and case.history.entered("Recovery") is not None else []


def _joined(windows: Sequence[Window]) -> list[Window]:
    """Return the union of windows as windows that don't overlap."""
    union: list[Window] = []
    for start, end in sorted(windows):
        if union and start <= union[-1][1]:
            union[-1] = union[-1][0], max(union[-1][1], end)
        else:
            union.append((start, end))
    return union


def _tally(all_: Sequence[Reading], windows: Sequence[Window]) -> Tally:
    """Count the requests of cells that lie wholly in a window."""
    inside = [one for one in all_ if any(one.start >= a - _EDGE and one.end <= b + _EDGE for a, b in windows)]
    answered = sum(one.n for one in inside)
    return Tally(
        good=round(answered - sum(one.low * one.n for one in inside), 6),
        answered=answered,
        absent=sum(one.due for one in inside if one.missing),
    )


def _truth(one: Expectation, tally: Tally) -> Truth:
    if tally.answered == 0:
        return Truth.UNKNOWN
    bounds = tally.bounds
    least, most = one.at_least or 0.0, 1.0 if one.at_most is None else one.at_most
    if bounds.high < least or bounds.low > most:
        return Truth.FALSE
    return Truth.TRUE if bounds.low >= least and bounds.high <= most else Truth.UNKNOWN


def _statement(one: Expectation) -> str:
    limits = [f"at least {share(one.at_least)}"] if one.at_least is not None else []
    limits += [f"at most {share(one.at_most)}"] if one.at_most is not None else []
    when = "while the fault is held" if one.during == "fault" else "from healing to the end of the recovery"
    return f"{' and '.join(limits).capitalize()} of {one.indicator} {_noun(one)} are good {when}"


def _limit(one: Expectation) -> float | None:
    limit = one.at_least if one.at_least is not None else one.at_most
    return float(limit) if limit is not None else None


def _noun(one: Expectation) -> str:
    return "requests" if one.counted == "probes" else "requests of the load"


def _finding(one: Expectation, tally: Tally, bounds: Interval, *, measured: bool) -> str:
    if not measured:
        return f"The record holds no {one.indicator} {_noun(one)}"
    text = f"{tally.good:,.0f} of {counted(tally.answered, 'request')} were good: {share(bounds.low)} to {share(bounds.high)}"
    return text + (f"; {tally.absent:,.0f} more were due and are missing" if tally.absent else "")


def _missing(one: Expectation, tally: Tally, windows: Sequence[Window], *, measured: bool) -> list[str]:
    """Name what would decide: how many answers in a row it takes, where nothing speaks against the claim."""
    if not measured:
        return [f"{_noun(one)} of {one.indicator}"]
    if not windows:
        return [
            "a fault that was landed and healed"
            if one.during == "fault"
            else "a healing, and a recovery that was watched"
        ]
    if tally.absent:
        return [f"{counted(tally.absent, 'request')} that were due and are not on record"]
    if one.at_least is not None and one.at_least < 1 and tally.good == tally.answered:
        return [_in_a_row(share(one.at_least), needed(one.at_least), "good", tally.answered)]
    if one.at_most is not None and one.at_most > 0 and tally.good == 0:
        return [_in_a_row(f"at most {share(one.at_most)}", needed(1 - one.at_most), "bad", tally.answered)]
    return [f"more requests: after {tally.answered:,.0f} the bounds lie on both sides of what is expected"]


def _in_a_row(what: str, wanted: int, kind: str, answered: float) -> str:
    return f"{what} needs at least {wanted:,} {kind} answers in a row; {answered:,.0f} were counted"
