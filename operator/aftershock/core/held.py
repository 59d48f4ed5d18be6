"""Was the stack steady, and did it hold again? One rule for the executor's live decision and for the judge.

An objective is contradicted, at 95%, or it is not; it is never proved. Missing cells are held against the answer both
ways: *true* takes them for bad, *false* takes them for good, and what remains is unknown. So losing a part of the
record can never turn a contradicted objective into a steady one.
"""

from collections.abc import Sequence

import msgspec

from aftershock.core.readings import Reading
from aftershock.core.statistics import lower_bound
from aftershock.core.verdict import Claim, Truth
from aftershock.core.wording import counted, duration, share
from aftershock.model.era import Objective

DEFAULT_TARGET = 0.99
"""The share of time that a latency objective holds where neither it nor any availability objective says."""


def target_of(objective: Objective, objectives: Sequence[Objective]) -> tuple[float, str]:
    """Return the share that an objective has to hold, and whose it is, in words."""
    if objective.target is not None:
        return float(objective.target), f"its own target, {share(objective.target)}"
    first = next((one for one in objectives if one.below is None and one.target is not None), None)
    if first is None or first.target is None:
        return DEFAULT_TARGET, f"{share(DEFAULT_TARGET)}, since the era states no availability"
    return float(first.target), f"the target of {first.name}, {share(first.target)}"


def says(objective: Objective) -> str:
    """Return what an objective asks for, as a noun phrase."""
    if objective.below is None:
        return f"at least {share(objective.target or 0.0)} of {objective.indicator} requests are good"
    statistic = objective.statistic or "mean"
    return f"the {statistic} of {objective.indicator} over a rolling second is under {duration(objective.below)}"


def steady_claim(
    all_: Sequence[Reading],
    objective: Objective,
    objectives: Sequence[Objective],
    *,
    start: float,
    end: float,
    when: str,
) -> Claim:
    """Hold one objective against what was read in [start, end)."""
    inside = [one for one in all_ if one.start >= start - 1e-6 and one.end <= end + 1e-6]
    target, _ = target_of(objective, objectives)
    n = sum(one.n for one in inside)
    absent = sum(one.due for one in inside if one.missing)
    least, most = sum(one.low * one.n for one in inside), sum(one.high * one.n for one in inside) + absent
    if _contradicted(least, n + absent, target):
        truth = Truth.FALSE
    elif n > 0 and not _contradicted(most, n + absent, target):
        truth = Truth.TRUE
    else:
        truth = Truth.UNKNOWN
    return Claim(
        kind="steady",
        name=f"{objective.name}, {when}",
        truth=truth,
        statement=f"{when.capitalize()}: nothing contradicts that {says(objective)}",
        finding=_finding(objective, inside, n, least),
        indicator=objective.indicator,
        source=objective.source.kind,
        missing=_missing(truth, inside),
    )


def _contradicted(bad: float, n: float, target: float) -> bool:
    """Tell whether a good share of `target` is out of the question, at one-sided 95%."""
    return n > 0 and lower_bound(min(bad, n), n) > 1 - target + 1e-9


def _unit_of(objective: Objective) -> str:
    """Return what an objective is read from: single requests, or rolling seconds."""
    return "request" if objective.below is None else "rolling second"


def _finding(objective: Objective, inside: Sequence[Reading], n: float, bad: float) -> str:
    if n == 0:
        return f"No {_unit_of(objective)} of {objective.indicator} is on record without a gap in this stretch"
    if objective.below is None:
        return f"{counted(bad, 'request')} of {n:,.0f} failed"
    seconds = sum((one.end - one.start) * one.low for one in inside)
    of = sum(one.end - one.start for one in inside if not one.missing)
    return f"It was out of bounds for {duration(seconds)} of {duration(of)}"


def _missing(truth: Truth, inside: Sequence[Reading]) -> list[str]:
    if truth is not Truth.UNKNOWN:
        return []
    absent = sum(one.end - one.start for one in inside if one.missing)
    return [f"{duration(absent)} of the record" if absent else "any record of this stretch"]


class Recovered(msgspec.Struct, frozen=True):
    """`yes`, or why not in one sentence. `known` is False where the record lacks what would decide."""

    yes: bool
    why: str
    known: bool = True


def held(
    all_: Sequence[Reading], objective: Objective, objectives: Sequence[Objective], end: float, steady_for: float
) -> Recovered:
    """Tell whether an objective held for the last `steady_for` seconds before `end`, and nothing is missing there.

    It may be bad for no more than its target leaves: of 50 requests at 99% not one may fail, of 500 five may. That is
    stricter than "not contradicted", under which a stack that fails one request in twenty could be called recovered.
    """
    last = [one for one in all_ if one.end > end - steady_for + 1e-6 and one.end <= end + 1e-6]
    last = last or list(all_[-1:])
    if not last or last[0].start > end - steady_for + (last[0].end - last[0].start) + 1e-6:
        return Recovered(
            yes=False, why=f"{objective.name}: the record is shorter than {duration(steady_for)}", known=False
        )
    absent = sum(one.end - one.start for one in last if one.missing)
    bad, n = sum(one.high * one.n for one in last), sum(one.n for one in last)
    target, _ = target_of(objective, objectives)
    if bad > (1 - target) * n + 1e-9:
        what = "requests failed" if objective.below is None else "of the time was out of bounds"
        return Recovered(yes=False, why=f"{objective.name}: in the last {duration(steady_for)} {share(bad / n)} {what}")
    if absent:
        return Recovered(
            yes=False,
            why=f"{objective.name}: {duration(absent)} of the last {duration(steady_for)} are missing",
            known=False,
        )
    return Recovered(yes=True, why=f"{objective.name} has held for {duration(steady_for)}")
