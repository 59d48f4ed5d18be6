"""`report.json`: the report for programs. The shape is `Report` below; `schema` grows when it changes incompatibly.

Times are run seconds (since `run.origin`, which is seconds since the epoch), spans seconds, shares 0 to 1. A field that
is absent has no value. The series are bounded: at most 600 points each, gaps as points with `missing`. Pure.
"""

from collections.abc import Sequence

import msgspec

from aftershock.core.history import Cleaned, History, Ledgered, Observed
from aftershock.core.verdict import Interval, Judgement, Verdict
from aftershock.reports.plot import Series, records, series
from aftershock.reports.story import (
    Window,
    headline,
    last,
    ledgers,
    marks,
    stack_name,
    stretches,
    tightest,
    title,
    windows,
)

SCHEMA = 1


class Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base of the report's own records."""


class RunFacts(Part, frozen=True, kw_only=True):
    """Which run. `duration`: seconds of record. `fingerprints`: `Kind/name` to SHA-256."""

    name: str
    token: str
    origin: float
    duration: float
    experiment: str
    stack: str
    judged_by: list[str]
    versions: dict[str, str]
    fingerprints: dict[str, str]


class EraRow(Part, frozen=True, kw_only=True):
    """One era of the row.

    `claim` is the budget nearest to its allowance, or furthest beyond it; `spent` and `allowed` are its seconds.
    """

    era: str
    verdict: Verdict
    uptime: float | None = None
    uptime_source: str | None = None
    claim: str | None = None
    spent: Interval | None = None
    allowed: float | None = None


class PhaseSpan(Part, frozen=True, kw_only=True):
    """A phase, in run seconds."""

    phase: str
    start: float
    end: float


class Injection(Part, frozen=True, kw_only=True):
    """One fault as it happened.

    `expires`: epoch seconds on the target's clock. `ended_by` and `clean` are absent where no end is on record.
    """

    injection: int
    fault: str
    target: str
    lease: str
    expires: int
    start: float
    end: float
    represents: float | None = None
    ended_by: str | None = None
    clean: bool | None = None
    evidence: list[Observed] = []


class Flag(Part, frozen=True, kw_only=True):
    """A guardrail, abort, error, note or residue on the timeline."""

    at: float
    kind: str
    text: str


class Report(Part, frozen=True, kw_only=True):
    """The whole. `verdict` and `because` are those of `era`: the worst of the eras that the run is judged by."""

    schema: int
    run: RunFacts
    verdict: Verdict
    era: str
    because: str
    eras: list[EraRow]
    judgements: list[Judgement]
    phases: list[PhaseSpan]
    injections: list[Injection]
    marks: list[Flag] = []
    ledgers: list[Ledgered] = []
    left: list[str] = []
    series: list[Series] = []


def report(history: History, judgements: Sequence[Judgement], *, with_series: bool = True) -> Report:
    """Return the report as records."""
    judgement = headline(history, judgements)
    return Report(
        schema=SCHEMA,
        run=_run(history),
        verdict=judgement.verdict,
        era=judgement.era,
        because=judgement.because,
        eras=[_row(each) for each in judgements],
        judgements=list(judgements),
        phases=[PhaseSpan(phase=each.phase, start=each.start, end=each.end) for each in stretches(history)],
        injections=[_injection(each) for each in windows(history)],
        marks=[Flag(at=each.at, kind=each.kind, text=each.text) for each in marks(history)],
        ledgers=ledgers(history),
        left=[line for each in history.all(Cleaned) for line in each.left],
        series=[series(each) for each in records(history)] if with_series else [],
    )


def render(history: History, judgements: Sequence[Judgement]) -> str:
    """Return the report as JSON, a member a line; it reads back with `msgspec.json.decode(text, type=Report)`."""
    members = msgspec.to_builtins(report(history, judgements))
    lines = [f'"{name}": {msgspec.json.encode(value).decode()}' for name, value in members.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def line(history: History, judgements: Sequence[Judgement]) -> str:
    """Return the report on one line and without its series: what a program reads from a command's output."""
    return msgspec.json.encode(report(history, judgements, with_series=False)).decode()


def _run(history: History) -> RunFacts:
    begun = history.begun
    return RunFacts(
        name=begun.run,
        token=begun.token,
        origin=begun.origin,
        duration=last(history),
        experiment=title(begun),
        stack=stack_name(begun),
        judged_by=begun.judge_by,
        versions=begun.versions,
        fingerprints=begun.fingerprints,
    )


def _row(judgement: Judgement) -> EraRow:
    claim = tightest(judgement)
    return EraRow(
        era=judgement.era,
        verdict=judgement.verdict,
        uptime=judgement.uptime,
        uptime_source=judgement.uptime_source,
        claim=claim.name if claim else None,
        spent=claim.measured if claim else None,
        allowed=claim.allowed if claim else None,
    )


def _injection(window: Window) -> Injection:
    return Injection(
        injection=window.injection,
        fault=window.fault,
        target=window.target,
        lease=window.lease,
        expires=window.expires,
        start=window.start,
        end=window.end,
        represents=window.represents,
        ended_by=window.healed.by if window.healed else None,
        clean=window.healed.clean if window.healed else None,
        evidence=window.evidence,
    )
