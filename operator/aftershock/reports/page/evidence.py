"""The body of the page below the timeline: claims, recovery, loss, what the observers saw, leases, inputs."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

from aftershock.core.history import Begun, History
from aftershock.core.verdict import Bracket, Claim, Interval, Judgement
from aftershock.reports.page.bounds import bar, figures
from aftershock.reports.page.markup import Content, Markup, details, element, section, table, unbroken
from aftershock.reports.page.opening import era_name, tally
from aftershock.reports.page.signs import of, worded
from aftershock.reports.plot import Point, Record, Series, series
from aftershock.reports.story import (
    HOLDS,
    Stretch,
    Window,
    ended,
    in_order,
    ledgers,
    loss,
    sentence,
    sightings,
    stretches,
    survived,
    windows,
)
from aftershock.reports.wording import counted, duration, instant, interval, latency, moment, share

MOST_ROWS = 200
"""Rows of a table; what is cut off is counted, and all of it is in the journal."""


def claims(judgement: Judgement, others: Sequence[Judgement]) -> Markup:
    """Return every claim of the deciding era, and those of the others folded away."""
    folded = [
        details(
            [worded(each.verdict), f" in {era_name(each)}: {tally(each)}"],
            _claims(each.claims, level="h4"),
            class_="other-era",
        )
        for each in others
    ]
    return section(
        "claims",
        "Claims",
        _claims(judgement.claims, level="h3"),
        element("h3", "In the other eras") if folded else None,
        folded,
        lead=f"What was held against the record in {era_name(judgement)}: {tally(judgement)}.",
    )


def _claims(found: Sequence[Claim], level: str) -> Markup:
    return element("ul", [_claim(each, level) for each in in_order(found)], class_="claims")


def _claim(claim: Claim, level: str) -> Markup:
    tags = [claim.kind, claim.source, None if claim.binding else "does not decide"]
    return element(
        "li",
        element("p", worded(claim.truth), class_="truth"),
        element(
            "div",
            element(level, claim.name, [element("span", tag, class_="tag") for tag in tags if tag]),
            element("p", unbroken(sentence(claim.statement)), class_="statement"),
            element("p", unbroken(sentence(claim.finding))),
            element("p", element("b", "Missing: "), "; ".join(claim.missing), class_="missing")
            if claim.missing
            else None,
            class_="said",
        ),
        element("div", figures(claim), bar(claim), class_="held") if claim.measured is not None else None,
        class_=f"claim is-{of(claim.truth)}",
    )


def recovery(judgement: Judgement, judgements: Sequence[Judgement], history: History) -> Markup:
    """Return outages as brackets, how long the fault could have been borne, and what was lost."""
    return section(
        "recovery",
        "Recovery and loss",
        _outages(judgement),
        _allowed(judgement),
        _survivals(judgements, windows(history)),
        [element("p", element("b", each.indicator), ": ", loss(each), class_="loss") for each in ledgers(history)],
        _lost(history),
        lead="An outage ends between the last failure seen and the first success that lasted: so each end is an interval.",
    )


def _outages(judgement: Judgement) -> Markup | None:
    if not judgement.recovery:
        return None
    return table(
        "Outages, as clients saw them",
        ["Indicator", "Began", "Ended", "Lasted", "After healing", "Good record since"],
        [_outage(each) for each in judgement.recovery],
    )


def _allowed(judgement: Judgement) -> Markup | None:
    """Return what the era allows an outage to last; it is told beside the budget, which judges."""
    if judgement.rto_allowed is None:
        return None
    told = (
        f"In {era_name(judgement)} an outage may last {duration(judgement.rto_allowed)}; the budget judges, not this."
    )
    return element("p", unbroken(told), class_="aside")


def _outage(bracket: Bracket) -> list[Content]:
    if bracket.began is None:
        return [bracket.indicator, "no outage", "", "", "", duration(bracket.lasted)]
    return [
        bracket.indicator,
        span(bracket.began),
        span(bracket.ended) if bracket.ended else "not before the record stops",
        interval(bracket.rto, "not known"),
        interval(bracket.after_healing, "not known"),
        duration(bracket.lasted),
    ]


def span(between: Interval) -> str:
    """Return an interval of instants.

    >>> span(Interval(42.09, 42.11)), span(Interval(95.2, 95.3))
    ('42.09 to 42.11 s', '1:35.2 to 1:35.3')
    """
    if between.high < 60:
        return f"{between.low:.2f} to {between.high:.2f} s"
    return f"{instant(between.low)} to {instant(between.high)}"


def _survivals(judgements: Sequence[Judgement], held: Sequence[Window]) -> Markup | None:
    """Return how long each fault could have been held before an objective's allowance was gone, an era a column."""
    rows = list(dict.fromkeys((each.injection, each.objective) for judged in judgements for each in judged.survives))
    if not rows:
        return None
    faults = {each.injection: each for each in held}
    return table(
        "How long the stack survives the fault, by era",
        ["Fault", "Objective", *(each.era for each in judgements)],
        [
            [
                _fault(faults.get(injection), injection),
                objective,
                *(_survival(each, injection, objective) for each in judgements),
            ]
            for injection, objective in rows
        ],
    )


def _fault(window: Window | None, injection: int) -> str:
    return f"{injection + 1}. {window.fault}" if window else f"{injection + 1}."


def _survival(judgement: Judgement, injection: int, objective: str) -> str:
    for each in judgement.survives:
        if (each.injection, each.objective) == (injection, objective):
            return survived(each)
    return "not judged"


def _lost(history: History) -> Iterator[Markup]:
    for ledger in ledgers(history):
        if ledger.lost:
            rows = [[each.id, instant(each.acknowledged)] for each in ledger.lost[:MOST_ROWS]]
            yield details(
                f"The lost writes of {ledger.indicator}, {min(len(rows), ledger.lost_count):,} of {ledger.lost_count:,}",
                table(f"Lost writes of {ledger.indicator}", ["Write", "Acknowledged at"], rows),
            )


def observations(history: History) -> Markup | None:
    """Return, for each fault, what it stood for, what the observers saw, and every single observation."""
    held = windows(history)
    if not held:
        return section("evidence", "Evidence", element("p", "Nothing was injected."))
    return section(
        "evidence",
        "Evidence",
        [_window(each) for each in held],
        lead="Whether a fault was there is not taken from the call that injected it, but from a second observer.",
    )


def _window(window: Window) -> Markup:
    stands = f" It stands for {duration(window.represents)}." if window.represents is not None else ""
    held = duration(max(window.end - window.start, 0.0))
    rows = [
        [each.when, HOLDS[each.holds], each.observer, each.saw, _asked(each.first, each.last), f"{each.times:,}"]
        for each in sightings(window.evidence)[:MOST_ROWS]
    ]
    return element(
        "div",
        element("h3", f"{window.injection + 1}. {window.fault} on {window.target}"),
        element("p", f"Held for {held}, from {instant(window.start)} to {instant(window.end)}.{stands}"),
        _parameters(window.parameters),
        table("What the observers saw", ["When", "Answer", "Observer", "Saw", "Asked", "Times"], rows),
        _each(window),
    )


def _parameters(parameters: dict[str, Any]) -> Markup | None:
    if not parameters:
        return None
    return element(
        "p", "With ", element("code", ", ".join(f"{key}: {value}" for key, value in parameters.items())), "."
    )


def _asked(first: float, final: float) -> str:
    return instant(first) if first == final else f"{instant(first)} to {instant(final)}"


def _each(window: Window) -> Markup:
    shown = window.evidence[:MOST_ROWS]
    rows = [[instant(each.asked), each.when, HOLDS[each.holds], each.observer, each.saw] for each in shown]
    cut = f", the first {MOST_ROWS} shown" if len(window.evidence) > MOST_ROWS else ""
    caption = f"Each observation ({len(window.evidence):,}{cut})"
    return details(caption, table(caption, ["Asked", "When", "Answer", "Observer", "Saw"], rows))


def leases(history: History) -> Markup | None:
    """Return the leases: what stood at each target, until when at the most, and how it ended."""
    rows = [[element("code", each.lease), each.target, moment(each.expires), ended(each)] for each in windows(history)]
    if not rows:
        return None
    return section(
        "leases",
        "Leases",
        table(
            "What was left at a target, and when it would have ended by itself",
            ["Name", "Target", "Expiry", "How it ended"],
            rows,
        ),
    )


def inputs(begun: Begun) -> Markup:
    """Return the complete inputs as they were frozen, versions and fingerprints."""
    documents = [begun.experiment, begun.stack, *begun.eras]
    return section(
        "inputs",
        "Inputs",
        [
            details(_document_name(each), element("pre", element("code", yaml_of(each)), tabindex="0"))
            for each in documents
        ],
        _pairs("Versions", "Part", "Version", begun.versions),
        _pairs("Fingerprints", "Document", "SHA-256", begun.fingerprints),
        lead="Frozen before anything was touched; secrets are not among them.",
    )


def _document_name(document: dict[str, Any]) -> str:
    return f"{document.get('kind', 'Document')} {document.get('metadata', {}).get('name', '')}"


def _pairs(caption: str, key: str, value: str, pairs: dict[str, str]) -> Markup | None:
    if not pairs:
        return None
    return table(caption, [key, value], [[name, element("code", said)] for name, said in pairs.items()])


def yaml_of(document: dict[str, Any]) -> str:
    """Return a frozen document as YAML."""
    import yaml  # noqa: PLC0415 (only the HTML report needs it)

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(document, Dumper=dumper, sort_keys=False, allow_unicode=True, width=100)
    return text


def numbers(history: History, kept: Sequence[Record]) -> Markup | None:
    """Return the timeline as a table: what the plots show, for whoever can't see them; the pointer reads it too."""
    lines = [series(each, most=120, at_least=1.0) for each in kept]
    if not lines:
        return None
    heads = ["Time", "Phase", *(f"{line.indicator}{' (load)' if line.counted == 'load' else ''}" for line in lines)]
    finest = max(lines, key=lambda line: len(line.points))
    folded = list(_folded(stretches(history), lines, finest))
    rows = [[_asked(start, end), *cells] for start, end, cells in folded]
    caption = f"Share of good answers and their latency, each {duration(finest.width)}; what repeats is folded"
    starts = " ".join(f"{start:g}" for start, _, _ in folded)
    return details("The timeline as a table", table(caption, heads, rows, id="timeline-table", data_starts=starts))


def _folded(
    phases: Sequence[Stretch], lines: Sequence[Series], finest: Series
) -> Iterator[tuple[float, float, list[str]]]:
    """Yield (start, end, cells) of each row; neighbours that say the same are one."""
    held: tuple[float, float, list[str]] | None = None
    for each in finest.points:
        cells = [_phase_at(phases, each.start), *(_cell(_covering(line, each.start)) for line in lines)]
        if held is not None and held[2] == cells:
            held = (held[0], each.end, cells)
            continue
        if held is not None:
            yield held
        held = (each.start, each.end, cells)
    if held is not None:
        yield held


def _covering(line: Series, at: float) -> Point | None:
    """Return the point in whose stretch an instant lies."""
    position = bisect_right(line.points, at, key=lambda each: each.start) - 1
    return line.points[position] if position >= 0 and at < line.points[position].end else None


def _phase_at(phases: Sequence[Stretch], at: float) -> str:
    return next((each.phase for each in reversed(phases) if each.start <= at), "Pending")


def _cell(point: Point | None) -> str:
    if point is None or point.share is None:
        return "no record"
    said = [f"{share(point.share)}"]
    if point.p50 is not None and point.p99 is not None:
        said.append(f"p50 {latency(point.p50)}, p99 {latency(point.p99)}")
    if point.unsent:
        said.append(f"{counted(point.unsent, 'request')} not sent")
    if point.missing > 0.01:
        said.append(f"{share(point.missing)} of it incomplete")
    return ", ".join(said)
