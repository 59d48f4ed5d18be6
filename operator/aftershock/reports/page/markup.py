"""HTML and SVG by construction: text that is not `Markup` is escaped, always, so that no caller can forget to.

A journal may hold anything: a name with `<script>` in it is shown as that name.
"""

import re
from collections.abc import Iterable

from aftershock.reports.wording import printable

_VOID = frozenset({"meta", "link", "br", "hr", "input", "col"})
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})
_NOT_HTML = frozenset({"rect", "line", "path", "circle", "use", "polygon"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Content = object
"""What may stand inside an element: Markup as it is, None as nothing, an iterable piece by piece, all else escaped."""


def text(content: Content) -> Markup:
    """Return content as HTML."""
    if isinstance(content, Markup):
        return content
    if content is None:
        return Markup("")
    if isinstance(content, Iterable) and not isinstance(content, str):
        return Markup("".join(text(piece) for piece in content))
    return Markup(printable(str(content)).translate(_ESCAPES))


def element(name: str, /, *content: Content, **attributes: object) -> Markup:
    """Return one element. `class_` and `for_` lose their underscore, others turn it into a hyphen; None leaves one out.

    >>> element("p", "a < b", class_="x", data_at=3, hidden=True, id=None)
    '<p class="x" data-at="3" hidden>a &lt; b</p>'
    """
    head = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Markup(f"<{name}{head}>")
    if name in _NOT_HTML and not content:
        return Markup(f"<{name}{head}/>")
    return Markup(f"<{name}{head}>{text(content)}</{name}>")


def _attribute(key: str, value: object) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    return f' {name}="{text(value)}"'


def unbroken(sentence: str) -> str:
    """Return a sentence in which no number parts from its unit at the end of a line."""
    tied = re.sub(r"(?<=\d) (?=(?:ms|s|min|h|d)\b)", "\u00a0", sentence)
    return re.sub(r"(\d\u00a0(?:min|h|d)) (?=\d+\u00a0)", "\\1\u00a0", tied)


def join(pieces: Iterable[Content], between: str = "") -> Markup:
    """Return pieces in a row with `between` (escaped) among them."""
    return Markup(text(between).join(text(piece) for piece in pieces))


def table(
    caption: Content, heads: Iterable[Content], rows: Iterable[Iterable[Content]], **attributes: object
) -> Markup:
    """Return a table with a caption, column heads and, in the first column, row heads; it scrolls inside itself.

    The frame around it takes the focus, so that a keyboard can scroll what doesn't fit.
    """
    body = [element("tr", [_cell(cell, head=n == 0) for n, cell in enumerate(row)]) for row in rows]
    whole = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", [element("th", head, scope="col") for head in heads])),
        element("tbody", body),
        **attributes,
    )
    return element("div", whole, class_="scroll", role="region", tabindex="0", aria_label=caption)


def _cell(cell: Content, *, head: bool) -> Markup:
    tied = unbroken(cell) if isinstance(cell, str) and not isinstance(cell, Markup) else cell
    return element("th", tied, scope="row") if head else element("td", tied)


def details(summary: Content, *content: Content, **attributes: object) -> Markup:
    """Return a part that is folded away on screen and open in print."""
    return element("details", element("summary", summary), element("div", *content, class_="inside"), **attributes)


def section(anchor: str, heading: str, *content: Content, lead: Content = None) -> Markup:
    """Return a section with its heading, named by it."""
    return element(
        "section",
        element("h2", heading, id=anchor),
        element("p", lead, class_="lead") if lead else None,
        *content,
        aria_labelledby=anchor,
    )
