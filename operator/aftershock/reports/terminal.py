"""What a terminal shows when a run is over: plain lines anywhere, the same as panels and tables where rich can draw them.

rich costs a tenth of a second to import, so only the functions that draw import it. Names from the journal are shown
as they are, with every control character made visible: a name can't repaint the terminal. Pure, but for `show`.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aftershock.core.history import History
from aftershock.core.verdict import Claim, Judgement, Truth, Verdict
from aftershock.reports.plot import records, series, sparkline
from aftershock.reports.story import (
    HOLDS,
    SIGN,
    TRUTH_SIGN,
    Window,
    ended,
    finding,
    headline,
    in_order,
    ledgers,
    longest_outage,
    loss,
    marks,
    sightings,
    stack_name,
    survival,
    tightest,
    title,
    uptime,
    windows,
)
from aftershock.reports.wording import against, duration, instant, interval, one_line

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

COLOUR = {
    Verdict.PASSED: "green",
    Verdict.FAILED: "red",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.ABORTED: "magenta",
    Verdict.ERROR: "red",
}
TRUTH_COLOUR = {Truth.TRUE: "green", Truth.FALSE: "red", Truth.UNKNOWN: "yellow"}


def render(history: History, judgements: Sequence[Judgement], lies_at: str | None = None) -> str:
    """Return plain text. `lies_at`: where the written report lies, for the last line."""
    return "\n".join(lines(history, judgements, lies_at)) + "\n"


def lines(history: History, judgements: Sequence[Judgement], lies_at: str | None = None) -> Iterator[str]:
    """Yield plain text line by line: verdict, why, eras, claims, recovery, evidence, where the report lies."""
    judgement = headline(history, judgements)
    begun = history.begun
    yield f"{SIGN[judgement.verdict]} {judgement.verdict.value}: {one_line(title(begun))} on {one_line(stack_name(begun))}"
    yield f"  {one_line(judgement.because)}"
    yield ""
    yield from _aligned([["era", "verdict", "budget spent of allowed"], *(_era(each) for each in judgements)])
    yield ""
    for claim in in_order(judgement.claims):
        yield from _claim_lines(claim)
    yield ""
    yield from _recovery_lines(history, judgement)
    for mark in marks(history):
        yield f"{mark.kind} at {instant(mark.at)}: {one_line(mark.text)}"
    for window in windows(history):
        yield from _window_lines(window)
    if lies_at:
        yield ""
        yield f"report: {one_line(lies_at)}"


def _era(judgement: Judgement) -> list[str]:
    aside = f" ({one_line(uptime(judgement))})" if uptime(judgement) else ""
    return [
        f"{one_line(judgement.era)}{aside}",
        f"{SIGN[judgement.verdict]} {judgement.verdict.value}",
        _spent(tightest(judgement)),
    ]


def _spent(claim: Claim | None) -> str:
    if claim is None or claim.measured is None or claim.allowed is None:
        return "not judged"
    return f"{against(claim.measured, claim.allowed, claim.unit)} ({one_line(claim.name)})"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield rows in columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _claim_lines(claim: Claim) -> Iterator[str]:
    aside = "" if claim.binding else " (does not decide)"
    yield f"{TRUTH_SIGN[claim.truth]} {claim.truth.value:<7}  {one_line(claim.name)}{aside}: {one_line(finding(claim))}"
    if claim.measured is not None and claim.allowed is not None:
        yield f"             {against(claim.measured, claim.allowed, claim.unit)}"


def _recovery_lines(history: History, judgement: Judgement) -> Iterator[str]:
    length, whose = longest_outage(judgement)
    yield f"outage: {length} ({one_line(whose)})"
    for each in judgement.recovery:
        if each.after_healing is not None:
            early = each.after_healing.high == 0
            when = "before the fault was healed" if early else f"{interval(each.after_healing)} after healing"
            yield f"  {one_line(each.indicator)}: out for {interval(each.rto, 'not over')}, back {when}"
    if alive := survival(judgement):
        yield f"survives the fault for: {alive[0]} ({one_line(alive[1])})"
    for ledger in ledgers(history):
        yield f"{one_line(ledger.indicator)}: {one_line(loss(ledger))}"


def _window_lines(window: Window) -> Iterator[str]:
    stands = f", standing for {duration(window.represents)}" if window.represents is not None else ""
    held = f"{instant(window.start)} to {instant(window.end)}{stands}"
    yield f"fault {window.injection + 1}: {one_line(window.fault)} on {one_line(window.target)}, {held}"
    for each in sightings(window.evidence, brief=True)[:12]:
        says = f"{HOLDS[each.holds]}, says {one_line(each.observer)}{each.how_often}"
        yield f"  {each.when}: {says}: {one_line(each.saw)}"
    yield f"  lease {one_line(window.lease)}: {one_line(ended(window))}"


def show(history: History, judgements: Sequence[Judgement], lies_at: Path | None = None, *, colour: bool) -> None:
    """Print the report to standard output: drawn by rich where `colour`, else as plain lines. The rim: it does print."""
    where = str(lies_at) if lies_at else None
    if not colour:
        sys.stdout.write(render(history, judgements, where))
        return
    from rich.console import Console  # noqa: PLC0415

    Console(highlight=False).print(drawn(history, judgements, where))


def drawn(history: History, judgements: Sequence[Judgement], lies_at: str | None = None) -> "RenderableType":
    """Return the same for rich: a panel with the verdict and why, then eras, claims, indicators, evidence."""
    from rich.console import Group  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    judgement = headline(history, judgements)
    rest = [*_recovery_lines(history, judgement)]
    rest += [f"{mark.kind} at {instant(mark.at)}: {one_line(mark.text)}" for mark in marks(history)]
    rest += [line for window in windows(history) for line in _window_lines(window)]
    pieces: list[RenderableType] = [
        _panel(history, judgement),
        _era_table(judgements),
        _claim_table(judgement),
        _indicator_table(history),
        Text("\n".join(rest)),
    ]
    said = f"\n{SIGN[judgement.verdict]} {judgement.verdict.value}"  # again: the panel may have left the screen
    pieces.append(
        Text.assemble((said, f"bold {COLOUR[judgement.verdict]}"), f"  judged by era {one_line(judgement.era)}")
    )
    if lies_at:
        pieces.append(Text.assemble(("report: ", "bold"), one_line(lies_at)))
    return Group(*pieces)


def _panel(history: History, judgement: Judgement) -> "RenderableType":
    from rich.panel import Panel  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    colour = COLOUR[judgement.verdict]
    said = Text.assemble(
        (f"{SIGN[judgement.verdict]} {judgement.verdict.value}", f"bold {colour}"),
        f"  judged by era {one_line(judgement.era)}\n",
        one_line(judgement.because),
    )
    return Panel(
        said, title=Text(one_line(title(history.begun))), title_align="left", border_style=colour, padding=(1, 2)
    )


def _table(*heads: str) -> "Table":
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head)
    return table


def _era_table(judgements: Sequence[Judgement]) -> "Table":
    from rich.text import Text  # noqa: PLC0415

    table = _table("era", "verdict", "budget spent of allowed")
    for each in judgements:
        era, verdict, spent = _era(each)
        table.add_row(Text(era), Text(verdict, style=COLOUR[each.verdict]), Text(spent))
    return table


def _claim_table(judgement: Judgement) -> "Table":
    from rich.text import Text  # noqa: PLC0415

    table = _table("truth", "claim", "what the record shows", "measured, allowed")
    for each in in_order(judgement.claims):
        held = against(each.measured, each.allowed, each.unit) if each.measured and each.allowed is not None else ""
        table.add_row(
            Text(f"{TRUTH_SIGN[each.truth]} {each.truth.value}", style=TRUTH_COLOUR[each.truth]),
            Text(one_line(each.name), style="" if each.binding else "dim"),
            Text(one_line(finding(each))),
            Text(held),
        )
    return table


def _indicator_table(history: History) -> "Table":
    from rich.text import Text  # noqa: PLC0415

    table = _table("indicator", "share of good answers over the run (· no record)")
    for each in records(history):
        drawn_line = sparkline(series(each))
        table.add_row(Text(f"{one_line(each.indicator)} ({each.counted})"), Text(drawn_line, style="cyan"))
    return table
