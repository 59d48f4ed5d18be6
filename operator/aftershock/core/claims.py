"""The claims that are neither objective nor hypothesis: no data lost, no guardrail tripped, the load sent as asked."""

from collections.abc import Sequence

from aftershock.core.case import Case
from aftershock.core.guardrail import worst
from aftershock.core.history import Aborting, Ledgered, Sharded, Tripped
from aftershock.core.series import Cell
from aftershock.core.shards import amiss
from aftershock.core.verdict import Claim, Interval, Truth
from aftershock.core.wording import counted, duration, share
from aftershock.model.era import Era, RecoveryPoint
from aftershock.model.experiment import Guardrail, Load


def losses(case: Case, era: Era) -> list[Claim]:
    """Hold every ledger of the stack against the era's RPO; where it states none, no loss is allowed."""
    ledgers = [name for name, one in case.inputs.indicators.items() if one.ledger or one.shared_ledger]
    return [_loss(case, name, era.spec.recovery.rpo) for name in ledgers]


def _loss(case: Case, name: str, rpo: RecoveryPoint | None) -> Claim:
    read = next((one for one in reversed(case.history.all(Ledgered)) if one.indicator == name), None)
    allowed = float(rpo.value) if rpo is not None else 0.0
    span = _span(case, read) if read is not None else None
    truth, missing = _lost(read, span, allowed)
    limit = f"may span {duration(allowed)} (RPO)" if rpo is not None else "are not allowed: the era states no RPO"
    return Claim(
        kind="loss",
        name=name,
        truth=truth,
        statement=f"Acknowledged writes that are gone {limit}",
        finding=_loss_finding(read, span),
        indicator=name,
        source=rpo.source.kind if rpo is not None else None,
        measured=Interval(span, span) if span is not None else None,
        allowed=allowed,
        unit="s",
        missing=missing,
    )


def _span(case: Case, read: Ledgered) -> float | None:
    """Return the loss's span in seconds: the failure instant (or the newest loss) minus the oldest lost acknowledgement."""
    if not read.read:
        return None
    if read.lost_count == 0:
        return 0.0
    if read.oldest_lost is None:
        return None
    ends = [one for one in (case.since, read.newest_lost) if one is not None]
    return max([read.oldest_lost, *ends]) - read.oldest_lost


def _lost(read: Ledgered | None, span: float | None, allowed: float) -> tuple[Truth, list[str]]:
    if read is None:
        return Truth.UNKNOWN, ["the ledger's reading"]
    if not read.read:
        return Truth.UNKNOWN, [f"the ledger could not be read back: {read.saw or 'no answer'}"]
    if read.disputed or (read.lost_count and allowed <= 0):
        return Truth.FALSE, []
    if span is None:
        return Truth.UNKNOWN, ["when the oldest lost write was acknowledged"]
    if not read.acknowledged:
        return Truth.UNKNOWN, ["an acknowledged write: none was, so none could be lost"]
    return (Truth.TRUE if span <= allowed else Truth.FALSE), []


def _loss_finding(read: Ledgered | None, span: float | None) -> str:
    if read is None:
        return "The ledger was never read back"
    if not read.read:
        return "The ledger could not be read back, so nothing is known of what was lost"
    of = counted(read.acknowledged, "acknowledged write")
    unclear = f"; {read.indeterminate:,} more were neither acknowledged nor refused" if read.indeterminate else ""
    if read.disputed:
        unclear += f"; of {counted(len(read.disputed), 'write')} the service's own log of conflicts says otherwise"
    if not read.lost_count:
        return f"None of {of} is gone{unclear}"
    over = f", over a span of {duration(span)}" if span is not None else ""
    verb = "is" if read.lost_count == 1 else "are"
    return f"{read.lost_count:,} of {of} {verb} gone{over}{unclear}"


def guardrails(case: Case) -> list[Claim]:
    """A guardrail that tripped is a false claim. One that missing data may have hidden is unknown."""
    return [_guardrail(case, number, rule) for number, rule in enumerate(case.inputs.guardrails)]


def _guardrail(case: Case, number: int, rule: Guardrail) -> Claim:
    tripped = next((one for one in case.history.all(Tripped) if one.guardrail == number), None)
    aborted = next((one for one in case.history.all(Aborting) if one.reason == "Guardrail"), None)
    unnamed = aborted is not None and not case.history.all(Tripped) and len(case.inputs.guardrails) == 1
    low = worst(_watched(case, rule), rule)
    missing: list[str] = []
    if tripped is not None or unnamed:
        truth, finding = Truth.FALSE, f"It tripped: {_trip(tripped, aborted, rule)}"
    elif rule.indicator not in case.rows:
        truth, finding = Truth.UNKNOWN, f"The stack does not measure {rule.indicator}"
        missing = [f"an indicator named {rule.indicator} in the stack"]
    elif low is not None and low < rule.below:
        truth, finding = (
            Truth.UNKNOWN,
            f"No trip is on record, but its worst {duration(rule.for_)} may have been {share(low)} good",
        )
        missing = [f"a record of {rule.indicator} without gaps"]
    else:
        shown = f"; its worst {duration(rule.for_)} was {share(low)} good" if low is not None else ""
        truth, finding = Truth.TRUE, f"It never tripped{shown}"
    return Claim(
        kind="guardrail",
        name=f"{rule.indicator} below {share(rule.below)}",
        truth=truth,
        statement=f"Good {rule.indicator} requests never stay below {share(rule.below)} for {duration(rule.for_)}",
        finding=finding,
        indicator=rule.indicator,
        missing=missing,
    )


def _watched(case: Case, rule: Guardrail) -> Sequence[Cell]:
    start = case.history.entered("Active") or 0.0
    return [one for one in case.rows.get(rule.indicator, ()) if one.start >= start]


def _trip(tripped: Tripped | None, aborted: Aborting | None, rule: Guardrail) -> str:
    if tripped is not None:
        return f"{tripped.indicator} was below {share(tripped.below)} for {duration(tripped.lasted)}"
    return aborted.message if aborted is not None else f"{rule.indicator} was below {share(rule.below)}"


def load(case: Case) -> list[Claim]:
    """Tell whether the load was sent as asked; a run under less load than it says proves nothing."""
    return [_load(case, case.inputs.load)] if case.inputs.load is not None else []


def _load(case: Case, asked: Load) -> Claim:
    sent = case.load
    planned, unsent = sum(one.planned for one in sent), sum(one.unsent for one in sent)
    absent = sum(one.end - one.start for one in sent if one.planned == 0)
    wanted = (sent[-1].end - sent[0].start) * asked.rate if sent else 0.0
    missing = [f"{counted(unsent, 'request')} that could not be sent"] if unsent else []
    missing += [f"{duration(absent)} of the load's record"] if absent else []
    if not missing and planned < wanted * 0.99 - max(1.0, asked.rate / 10):
        missing = [f"{wanted - planned:,.0f} requests that were never due: {wanted:,.0f} were asked for"]
    if not sent or planned == 0:
        missing = ["any record of the load"]
    missing = [*amiss(case.history.all(Sharded)), *missing]
    return Claim(
        kind="load",
        name=asked.indicator,
        truth=Truth.UNKNOWN if missing else Truth.TRUE,
        statement=f"The load on {asked.indicator} was sent as asked: {asked.rate:g} requests a second",
        finding=f"{planned - unsent:,} of {counted(planned, 'request')} that were due were sent",
        indicator=asked.indicator,
        missing=missing,
    )
