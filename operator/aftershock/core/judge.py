"""The judge: a journal and an era in, a judgement out. Pure, so that any run can be judged again, by any era, years later.

The claims come from their own modules; here they are put together, and one verdict follows from them by a fixed order.
"""

from collections.abc import Iterable, Sequence

import msgspec

from aftershock.core import bracket as brackets
from aftershock.core import conditions
from aftershock.core.case import Case, case
from aftershock.core.claims import guardrails, load, losses
from aftershock.core.expectations import expectation
from aftershock.core.held import says, steady_claim
from aftershock.core.history import SLICE, History
from aftershock.core.objectives import UNHEALED, Account, account
from aftershock.core.order import decide
from aftershock.core.rto import allowed, first_availability, rto, undetected, uptime, uptime_source
from aftershock.core.verdict import Bracket, Claim, Judgement, Survival, Truth
from aftershock.core.wording import duration, sentence
from aftershock.model.era import Era, Objective

_encoder = msgspec.json.Encoder(decimal_format="number")


def judge_all(history: History, eras: Iterable[Era]) -> list[Judgement]:
    """Judge a run by several eras: one row of the matrix. LookupError where the journal has no first record."""
    prepared = case(history)
    return [_judge(prepared, era) for era in eras]


def judge(history: History, era: Era) -> Judgement:
    """Judge a run by one era. LookupError where the journal has no first record."""
    return _judge(case(history), era)


def encode(judgement: Judgement | Sequence[Judgement]) -> bytes:
    """Return a judgement, or a row of them, as JSON."""
    return _encoder.encode(judgement)


def decode(document: bytes) -> Judgement:
    """Read a judgement back; msgspec.DecodeError where it isn't one."""
    return msgspec.json.decode(document, type=Judgement)


def _judge(prepared: Case, era: Era) -> Judgement:
    accounts = [account(prepared, era, one) for one in era.spec.objectives]
    found = [_bracket(prepared, name, accounts) for name in prepared.slices if prepared.slices[name]]
    recovery = _recovery(prepared, accounts)
    claims = [
        *(one.claim for one in accounts),
        *(expectation(prepared, one) for one in prepared.inputs.expect),
        *losses(prepared, era),
        *guardrails(prepared),
        *load(prepared),
        *_steady(prepared, era, recovery),
        *([recovery] if prepared.injects else []),
        *rto(prepared, era, found, seen=_seen(era, accounts)),
    ]
    known = any(one.held is not None and not one.held.yes and one.held.known for one in accounts)
    states = [
        conditions.fault_landed(prepared),
        conditions.objectives_held(claims),
        conditions.recovered(recovery, known=known, evacuated=undetected(prepared.inputs.timeline)),
        conditions.cleaned_up(prepared),
    ]
    verdict, because = decide(prepared, claims, states)
    return Judgement(
        run=prepared.history.begun.run,
        era=era.metadata.name,
        uptime=uptime(era),
        uptime_source=uptime_source(era),
        verdict=verdict,
        because=because,
        claims=claims,
        conditions=states,
        recovery=[one for one in found if one is not None],
        survives=_survives(prepared, accounts),
        rto_allowed=allowed(era)[0],
    )


def _survives(prepared: Case, accounts: Sequence[Account]) -> list[Survival]:
    """Return for how long the stack would have survived each fault that was there: what was survived else was no fault."""
    landed = {one.number for one in prepared.holds if conditions.landed(prepared, one).status == "True"}
    return [survival for one in accounts for survival in one.survives if survival.injection in landed]


def _seen(era: Era, accounts: Sequence[Account]) -> bool:
    """Tell whether the record reaches to where the era's first availability objective held again."""
    first = first_availability(era)
    return any(one.held is not None and one.held.yes for one in accounts if first and one.claim.name == first.name)


def _bracket(prepared: Case, name: str, accounts: Sequence[Account]) -> Bracket | None:
    """Bracket an indicator's outage. It is over if it held for `steady`, or if what failed since is within an objective."""
    if prepared.since is None:
        return None
    found = brackets.outage(prepared.slices[name], prepared.since, prepared.watched)
    after = prepared.since if found is None else found.ended.high if found.ended is not None else prepared.watched
    followed = brackets.lasted(prepared.rows[name], after, prepared.watched)
    mine = [one.held for one in accounts if one.claim.indicator == name and one.held]
    over = followed >= prepared.inputs.recovery.steady - 0.1 or any(one.yes for one in mine)
    return brackets.bracket(name, found, prepared.since, prepared.healed, followed, over=over)


def _recovery(prepared: Case, accounts: Sequence[Account]) -> Claim:
    """Claim that at the end of the watch every measured objective had held for `steady`; false only by its budget."""
    steady = duration(prepared.inputs.recovery.steady)
    measured = [one.held for one in accounts if one.held is not None]
    failed = [one.why for one in measured if not one.yes]
    if prepared.injects and prepared.healed is None and prepared.since is not None:
        failed = [UNHEALED, *failed]
    if not measured:
        failed = ["no objective was measured after an injection"]
    return Claim(
        kind="recovery",
        name="recovered",
        truth=Truth.UNKNOWN if failed else Truth.TRUE,
        statement=f"When the watch ended, every objective had held for {steady}",
        finding=sentence(failed[0]) if failed else f"Every measured objective held for the last {steady} of the watch",
        missing=[f"a recovery: {one}" for one in failed],
    )


def _steady(prepared: Case, era: Era, recovery: Claim) -> list[Claim]:
    """Claim that the objectives held before anything was injected, and after the recovery."""
    measured = [one for one in era.spec.objectives if one.indicator in prepared.rows]
    claims = [claim for one in measured if (claim := _baseline(prepared, era, one)) is not None]
    if prepared.injects and prepared.since is not None:
        claims += [_afterwards(prepared, era, one, recovery) for one in measured]
    return claims


def _baseline(prepared: Case, era: Era, objective: Objective) -> Claim | None:
    """Return None where no baseline was asked for."""
    start = prepared.history.entered("Baseline")
    ends = (prepared.history.entered("Active"), prepared.since, prepared.watched)
    end = min(one for one in ends if one is not None)
    if prepared.inputs.baseline.for_ <= 0 or start is None:
        return None if start is not None else _no_baseline(objective)
    return steady_claim(prepared.read(objective), objective, era.spec.objectives, start=start, end=end, when="baseline")


def _no_baseline(objective: Objective) -> Claim:
    return Claim(
        kind="steady",
        name=f"{objective.name}, baseline",
        truth=Truth.UNKNOWN,
        statement=f"Baseline: nothing contradicts that {says(objective)}",
        finding="The record has no baseline",
        indicator=objective.indicator,
        missing=["a baseline"],
    )


def _afterwards(prepared: Case, era: Era, objective: Objective, recovery: Claim) -> Claim:
    """What has not recovered is no contradiction of having been steady since: it is unknown. So is a stretch under a fault."""
    end = prepared.watched
    start = max(prepared.since or 0.0, end - prepared.inputs.recovery.steady - 0.1)
    found = steady_claim(
        prepared.read(objective), objective, era.spec.objectives, start=start, end=end, when="after recovery"
    )
    after = prepared.healed is not None and start >= prepared.healed - 2 * SLICE
    if found.truth is not Truth.FALSE and after:
        return found
    return msgspec.structs.replace(found, truth=Truth.UNKNOWN, missing=recovery.missing or ["a recovery"])
