"""The top of the page: the verdict, why, the figures that people ask for first, the four conditions, the row of eras."""

from collections.abc import Iterator, Sequence

from aftershock.core.history import History
from aftershock.core.verdict import Claim, Condition, Judgement
from aftershock.reports.page.bounds import bar, figures
from aftershock.reports.page.markup import Markup, element, section, unbroken
from aftershock.reports.page.signs import of, sign, worded
from aftershock.reports.story import (
    hypothesis,
    last,
    ledgers,
    longest_outage,
    stack_name,
    survival,
    tightest,
    title,
    uptime,
)
from aftershock.reports.wording import counted, duration, interval, moment


def masthead(history: History) -> Markup:
    """Return the line that says which run this is."""
    begun = history.begun
    return element(
        "header",
        element("p", "Aftershock", class_="brand"),
        element("h1", title(begun)),
        element(
            "p",
            f"on {stack_name(begun)}, {moment(begun.origin)}, {duration(last(history))} of record, run ",
            element("span", begun.run, class_="name"),
            class_="which",
        ),
    )


def verdict(history: History, judgement: Judgement) -> Markup:
    """Return the verdict, large, with the sentence that names what decided."""
    name = of(judgement.verdict)
    told = hypothesis(history.begun)
    return element(
        "section",
        element(
            "div",
            sign(name),
            element("p", judgement.verdict.value, class_="word", id="verdict"),
            element("p", "judged by ", element("b", era_name(judgement)), class_="by"),
            class_="call",
        ),
        element("p", unbroken(judgement.because), class_="because"),
        element("p", element("span", "Hypothesis: ", class_="kind"), told, class_="hypothesis") if told else None,
        element("dl", [_fact(*each) for each in _facts(history, judgement)], class_="facts"),
        element("ul", [_condition(each) for each in judgement.conditions], class_="conditions"),
        class_=f"verdict is-{name}",
        aria_labelledby="verdict",
    )


def era_name(judgement: Judgement) -> str:
    """Return an era with its uptime."""
    return f"era {judgement.era}" + (f" ({uptime(judgement)})" if uptime(judgement) else "")


def _facts(history: History, judgement: Judgement) -> Iterator[tuple[str, str, str]]:
    """Yield (question, answer, whose answer it is)."""
    length, whose = longest_outage(judgement)
    yield "Outage", length, whose
    after = [each.after_healing for each in judgement.recovery if each.after_healing is not None]
    if after:
        yield "Back after healing", interval(max(after, key=lambda each: each.high)), "the last indicator to return"
    if alive := survival(judgement):
        yield "Survives the fault for", *alive
    read = ledgers(history)
    for ledger in read:
        lost = f"{ledger.lost_count:,}" if ledger.read else "not known"
        whose = f", {ledger.indicator}" if len(read) > 1 else ""
        yield "Writes lost", lost, f"of {counted(ledger.acknowledged, 'acknowledged write')}{whose}"


def _fact(question: str, answer: str, whose: str) -> Markup:
    return element(
        "div", element("dt", question), element("dd", element("b", unbroken(answer)), element("span", whose))
    )


def _condition(condition: Condition) -> Markup:
    words = {"True": "yes", "False": "no", "Unknown": "not known"}
    return element(
        "li",
        element(
            "p",
            worded(condition.status, _spaced(condition.type)),
            element("span", f": {words[condition.status]}", class_="aside"),
        ),
        element("p", condition.message, class_="message"),
        title=condition.reason,
    )


def _spaced(camel: str) -> str:
    """Return CamelCase as words.

    >>> _spaced("FaultLanded")
    'Fault landed'
    """
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in camel).strip()
    return words[:1].upper() + words[1:]


def eras(judgements: Sequence[Judgement], judged_by: Sequence[str]) -> Markup | None:
    """Return the row of eras: one record, held against each of them."""
    cards = [_era(each, decides=each.era in judged_by) for each in judgements]
    return section(
        "eras",
        "Eras",
        element("ul", cards, class_="eras"),
        lead="The same record, held against each era's target. The bar is the budget that one incident may spend.",
    )


def _era(judgement: Judgement, *, decides: bool) -> Markup:
    budget = tightest(judgement)
    spent = (
        [bar(budget), figures(budget), element("p", _used(budget), class_="aside")]
        if budget
        else element("p", "No budget was judged.", class_="aside")
    )
    return element(
        "li",
        element("h3", judgement.era, " ", element("span", uptime(judgement), class_="aside")),
        element("p", worded(judgement.verdict), element("span", "decides", class_="tag") if decides else None),
        spent,
        class_="era" + (" decides" if decides else ""),
    )


def _used(claim: Claim) -> str:
    """Return a budget's name and how much of the allowance may be gone."""
    if claim.measured is None or not claim.allowed:
        return claim.name
    used = claim.measured.high / claim.allowed
    return f"{claim.name}, {f'{used:.0%}' if used < 10 else f'{used:.0f} times'} of the allowance"


def tally(judgement: Judgement) -> str:
    """Return how many claims came out how."""
    said = [
        f"{sum(each.truth == truth for each in judgement.claims)} {truth}"
        for truth in ("true", "false", "unknown")
        if any(each.truth == truth for each in judgement.claims)
    ]
    return ", ".join(said) or "no claims"
