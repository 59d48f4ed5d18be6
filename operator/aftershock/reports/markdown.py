"""`report.md`: what fits a pull request's comment. The verdict, why, the eras, the claims; the rest folded away.

Nothing from the journal is Markdown: tables, tags, links and mentions in it are shown as they are written. Pure.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from aftershock.core.history import History
from aftershock.core.verdict import Claim, Judgement
from aftershock.reports.story import (
    HOLDS,
    SIGN,
    TRUTH_SIGN,
    Window,
    ended,
    finding,
    headline,
    hypothesis,
    in_order,
    ledgers,
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
from aftershock.reports.wording import against, duration, instant, interval, moment, one_line

LONGEST = 60_000
"""Characters; a comment on a pull request may have 65,536."""

MOST_CLAIMS = 40
MOST_SIGHTINGS = 30
_CALLING = re.compile(r"(@|#|GH-|://|www\.)")
"""What becomes a mention or a link after Markdown is done, so that no escape helps: an empty comment cuts it in two."""

_ACTIVE = re.compile(r"(?=[\\`*_\[\]|~$])")
"""What Markdown would act upon in the middle of a line: before it goes a backslash."""


def render(history: History, judgements: Sequence[Judgement]) -> str:
    """Return the whole comment, at most `LONGEST` characters. `judgements` has at least one."""
    judgement = headline(history, judgements)
    parts = [
        _opening(history, judgement),
        _eras(judgements),
        _claims(judgement),
        _recovery(judgement),
        _marks(history),
        _evidence(history),
        _closing(history),
    ]
    return _bounded([part for part in parts if part])


def plain(text: object) -> str:
    r"""Return text so that Markdown shows it as it is within a line, and nobody is called by it.

    >>> plain("a|b <i> @all [x](y)")
    'a\\|b &lt;i&gt; @<!-- -->all \\[x\\](y)'
    """
    escaped = one_line(str(text)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _CALLING.sub(r"\1<!-- -->", _ACTIVE.sub(r"\\", escaped))


def _bounded(parts: Iterable[str]) -> str:
    """Put parts together; a part that would go beyond the limit is left out, and that is said."""
    text = ""
    left_out = "\n_The rest is left out here; the HTML report has it._\n"
    for part in parts:
        if len(text) + len(part) + len(left_out) > LONGEST:
            return text + left_out
        text += part + "\n"
    return text


def _opening(history: History, judgement: Judgement) -> str:
    begun = history.begun
    told = hypothesis(begun)
    lines = [
        f"## {SIGN[judgement.verdict]} {judgement.verdict.value}: {plain(title(begun))}",
        "",
        f"**{plain(judgement.because)}**",
        "",
        f"Judged by era {plain(judgement.era)}{_uptime(judgement)}, on {plain(stack_name(begun))}, {moment(begun.origin)}.",
        *(["", f"> Hypothesis: {plain(told)}"] if told else []),
    ]
    return "\n".join(lines) + "\n"


def _uptime(judgement: Judgement) -> str:
    return f" ({plain(uptime(judgement))})" if uptime(judgement) else ""


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def _eras(judgements: Sequence[Judgement]) -> str:
    return _table(
        ["Era", "Verdict", "Budget spent of allowed", "Survives the fault for"],
        [
            [
                f"{plain(each.era)}{_uptime(each)}",
                f"{SIGN[each.verdict]} {each.verdict.value}",
                _spent(tightest(each)),
                plain((survival(each) or ("not judged", ""))[0]),
            ]
            for each in judgements
        ],
    )


def _spent(claim: Claim | None) -> str:
    if claim is None or claim.measured is None or claim.allowed is None:
        return "not judged"
    return f"{against(claim.measured, claim.allowed, claim.unit)} ({plain(claim.name)})"


def _claims(judgement: Judgement) -> str:
    ordered = in_order(judgement.claims)
    rows = [
        [
            f"{TRUTH_SIGN[each.truth]} {each.truth.value}",
            plain(each.name) + ("" if each.binding else " (does not decide)"),
            plain(each.statement),
            plain(finding(each)),
            against(each.measured, each.allowed, each.unit) if each.measured and each.allowed is not None else "",
        ]
        for each in ordered[:MOST_CLAIMS]
    ]
    cut = (
        f"\n{len(ordered) - MOST_CLAIMS} more claims are in the other reports.\n" if len(ordered) > MOST_CLAIMS else ""
    )
    return (
        "### Claims\n\n"
        + _table(["Truth", "Claim", "What it says", "What the record shows", "Measured, allowed"], rows)
        + cut
    )


def _recovery(judgement: Judgement) -> str:
    rows = [
        [plain(each.indicator), interval(each.rto, "not over"), interval(each.after_healing, "not known")]
        for each in judgement.recovery
        if each.began is not None
    ]
    if not rows:
        return "No indicator had an outage.\n"
    return "### Recovery\n\n" + _table(["Indicator", "Outage", "Back after healing"], rows)


def _marks(history: History) -> str:
    lines = [f"- {instant(each.at)} {each.kind}: {plain(each.text)}" for each in marks(history)[:20]]
    return "\n".join(lines) + "\n" if lines else ""


def _evidence(history: History) -> str:
    losses = [f"- {plain(each.indicator)}: {plain(loss(each))}" for each in ledgers(history)]
    lines = [line for window in windows(history) for line in _window(window)]
    return "\n".join(
        ["<details><summary>Evidence, leases and loss</summary>", "", *lines, *losses, "", "</details>", ""]
    )


def _window(window: Window) -> Iterator[str]:
    stands = f", standing for {duration(window.represents)}" if window.represents is not None else ""
    yield f"- **{plain(window.fault)}** on {plain(window.target)}, {instant(window.start)} to {instant(window.end)}{stands}"
    yield f"  - lease {plain(window.lease)}, until {moment(window.expires)}: {plain(ended(window))}"
    for each in sightings(window.evidence, brief=True)[:MOST_SIGHTINGS]:
        says = f"{HOLDS[each.holds]}, says {plain(each.observer)}{each.how_often}"
        yield f"  - {each.when}: {says}: {plain(each.saw)}"


def _closing(history: History) -> str:
    begun = history.begun
    said = ", ".join(f"{plain(name)} {plain(version)}" for name, version in begun.versions.items())
    return f"Run {plain(begun.run)}. {said}\n"
