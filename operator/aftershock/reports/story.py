"""What every report tells, in the order in which it is told: the journal's facts, gathered and put into words.

Pure: journal and judgements in, plain records out. It decides nothing: every truth and verdict is the judge's.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import inf
from typing import Any

import msgspec
from msgspec.structs import replace

from aftershock.core import shards
from aftershock.core.history import (
    Aborting,
    Begun,
    Cleaned,
    Counted,
    Entered,
    Errored,
    Fronting,
    Healed,
    Healing,
    History,
    Injected,
    Intended,
    Ledgered,
    Noted,
    Observed,
    Sharded,
    Slice,
    Tripped,
)
from aftershock.core.verdict import Bracket, Claim, Judgement, Survival, Truth, Verdict
from aftershock.model.units import Duration, Rate, UnitError
from aftershock.reports.wording import counted, duration, instant, interval, share

WORST_FIRST = (Verdict.ERROR, Verdict.FAILED, Verdict.ABORTED, Verdict.INCONCLUSIVE, Verdict.PASSED)
SIGN = {
    Verdict.PASSED: "✔",
    Verdict.FAILED: "✘",
    Verdict.INCONCLUSIVE: "?",
    Verdict.ABORTED: "■",
    Verdict.ERROR: "!",
}
"""A mark beside each verdict's word, so that no verdict is told by its colour alone."""

TRUTH_SIGN = {Truth.TRUE: "✔", Truth.FALSE: "✘", Truth.UNKNOWN: "?"}
HOLDS = {True: "fault there", False: "no fault"}


class Stretch(msgspec.Struct, frozen=True):
    """A phase of the run, in run seconds."""

    phase: str
    start: float
    end: float
    why: str


class Window(msgspec.Struct, frozen=True):
    """One injection as it happened, in run seconds; None for what the journal has no record of.

    `expires` is in seconds since the epoch on the target's clock. `end` closes the window on a plot: when it was healed,
    or else when the journal ends.
    """

    injection: int
    fault: str
    target: str
    lease: str
    expires: int
    parameters: dict[str, Any]
    start: float
    end: float
    healed: Healed | None
    represents: float | None
    evidence: list[Observed] = msgspec.field(default_factory=list)


class Mark(msgspec.Struct, frozen=True):
    """An instant worth a flag on the timeline."""

    at: float
    kind: str
    text: str


def headline(history: History, judgements: Sequence[Judgement]) -> Judgement:
    """Return the judgement that speaks for the run: the worst of the eras it is judged by, or else the first given."""
    if not judgements:
        raise ValueError("a report needs a judgement")
    decisive = [each for each in judgements if each.era in history.begun.judge_by] or list(judgements[:1])
    return min(decisive, key=lambda each: WORST_FIRST.index(each.verdict))


def title(begun: Begun) -> str:
    """Return the experiment's name, or the run's where the experiment bears none."""
    return str(begun.experiment.get("metadata", {}).get("name") or begun.run)


def uptime(judgement: Judgement) -> str:
    """Return an era's availability target and how sure it is, as `99%, stated`; empty where it has none."""
    if judgement.uptime is None:
        return ""
    return share(judgement.uptime) + (f", {judgement.uptime_source}" if judgement.uptime_source else "")


def stack_name(begun: Begun) -> str:
    """Return the name of the stack that was hit."""
    return str(begun.stack.get("metadata", {}).get("name") or "unknown")


def hypothesis(begun: Begun) -> str | None:
    """Return the experiment's hypothesis in its author's words."""
    text = begun.experiment.get("spec", {}).get("hypothesis")
    return str(text) if text else None


def last(history: History) -> float:
    """Return the run seconds of the last thing on record."""
    return max((event.at for event in history.events), default=0.0)


def stretches(history: History) -> list[Stretch]:
    """Return the phases that took time, in their order."""
    entered = history.all(Entered)
    ends = [*(later.at for _, later in pairwise(entered)), last(history)]
    return [
        Stretch(each.phase, each.at, max(end, each.at), each.why)
        for each, end in zip(entered, ends, strict=False)
        if each.phase not in ("Pending", "Finished")
    ]


def windows(history: History) -> list[Window]:
    """Return every injection that was intended, in the timeline's order."""
    return [_window(history, intent) for intent in history.all(Intended)]


def _window(history: History, intent: Intended) -> Window:
    number = intent.injection
    injected = next((each for each in history.all(Injected) if each.injection == number), None)
    healed = next((each for each in history.all(Healed) if each.injection == number), None)
    healing = next((each for each in history.all(Healing) if each.injection == number), None)
    end = healed or healing
    return Window(
        injection=number,
        fault=intent.fault,
        target=intent.target,
        lease=intent.lease,
        expires=intent.expires,
        parameters=intent.parameters,
        start=injected.started if injected else intent.at,
        end=end.at if end else last(history),
        healed=healed,
        represents=_represents(history.begun, number),
        evidence=[each for each in history.all(Observed) if each.injection == number],
    )


def _represents(begun: Begun, injection: int) -> float | None:
    """Read `represents` off the frozen experiment; a text that is no duration counts as absent: this only prints it."""
    timeline = begun.experiment.get("spec", {}).get("timeline", [])
    try:
        return float(Duration.parse(str(timeline[injection]["represents"])))
    except (IndexError, KeyError, TypeError, UnitError):
        return None


def marks(history: History) -> list[Mark]:
    """Return guardrails, aborts, errors and what was left over, in the order of time."""
    return sorted(_marks(history), key=lambda mark: mark.at)


def _marks(history: History) -> Iterator[Mark]:
    for event in history.events:
        if isinstance(event, Tripped):
            yield Mark(event.at, "guardrail", f"{event.indicator} was below its guardrail for {duration(event.lasted)}")
        elif isinstance(event, Aborting):
            yield Mark(event.at, "abort", f"{event.reason}: {event.message}")
        elif isinstance(event, Errored):
            yield Mark(event.at, "error", "; try: ".join(filter(None, (event.problem, event.advice))))
        elif isinstance(event, Sharded) and event.state != "ready":
            yield Mark(event.at, "note", shards.said(event))
        elif isinstance(event, Fronting):
            links = ", ".join(event.links)
            yield Mark(
                event.at,
                "note",
                f"Toxiproxy is put in front of the Service {event.service} for the link {links}, at the most until its lease"
                f" {event.lease} is over",
            )
        elif isinstance(event, Noted):
            yield Mark(event.at, "note", event.text)
        elif isinstance(event, Cleaned) and (event.left or event.unasked):
            yield Mark(event.at, "residue", "; ".join([*event.left, *(f"not asked: {who}" for who in event.unasked)]))


def measured_indicators(history: History) -> list[tuple[str, Counted]]:
    """Return (indicator, how it is counted) of everything that was measured: probes in the stack's order, then load."""
    seen = {(each.indicator, each.counted): None for each in history.all(Slice)}
    named = [str(each.get("name")) for each in _indicators(history.begun)]
    order = {name: position for position, name in enumerate(named)}
    return sorted(seen, key=lambda pair: (pair[1] == "load", order.get(pair[0], len(order)), pair[0]))


def every(begun: Begun, indicator: str, counted_as: Counted) -> float:
    """Return the planned interval of an indicator's requests, seconds; a tenth of a second where none is stated."""
    try:
        if counted_as == "load":
            return 1 / Rate.parse(str(begun.experiment["spec"]["load"]["rate"]))
        return next(
            float(Duration.parse(str(each["every"]))) for each in _indicators(begun) if each["name"] == indicator
        )
    except (KeyError, TypeError, StopIteration, UnitError, ZeroDivisionError):
        return 0.1


def _indicators(begun: Begun) -> list[dict[str, Any]]:
    return [each for each in begun.stack.get("spec", {}).get("indicators", []) if isinstance(each, dict)]


def tightest(judgement: Judgement) -> Claim | None:
    """Return the budget that is nearest to its allowance, or furthest beyond: what an era's row shows."""
    spent = [each for each in judgement.claims if each.kind in ("budget", "latency") and each.binding]
    known = [each for each in spent if each.measured is not None and each.allowed is not None]
    return max(known, key=_use, default=None)


def _use(claim: Claim) -> tuple[bool, bool, float]:
    """Order budgets: false ones first, then unknown ones, then by the share of the allowance that may be gone."""
    high = claim.measured.high if claim.measured else 0.0
    return (
        claim.truth is Truth.FALSE,
        claim.truth is Truth.UNKNOWN,
        high / claim.allowed if claim.allowed else high * 1e9,
    )


def in_order(claims: Sequence[Claim]) -> list[Claim]:
    """Return claims with what decides first: binding before not, false before unknown before true; else as judged."""
    rank = {Truth.FALSE: 0, Truth.UNKNOWN: 1, Truth.TRUE: 2}
    return sorted(claims, key=lambda claim: (not claim.binding, rank[claim.truth]))


def ledgers(history: History) -> list[Ledgered]:
    """Return the last reading of each ledger: a later one knows more."""
    return list({each.indicator: each for each in history.all(Ledgered)}.values())


def loss(ledger: Ledgered) -> str:
    """Return what one ledger says, as a sentence."""
    if not ledger.read:
        return f"Not known: the ledger could not be read back ({ledger.saw or 'no reason on record'})."
    doubt = f"; {counted(ledger.indeterminate, 'write')} indeterminate" if ledger.indeterminate else ""
    if ledger.disputed:
        doubt += f"; of {counted(len(ledger.disputed), 'write')} the service's own log of conflicts says otherwise"
    if not ledger.lost_count:
        return f"None of {counted(ledger.acknowledged, 'acknowledged write')} is gone{doubt}."
    span = ""
    if ledger.oldest_lost is not None and ledger.newest_lost is not None:
        span = f", acknowledged from {instant(ledger.oldest_lost)} to {instant(ledger.newest_lost)}"
    return f"{ledger.lost_count:,} of {counted(ledger.acknowledged, 'acknowledged write')} gone{span}{doubt}."


def longest_outage(judgement: Judgement) -> tuple[str, str]:
    """Return the longest outage and whose it was, in words: of what the era judges, or of anything if it judges nothing."""
    if not judgement.recovery:
        return "not known", "nothing was measured after an injection"
    judged = [each for each in judgement.recovery if each.indicator in _judged(judgement)]
    broken = [each for each in judged or judgement.recovery if each.began is not None]
    if not broken:
        others = [
            f"{each.indicator} {interval(each.rto, 'not over')}"
            for each in judgement.recovery
            if each.began is not None
        ]
        aside = f"; not judged: {', '.join(others)}" if others else ""
        return "none", f"nothing that era {judgement.era} judges had one{aside}" if judged else "no indicator had one"
    open_ended = next((each for each in broken if each.rto is None), None)
    if open_ended is not None:
        return "not over", f"{open_ended.indicator}: {_unended(open_ended, judgement)}"
    worst = max(broken, key=lambda each: each.rto.high if each.rto else 0.0)
    return interval(worst.rto), worst.indicator


def longest_aside(judgement: Judgement) -> Bracket | None:
    """Return the longest outage that is over of what the era doesn't judge, None where there was none."""
    aside = [each for each in judgement.recovery if each.rto and each.indicator not in _judged(judgement)]
    return max(aside, key=lambda each: each.rto.high if each.rto else 0.0, default=None)


def _judged(judgement: Judgement) -> set[str | None]:
    """Return the indicators that have an objective."""
    return {claim.indicator for claim in judgement.claims if claim.kind in ("budget", "latency")}


def _unended(open_ended: Bracket, judgement: Judgement) -> str:
    """Say why an outage can't be called over; and, where the run has recovered all the same, how both can be true."""
    why = "the record stops before it ended"
    if open_ended.lasted > 0:
        why = f"good again for {duration(open_ended.lasted)} when the record stops, too short to call it over"
    if not any(claim.name == "recovered" and claim.truth is Truth.TRUE for claim in judgement.claims):
        return why
    judged = open_ended.indicator in _judged(judgement)
    return f"{why}; {'its objective held all the same' if judged else f'no objective of era {judgement.era} judges it'}"


def survival(judgement: Judgement, fault: int | None = None) -> tuple[str, str] | None:
    """Return the shortest time the stack could live with a fault, and by which objective; None if nothing is said."""
    said = [each for each in judgement.survives if fault is None or each.injection == fault]
    if not said:
        return None
    worst = min(said, key=_borne)
    return survived(worst), worst.objective


def _borne(survival: Survival) -> float:
    """Return what a survival is sure of, in seconds."""
    if survival.seconds is not None:
        return survival.seconds.low
    return inf if survival.at_least is None else survival.at_least


def survived(survival: Survival) -> str:
    """Return how long a fault could be borne, in words."""
    if survival.seconds is not None:
        return interval(survival.seconds)
    return "no end in sight" if survival.at_least is None else f"at least {duration(survival.at_least)}"


def ended(window: Window) -> str:
    """Return how a lease ended, in words."""
    if window.healed is None:
        return "no end on record"
    state = "clean" if window.healed.clean else "NOT clean"
    who = {
        "executor": "healed by the executor",
        "reaper": "healed by the reaper",
        "lease": "ended by its own expiry",
        "found": "found gone",
    }
    return f"{who[window.healed.by]} at {instant(window.healed.at)}, {state}: {window.healed.saw}"


class Sighting(msgspec.Struct, frozen=True):
    """Observations in a row that say the same: when, by whom, what. `times` of them, asked from `first` to `last`.

    `varied`: their numbers differ, and `saw` has those of the first.
    """

    when: str
    holds: bool
    observer: str
    saw: str
    first: float
    last: float
    times: int
    varied: bool = False

    @property
    def how_often(self) -> str:
        """Return `, 11 times, at first`, or nothing where it was once."""
        return f", {self.times} times{', at first' if self.varied else ''}" if self.times > 1 else ""


def sightings(evidence: Sequence[Observed], *, brief: bool = False) -> list[Sighting]:
    """Fold observations that repeat each other, per observer, so that a change stands out.

    `brief`: those too that differ in nothing but numbers (a canary's round trip never takes the same time twice), or that
    take turns with others of the same answer (a database has more than one way to refuse).
    """
    folded: list[Sighting] = []
    open_: dict[tuple[str, str], int] = {}
    for each in evidence:
        text = _NUMBER.sub("0", each.saw) if brief else each.saw
        position = open_.get((each.observer, text))
        if position is not None and _answer(before := folded[position]) == _answer(each):
            varied = before.varied or before.saw != each.saw
            folded[position] = replace(before, last=each.asked, times=before.times + 1, varied=varied)
            continue
        ended = [key for key, at in open_.items() if key[0] == each.observer and _answer(folded[at]) != _answer(each)]
        for key in ended if brief else [key for key in open_ if key[0] == each.observer]:
            del open_[key]
        open_[each.observer, text] = len(folded)
        folded.append(Sighting(each.when, each.holds, each.observer, each.saw, each.asked, each.asked, times=1))
    return folded


def _answer(seen: Sighting | Observed) -> tuple[str, bool]:
    return seen.when, seen.holds


_NUMBER = re.compile(r"\d+(\.\d+)?")


def finding(claim: Claim) -> str:
    """Return a claim's finding with what is missing."""
    missing = f" Missing: {'; '.join(claim.missing)}." if claim.missing else ""
    return f"{sentence(claim.finding)}{missing}"


def sentence(text: str) -> str:
    """Return a text that ends as a sentence does."""
    return text if not text or text.rstrip().endswith((".", "!", "?", "…")) else f"{text}."
