"""From claims to a verdict: the first rule that fits, in a fixed order, and one sentence that names what decided."""

from collections.abc import Mapping, Sequence

import msgspec

from aftershock.core.case import Case
from aftershock.core.history import Entered, Errored, Sharded
from aftershock.core.shards import amiss
from aftershock.core.verdict import Claim, Condition, Truth, Verdict
from aftershock.core.wording import counted, duration, sentence, share

Answer = tuple[Verdict, str]

JUDGED = {"budget", "latency", "expect"}
"""Kinds of claims of which a run needs one at least: without any, nothing was held against the record."""


class _Bench(msgspec.Struct, frozen=True):
    """What lies before the judge. `claims`: those that bind."""

    case: Case
    claims: Sequence[Claim]
    states: Mapping[str, Condition]

    def which(self, truth: Truth) -> list[Claim]:
        return [one for one in self.claims if one.truth is truth]


def decide(case: Case, claims: Sequence[Claim], states: Sequence[Condition]) -> Answer:
    """Return the verdict and why."""
    bench = _Bench(case, [one for one in claims if one.binding], {one.type: one for one in states})
    verdict, because = next(answer for rule in RULES if (answer := rule(bench)) is not None)
    return verdict, f"{because}{_also_lost(case, because)}" if verdict is Verdict.INCONCLUSIVE else because


def _also_lost(case: Case, because: str) -> str:
    """Return which shards of the load are amiss, where an open verdict doesn't say it yet: they may be what it is open for."""
    unsaid = [one for one in amiss(case.history.all(Sharded)) if one not in because]
    return f" {sentence('; '.join(unsaid))}." if unsaid else ""


def _error(bench: _Bench) -> Answer | None:
    """The tool failed, or something is left at a target."""
    if error := bench.case.history.first(Errored):
        return Verdict.ERROR, f"The run could not be carried out: {error.problem}."
    clean = bench.states["CleanedUp"]
    return (Verdict.ERROR, clean.message) if clean.status == "False" else None


def _untested(bench: _Bench) -> Answer | None:
    """Without a steady baseline, or without a fault, nothing was tested."""
    if lacking := _no_load(bench.case):
        return Verdict.INCONCLUSIVE, f"The load could not be sent as asked, so nothing was begun: {lacking}."
    short = bench.case.history.entered("Active") is None and (bench.case.aborting is not None or bench.case.cut_off)
    wrong = [Truth.FALSE] if short else [Truth.FALSE, Truth.UNKNOWN]  # a baseline that an abort cut short is no verdict
    shaky = next((one for one in bench.claims if _is_baseline(one) and one.truth in wrong), None)
    if shaky is not None:
        return (
            Verdict.INCONCLUSIVE,
            f"The stack was not seen to be steady before the fault ({shaky.name}): {shaky.finding}.",
        )
    if not short and (why := _not_begun(bench.case)):
        return Verdict.INCONCLUSIVE, f"The stack was not seen to be steady before the fault: {why}."
    landed = bench.states["FaultLanded"]
    if landed.status == "False":
        return Verdict.INCONCLUSIVE, f"The fault did not land as it should, so nothing was tested: {landed.message}"
    return None


def _no_load(case: Case) -> str:
    """Return which shards of the load kept the executor from beginning; empty where none did."""
    if case.history.entered("Active") is not None or case.aborting is not None or case.cut_off:
        return ""
    return "; ".join(amiss(case.history.all(Sharded)))


def _not_begun(case: Case) -> str:
    """Return why the executor went from the baseline to Cleanup; empty where it went on. It has seen less than the record."""
    if case.history.entered("Active") is not None:
        return ""
    return next((one.why for one in case.history.all(Entered) if one.phase == "Cleanup"), "")


def _is_baseline(one: Claim) -> bool:
    return one.kind == "steady" and one.name.endswith(", baseline")


def _lost(bench: _Bench) -> Answer | None:
    """What stood in front of a target was lost, and that was the run's own: what clients saw from then on tells nothing."""
    aborting = bench.case.aborting
    return _aborted(bench) if aborting is not None and aborting.reason == "TargetLost" else None


def _failed(bench: _Bench) -> Answer | None:
    """Any claim is false."""
    false = bench.which(Truth.FALSE)
    if not false:
        return None
    first, others = false[0], len(false) - 1
    also = f" ({counted(others, 'other claim is', 'other claims are')} false as well)" if others else ""
    if first.kind in {"budget", "latency"} and first.measured is not None and first.allowed is not None:
        spent = f"at least {duration(first.measured.low)} where {duration(first.allowed)} are allowed"
        return Verdict.FAILED, f"{sentence(first.name)} ({first.indicator}) spent {spent}{also}."
    return Verdict.FAILED, f"Not so: {first.statement}. {first.finding}{also}."


def _aborted(bench: _Bench) -> Answer | None:
    """The user or a lost executor ended it. A guardrail that did is a false claim already."""
    if aborting := bench.case.aborting:
        return Verdict.ABORTED, f"The run was cut short ({aborting.reason}): {aborting.message}."
    if bench.case.cut_off:
        return Verdict.ABORTED, "The journal breaks off: the executor was lost (ExecutorLost)."
    return None


def _unknown(bench: _Bench) -> Answer | None:
    """Any claim is unknown, or a condition that every pass needs."""
    unknown = sorted(bench.which(Truth.UNKNOWN), key=lambda one: one.kind != "load")  # what others may be open for
    if unknown:
        others = len(unknown) - 1
        also = f"; {counted(others, 'other claim is', 'other claims are')} open as well" if others else ""
        lacks = "; ".join(unknown[0].missing)
        return Verdict.INCONCLUSIVE, f"{sentence(unknown[0].name)} can't be decided. Missing: {lacks}{also}."
    for name in ("FaultLanded", "CleanedUp"):
        if bench.states[name].status != "True":
            return Verdict.INCONCLUSIVE, bench.states[name].message
    if not any(one.kind in JUDGED for one in bench.claims):
        return Verdict.INCONCLUSIVE, "There is no objective and no expectation to hold the record against."
    return None


def _passed(bench: _Bench) -> Answer:
    """Name the objective that came closest to its allowance."""
    spent = [
        (one.measured.high / one.allowed, one.measured.high, one.allowed, one.name)
        for one in bench.claims
        if one.kind in {"budget", "latency"} and one.measured is not None and one.allowed
    ]
    everything = f"All {counted(len(bench.claims), 'claim')} are true"
    if not spent:
        return Verdict.PASSED, f"{everything}."
    part, high, allowed, name = max(spent)
    closest = (
        f"{name} came closest, with at most {duration(high)} of {duration(allowed)} spent ({share(round(part, 3))})"
    )
    return Verdict.PASSED, f"{everything}; {closest}."


RULES = (_error, _untested, _lost, _failed, _aborted, _unknown, _passed)
