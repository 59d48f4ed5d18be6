"""`report.html`: one file, nothing outside it. The verdict first, then why, then all that the verdict stands on.

The page's policy forbids every connection; style and script are let in by their hashes, so that even a hole in the
escaping would run nothing. Pure: the page's own style and script are read from the package, nothing else is.
"""

from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path

from aftershock import __version__
from aftershock.core.history import History
from aftershock.core.verdict import Judgement
from aftershock.reports.page import evidence, opening, signs
from aftershock.reports.page.markup import Markup, element, section
from aftershock.reports.page.timeline import timeline
from aftershock.reports.plot import records
from aftershock.reports.story import headline, title

PARTS = ("eras", "timeline", "claims", "recovery", "evidence", "leases", "inputs")


PAGE = Path(__file__).parent / "page"
"""Where style and script lie; they come with the package, as files."""


def render(history: History, judgements: Sequence[Judgement]) -> str:
    """Return the whole page. `judgements` has at least one; the first of the eras that the run is judged by leads."""
    judgement = headline(history, judgements)
    body = element("body", _body(history, judgement, judgements), element("script", Markup(_asset("page.js"))))
    return "<!doctype html>\n" + element("html", _head(history, judgement), body, lang="en") + "\n"


@cache
def _asset(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")


def policy() -> str:
    """Return the page's content security policy: nothing from anywhere, but these two by their hashes."""
    style, script = (
        f"'sha256-{b64encode(sha256(_asset(name).encode()).digest()).decode()}'" for name in ("page.css", "page.js")
    )
    return f"default-src 'none'; style-src {style}; script-src {script}; img-src data:; base-uri 'none'; form-action 'none'"


def _head(history: History, judgement: Judgement) -> Markup:
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy()),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"{judgement.verdict.value}: {title(history.begun)}"),
        element("link", rel="icon", href=signs.favicon(judgement.verdict)),
        element("style", Markup(_asset("page.css"))),
    )


def _body(history: History, judgement: Judgement, judgements: Sequence[Judgement]) -> list[object]:
    others = [each for each in judgements if each is not judgement]
    return [
        element("a", "Skip to the verdict", href="#verdict", class_="skip"),
        signs.definitions(),
        opening.masthead(history),
        element(
            "main",
            opening.verdict(history, judgement),
            _contents(),
            opening.eras(judgements, history.begun.judge_by),
            _timeline(history, judgement),
            evidence.claims(judgement, others),
            evidence.recovery(judgement, judgements, history),
            evidence.observations(history),
            evidence.leases(history),
            evidence.inputs(history.begun),
        ),
        element(
            "footer",
            element(
                "p",
                f"Written by Aftershock {__version__} from the run's journal, which any era can be held against again:",
            ),
            element("p", element("code", f"aftershock judge {history.begun.run} --era …")),
        ),
    ]


def _contents() -> Markup:
    links = [element("li", element("a", part.capitalize(), href=f"#{part}")) for part in PARTS]
    return element("nav", element("ul", links), aria_label="Parts of this report")


def _timeline(history: History, judgement: Judgement) -> Markup:
    kept = records(history)
    return section(
        "timeline",
        "Timeline",
        timeline(history, judgement, kept),
        evidence.numbers(history, kept),
        lead="What the stack's clients saw, by the time each request was meant to be sent.",
    )
