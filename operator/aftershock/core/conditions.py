"""The four conditions of a run, each with a reason in CamelCase and a sentence that can be argued with."""

from collections.abc import Sequence

from aftershock.core.case import Case
from aftershock.core.history import Cleaned, Fronting, Intended, Observed
from aftershock.core.holds import Hold
from aftershock.core.verdict import Claim, Condition, Truth
from aftershock.core.wording import counted, duration, listed

LANDING = 5.0
"""Seconds within which a fault has to be seen after its injection was begun, beyond the time that its target takes."""

SILENCE = 3.0
"""Seconds that may pass between two observations, from the answer of one to the question of the next: three times the pace
at which an executor asks. An observation itself may take as long: a canary that meets a latency of 2 s waits for 2 s, and
watches all the while. One that takes longer says too little of when it saw what it saw.
"""


def fault_landed(case: Case) -> Condition:
    """Tell whether every fault was there from shortly after its injection until its healing, on the evidence alone."""
    if not case.injects:
        return _landed("True", "NothingToLand", "The experiment injects nothing")
    found = [landed(case, one) for one in case.holds]
    for status in ("False", "Unknown"):
        if wrong := next((one for one in found if one.status == status), None):
            return wrong
    return _landed("True", "Landed", " ".join(one.message for one in found))


def _landed(status: str, reason: str, message: str) -> Condition:
    return Condition(type="FaultLanded", status=status, reason=reason, message=message)  # type: ignore[arg-type]


def landed(case: Case, hold: Hold) -> Condition:
    """Tell whether one fault was there all along, on the evidence alone."""
    seen = [one for one in case.history.all(Observed) if one.injection == hold.number]
    before = [one for one in seen if one.when == "before"]
    during = [one for one in seen if one.when == "during"]
    if there := next((one for one in before if one.holds), None):
        return _landed("False", "AlreadyPresent", f"{hold.label} was there before it was injected: {there.saw}.")
    if hold.started is None:
        return _not_injected(case, hold)
    if before and not during and _too_soon(case, hold, hold.started):
        return _landed("Unknown", "CutOff", f"{hold.label} was injected, and the run ended before anybody looked.")
    if not before or not during:
        when = "before" if not before else "after"
        return _landed("False", "NoEvidence", f"Nobody looked for {hold.label} {when} it was injected.")
    if hold.landed is None:
        return _landed("False", "NeverLanded", f"{hold.label} was injected, but never seen: {during[0].saw}.")
    return _stayed(hold, hold.started, during)


def _too_soon(case: Case, hold: Hold, started: float) -> bool:
    """Tell whether the run was cut short before a look could be expected to have its answer."""
    if hold.healing is None:
        return case.cut_off or case.aborting is not None
    return case.aborting is not None and hold.healing - started <= SILENCE


def _not_injected(case: Case, hold: Hold) -> Condition:
    """A fault that nobody came to inject is not known to have failed to land; one that was skipped is."""
    if case.aborting is not None or case.cut_off or case.history.entered("Active") is None:
        return _landed("Unknown", "NotInjected", f"{hold.label} was not injected before the run ended.")
    return _landed("False", "NeverLanded", f"{hold.label} is not on record as injected.")


def _stayed(hold: Hold, started: float, during: Sequence[Observed]) -> Condition:
    """Go through the evidence from the first sight on: it has to be unbroken, in what it says and in time."""
    first = next(i for i, one in enumerate(during) if one.holds)
    seen = during[first:]
    if gone := next((one for one in seen if not one.holds), None):
        when = duration(gone.asked - started)
        message = f"{hold.label} was gone {when} after its injection was begun; {gone.observer} saw: {gone.saw}."
        return _landed("False", "StoppedLanding", message)
    if seen[0].at - started > LANDING + hold.settles:
        late = duration(seen[0].at - started)
        return _landed("False", "EvidenceGap", f"{hold.label} was first seen {late} after its injection was begun.")
    if gap := _gap(hold, seen):
        return _landed("False", "EvidenceGap", gap)
    if hold.healing is None:
        return _landed(
            "Unknown", "CutOff", f"{hold.label} was seen until the record breaks off; its healing is not on it."
        )
    looked = counted(len(seen), "observation")
    return _landed("True", "Landed", f"{hold.label} was seen {duration(seen[0].at - started)} after its injection was begun, "
                   f"and by each of {looked} until it was healed.")  # fmt: skip


def _gap(hold: Hold, seen: Sequence[Observed]) -> str | None:
    """Say where the evidence is too thin: between two looks, before the healing, or within a look."""
    asked = [*(one.asked for one in seen[1:]), *([hold.healing] if hold.healing is not None else [])]
    silence = max((question - one.at for one, question in zip(seen, asked, strict=False)), default=0.0)
    if silence > SILENCE:
        return f"Nobody looked for {hold.label} for {duration(silence)} while it was held."
    slowest = max(one.at - one.asked for one in seen)
    if slowest > SILENCE:
        return f"A look for {hold.label} took {duration(slowest)}: what it saw may have been there for a part of that."
    return None


def objectives_held(claims: Sequence[Claim]) -> Condition:
    """Sum the budget and latency claims up."""
    mine = [one for one in claims if one.kind in {"budget", "latency"}]
    false = [one.name for one in mine if one.truth is Truth.FALSE]
    unknown = [one.name for one in mine if one.truth is Truth.UNKNOWN]
    if false:
        return _objectives("False", "BudgetSpent", f"The incident spent more than it may: {listed(false)}.")
    if not mine:
        return _objectives("Unknown", "NoObjectives", "The era has no objectives.")
    if unknown:
        return _objectives("Unknown", "NotKnown", f"The record doesn't decide {listed(unknown)}.")
    return _objectives(
        "True", "WithinBudget", f"The incident spent no more than it may: {listed(one.name for one in mine)}."
    )


def _objectives(status: str, reason: str, message: str) -> Condition:
    return Condition(type="ObjectivesHeld", status=status, reason=reason, message=message)  # type: ignore[arg-type]


def recovered(claim: Claim, *, known: bool, evacuated: bool = False) -> Condition:
    """Turn the claim on recovery into a condition. `known`: the record shows that it did not recover.

    `evacuated`: it recovered from something that nobody had to notice first, and the condition says so.
    """
    if claim.truth is Truth.TRUE:
        status, reason = "True", "Held"
    else:
        status, reason = ("False", "NotRecovered") if known else ("Unknown", "NotKnown")
    note = (
        " An evacuation skips the detection of a failure: the recovery time of a real loss is not known."
        if evacuated
        else ""
    )
    return Condition(type="Recovered", status=status, reason=reason, message=f"{claim.finding}.{note}")  # type: ignore[arg-type]


def cleaned_up(case: Case) -> Condition:
    """Tell whether every target said that nothing is left; the last time it was asked counts."""
    asked = case.history.all(Cleaned)
    if not asked:
        return _cleaned("Unknown", "NoRecord", "Nobody asked the targets what is left.")
    last = asked[-1]
    if last.left:
        return _cleaned("False", "ResidueLeft", f"Something is left: {'; '.join(last.left)}.")
    if last.unasked and _untouched(case):
        return _cleaned("True", "NothingInjected", "Nothing was begun, so nothing of this run is left.")
    if last.unasked:
        return _cleaned("Unknown", "PlaceUnreachable", f"Not every place answered: {'; '.join(last.unasked)}.")
    if still := [hold.label for hold in case.holds if _still_there(case, hold)]:
        return _cleaned("Unknown", "NotProvedHealed", f"After healing, {listed(still)} was still seen.")
    return _cleaned("True", "Clean", "Every target was asked, and nothing is left.")


def _untouched(case: Case) -> bool:
    """Tell whether the run was given up before it did anything to a target, by its record (links are created unrecorded)."""
    history = case.history
    done = history.entered("Baseline") is not None or history.first(Intended) or history.first(Fronting)
    links = (history.begun.stack.get("spec") or {}).get("links") or []
    return not done and not any("listen" in link for link in links)


def _still_there(case: Case, hold: Hold) -> bool:
    after = [one for one in case.history.all(Observed) if one.injection == hold.number and one.when == "after"]
    return bool(after) and after[-1].holds


def _cleaned(status: str, reason: str, message: str) -> Condition:
    return Condition(type="CleanedUp", status=status, reason=reason, message=message)  # type: ignore[arg-type]
