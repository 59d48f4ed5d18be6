"""The recovery time beside the budget: printed, never binding. Derived where no era states one."""

from collections.abc import Sequence

from aftershock.core.case import Case
from aftershock.core.series import gaps
from aftershock.core.verdict import Bracket, Claim, Interval, Truth
from aftershock.core.wording import duration, span
from aftershock.model.era import Era, Objective
from aftershock.model.experiment import Injection

EVACUATED = ("region-loss", "evacuation")
UNDETECTED = "the detection of the failure, which an evacuation skips"
"""What a record lacks in which a region was evacuated: the outage that it shows is not that of a real loss."""


def undetected(timeline: Sequence[Injection]) -> bool:
    """Tell whether the recovery time stays unknown because a failure never had to be noticed."""
    return any((one.fault, one.with_.get("by")) == EVACUATED for one in timeline)


def first_availability(era: Era) -> Objective | None:
    """Return the era's first availability objective: what it calls its uptime."""
    return next((one for one in era.spec.objectives if one.below is None and one.target is not None), None)


def uptime_source(era: Era) -> str | None:
    """Return how sure the uptime is (`stated`, `achieved`, …); None where the era has none."""
    first = first_availability(era)
    return first.source.kind if first is not None else None


def uptime(era: Era) -> float | None:
    """Return the target of the era's first availability objective, 0 to 1."""
    first = first_availability(era)
    return float(first.target) if first is not None and first.target is not None else None


def allowed(era: Era) -> tuple[float | None, str]:
    """Return the RTO in seconds and where it comes from; derived from budget and share where the era states none."""
    if era.spec.recovery.rto is not None:
        return float(era.spec.recovery.rto.value), era.spec.recovery.rto.source.kind
    up = uptime(era)
    return round((1 - up) * era.spec.window * era.spec.incident_share, 6) if up is not None else None, "derived"


def rto(case: Case, era: Era, found: Sequence[Bracket | None], *, seen: bool) -> list[Claim]:
    """Hold the outage of the era's first availability objective against its RTO; no claim where either is missing.

    `seen`: the record reaches to where that objective held again; a shorter one doesn't show that there was no outage.
    """
    limit, source = allowed(era)
    first = first_availability(era)
    mine = next(
        (one for one in found if one is not None and first is not None and one.indicator == first.indicator), None
    )
    if limit is None or mine is None or not case.injects:
        return []
    more = _more(case)
    blind = undetected(case.inputs.timeline)
    took = None if blind or (mine.began is None and not seen) else _took(mine, more, _hidden(case, mine))
    return [
        Claim(
            kind="recovery",
            name="rto",
            truth=_within(took, limit),
            statement=f"{mine.indicator} is back within {duration(limit)} (RTO, {source})",
            finding=f"That stays unknown: the record lacks {UNDETECTED}" if blind else _finding(mine, took, more),
            indicator=mine.indicator,
            source=source,
            measured=took,
            allowed=limit,
            unit="s",
            missing=[UNDETECTED]
            if blind
            else []
            if took is not None
            else ["the end of the outage" if mine.began is not None else "the rest of the record"],
            binding=False,
        )
    ]


def _more(case: Case) -> float:
    """Return by how much the faults stand for longer than they were held: seconds."""
    more = 0.0
    for one in case.holds:
        if one.asked.represents is not None and one.started is not None and one.healing is not None:
            more += max(0.0, one.asked.represents - (one.healing - one.started))
    return more


def _hidden(case: Case, mine: Bracket) -> float:
    """Return the longest stretch since the injection that is missing from the record: so long an outage may hide there."""
    found = gaps(case.rows[mine.indicator], case.since or 0.0, case.watched)
    return max((one.high - one.low for one in found), default=0.0)


def _took(mine: Bracket, more: float, hidden: float) -> Interval | None:
    if mine.began is None:
        return Interval(0.0, hidden + more if hidden else 0.0)
    return Interval(mine.rto.low + more, mine.rto.high + more) if mine.rto is not None else None


def _within(took: Interval | None, limit: float) -> Truth:
    if took is None or took.low <= limit < took.high:
        return Truth.UNKNOWN
    return Truth.TRUE if took.high <= limit else Truth.FALSE


def _finding(mine: Bracket, took: Interval | None, more: float) -> str:
    if mine.began is None:
        none = f"No {mine.indicator} request failed after the injection"
        if took is None or not took.high:
            return none
        return f"{none}, as far as the record goes: what is missing from it may hide an outage of {duration(took.high)}"
    if took is None or mine.rto is None or mine.after_healing is None:
        return f"{mine.indicator} was not back for good when the record ends"
    stood = f", which stand for {span(took)}" if more else ""
    return f"The outage lasted {span(mine.rto)}{stood}; it ended {span(mine.after_healing)} after healing"
