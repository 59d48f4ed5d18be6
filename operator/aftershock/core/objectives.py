"""An era's objectives held against the record: what the incident spent, and how long the stack would have survived."""

from collections.abc import Sequence

import msgspec

from aftershock.core.budget import Settled, Spending, settled, spend
from aftershock.core.case import Case
from aftershock.core.held import Recovered, held, target_of
from aftershock.core.history import SLICE
from aftershock.core.holds import overlapping
from aftershock.core.readings import ROLLING, Reading
from aftershock.core.verdict import Claim, Interval, Survival, Truth
from aftershock.core.wording import counted, duration, listed, share, span
from aftershock.model.era import Era, Objective

UNHEALED = "not every fault is on record as healed"


class Account(msgspec.Struct, frozen=True):
    """One objective's claim, and what else follows from the same reckoning. `held`: whether it holds again at the end."""

    claim: Claim
    held: Recovered | None = None
    survives: Sequence[Survival] = ()


class _Asked(msgspec.Struct, frozen=True):
    """An objective of an era, and what it allows one incident: seconds."""

    objective: Objective
    era: Era
    target: float
    whose: str

    @property
    def allowed(self) -> float:
        return round(float(self.era.spec.window) * (1 - self.target) * self.era.spec.incident_share, 6)

    def claim(self, truth: Truth, finding: str, missing: Sequence[str], spent: Interval | None = None) -> Claim:
        return Claim(
            kind="budget" if self.objective.below is None else "latency",
            name=self.objective.name,
            truth=truth,
            statement=_statement(self),
            finding=finding,
            indicator=self.objective.indicator,
            source=self.objective.source.kind,
            measured=spent,
            allowed=self.allowed,
            unit="s",
            missing=list(missing) if truth is Truth.UNKNOWN else [],
        )


def account(case: Case, era: Era, objective: Objective) -> Account:
    """Hold one objective against the record."""
    asked = _Asked(objective, era, *target_of(objective, era.spec.objectives))
    if objective.indicator not in case.rows:
        lacks = f"an indicator named {objective.indicator} in the stack"
        return Account(asked.claim(Truth.UNKNOWN, f"The stack does not measure {objective.indicator}", [lacks]))
    if case.since is None:
        return Account(asked.claim(Truth.UNKNOWN, "Nothing was injected", ["an injection"]))
    return _reckon(case, asked, case.since)


def _reckon(case: Case, asked: _Asked, since: float) -> Account:
    objective = asked.objective
    all_ = case.read(objective)
    again = _again(case, asked, all_)
    spending = spend(
        all_,
        _window(case, all_, since, again),
        [] if overlapping(case.holds) else case.holds,
        timeout=case.inputs.indicators[objective.indicator].timeout,
        lead=_lead(objective),
        later=case.watched,
    )
    missing = [*spending.unknown, *_overlap(case), *_unended(case, again)]
    truth = _truth(spending, asked.allowed, sure=not missing)
    claim = asked.claim(
        truth,
        _finding(objective, spending, again, case),
        missing or _undecided(spending, asked.allowed),
        spending.spent,
    )
    return Account(claim, again, _survivals(case, objective, all_, spending, asked.allowed) if again.yes else [])


def _again(case: Case, asked: _Asked, all_: Sequence[Reading]) -> Recovered:
    """Tell whether the objective held again at the end. Time before the last healing, but for one cell, is no recovery."""
    end, steady = _row_end(all_), float(case.inputs.recovery.steady)
    cell = all_[-1].end - all_[-1].start if all_ else SLICE
    if case.injects and case.healed is None:
        return Recovered(yes=False, why=UNHEALED, known=False)
    if case.injects and case.healed is not None and end - steady < case.healed - cell:
        watched = f"{duration(max(0.0, end - case.healed))} of {duration(steady)}"
        return Recovered(yes=False, why=f"{asked.objective.name} was watched for {watched} after healing", known=False)
    return held(all_, asked.objective, asked.era.spec.objectives, end, steady)


def _row_end(all_: Sequence[Reading]) -> float:
    return all_[-1].end if all_ else 0.0


def _lead(objective: Objective) -> float:
    return ROLLING if objective.below is not None else 0.0


def _window(case: Case, all_: Sequence[Reading], since: float, again: Recovered) -> tuple[float, float]:
    """Return the stretch from injection to recovery; to the end of the record where there was none, or no injection."""
    end = max(since, _row_end(all_))
    if not case.injects or case.healed is None or not again.yes:
        return since, end
    last_bad = max((one.end for one in all_ if one.end > since and one.high > 0 and not one.missing), default=since)
    return since, min(end, max(case.healed, last_bad))


def _truth(spending: Spending, allowed: float, *, sure: bool) -> Truth:
    if spending.spent.low > allowed:
        return Truth.FALSE
    return Truth.TRUE if spending.spent.high <= allowed and sure else Truth.UNKNOWN


def _overlap(case: Case) -> list[str]:
    if overlapping(case.holds) and any(one.asked.represents is not None for one in case.holds):
        return [
            "faults that overlap can't each stand for longer than they were held: which of them did what is not known"
        ]
    return []


def _unended(case: Case, again: Recovered) -> list[str]:
    if not case.injects or again.yes:
        return []
    return [f"the end of the outage ({again.why})"]


def _undecided(spending: Spending, allowed: float) -> list[str]:
    if spending.missing:
        return [f"{duration(spending.missing)} of the record: the bounds lie on both sides of {duration(allowed)}"]
    return [f"more samples: the bounds lie on both sides of {duration(allowed)}"]


def _statement(asked: _Asked) -> str:
    objective, era, allowed = asked.objective, asked.era, asked.allowed
    part = f"{share(era.spec.incident_share)} of the error budget of {duration(era.spec.window)}"
    if objective.below is None:
        name = f"{share(objective.target or 0.0)} of {objective.indicator}"
        return f"{name}: one incident may spend {duration(allowed)} of failed requests, {part}"
    what = f"the {objective.statistic or 'mean'} of {objective.indicator} over a rolling second"
    limit = f"may be at or over {duration(objective.below)} for {duration(allowed)}"
    return f"In one incident {what} {limit}, {part} at {asked.whose}"


def _finding(objective: Objective, spending: Spending, again: Recovered, case: Case) -> str:
    """Say what was spent, where and with which bounds."""
    verb = "failed" if objective.below is None else "was out of bounds"
    stretch = "from injection to recovery" if again.yes else "from injection to the end of the record"
    stretch = stretch if case.injects else "while it was watched"
    text = f"{objective.indicator} {verb} for {span(spending.spent)} {stretch}"
    good = [_part(one) for one in spending.parts if one.problem is None]
    if good:
        text += f": {listed(good)}, and {span(spending.rest)} of the rest"
    if spending.missing:
        text += f"; {duration(spending.missing)} are missing from the record"
    return text


def _part(part: Settled) -> str:
    found = part.share
    fraction = Interval(0.0, 1.0) if found is None else found.fraction
    samples = "" if found is None else f", {counted(found.n, 'sample')}"
    return (
        f"{share(fraction.low)} to {share(fraction.high)} of the {duration(part.window[1] - part.window[0])} for which "
        f"{part.hold.label} had settled{samples}, which stand for {duration(part.stands_for)}"
    )


def _survivals(
    case: Case, objective: Objective, all_: Sequence[Reading], spending: Spending, allowed: float
) -> list[Survival]:
    """Return, for each hold that settled, how long it could have gone on with what the rest left of the allowance."""
    timeout, lead = case.inputs.indicators[objective.indicator].timeout, _lead(objective)
    found = []
    for hold in [] if overlapping(case.holds) else case.holds:
        part = settled(all_, hold, timeout, lead)
        if part.problem is None and part.share is not None:
            found.append(_survival(hold.number, objective.name, part, spending, allowed))
    return found


def _survival(number: int, name: str, part: Settled, spending: Spending, allowed: float) -> Survival:
    """Divide what is left by the settled fraction; its own part of the spending is not what the rest spent."""
    fraction = part.share.fraction if part.share is not None else Interval(0.0, 1.0)
    own = part.stands_for if part.hold.asked.represents is not None else part.window[1] - part.window[0]
    left = Interval(
        max(0.0, allowed - max(0.0, spending.spent.high - own * fraction.high)),
        max(0.0, allowed - max(0.0, spending.spent.low - own * fraction.low)),
    )
    low = left.low / fraction.high
    if fraction.low <= 0:
        return Survival(injection=number, objective=name, at_least=low)
    return Survival(injection=number, objective=name, seconds=Interval(low, max(low, left.high / fraction.low)))
