"""The signs of verdicts and truths: a shape of its own for each, beside its word, so that colour is never all there is."""

from urllib.parse import quote

from aftershock.core.verdict import Truth, Verdict
from aftershock.reports.page.markup import Content, Markup, element

_SHAPES = {
    "passed": '<circle cx="12" cy="12" r="11"/><path class="mark" d="M6.8 12.6l3.5 3.5 7-7.6"/>',
    "failed": '<path d="M7.7 1h8.6L23 7.7v8.6L16.3 23H7.7L1 16.3V7.7z"/><path class="mark" d="M8 8l8 8M16 8l-8 8"/>',
    "inconclusive": (  # no diamond: with its question mark it would read as a broken character
        '<path d="M12 .6L22 6.3v11.4L12 23.4 2 17.7V6.3z"/>'
        '<path class="mark" d="M8.5 9.3c0-4.7 7-4.5 7-.3 0 2.9-3.5 2.7-3.5 5.4M12 18.3v.1"/>'
    ),
    "aborted": '<rect x="1.5" y="1.5" width="21" height="21" rx="4"/><path class="mark" d="M8.5 8.5h7v7h-7z"/>',
    "error": '<path d="M12 1l11.2 20.6H.8z"/><path class="mark" d="M12 8.8v6M12 18.2v.1"/>',
    "none": '<circle cx="12" cy="12" r="4"/>',
}
_COLOURS = {
    "passed": "#1a7a48",
    "failed": "#b3261e",
    "inconclusive": "#8a5a00",
    "aborted": "#6b4a94",
    "error": "#8c1d40",
}
_TRUTHS = {Truth.TRUE: "passed", Truth.FALSE: "failed", Truth.UNKNOWN: "inconclusive"}
_STATUS = {"True": "passed", "False": "failed", "Unknown": "inconclusive"}


def of(value: Verdict | Truth | str) -> str:
    """Return the name of the sign of a verdict, a truth, or a condition's status."""
    if isinstance(value, Verdict):
        return value.value.lower()
    return _TRUTHS[value] if isinstance(value, Truth) else _STATUS[value]


def definitions() -> Markup:
    """Return the shapes and hatchings that the page's drawings refer to."""
    symbols = [
        element("symbol", Markup(shape), id=f"sign-{name}", viewBox="0 0 24 24") for name, shape in _SHAPES.items()
    ]
    hatches = [_hatch("hatch-gap", "hatch gap"), _hatch("hatch-unsent", "hatch unsent")]
    return element(
        "svg", symbols, element("defs", hatches), class_="definitions", width=0, height=0, aria_hidden="true"
    )


def _hatch(name: str, class_: str) -> Markup:
    line = element("path", d="M-1 7L7 -1M-1 1L1 -1M5 7L7 5", class_=class_)
    return element("pattern", line, id=name, width=6, height=6, patternUnits="userSpaceOnUse")


def sign(name: str) -> Markup:
    """Return a sign; it is decoration: the word stands beside it."""
    return element(
        "svg", element("use", href=f"#sign-{name}"), class_=f"sign is-{name}", aria_hidden="true", focusable="false"
    )


def worded(value: Verdict | Truth | str, word: Content = None) -> Markup:
    """Return a sign and its word."""
    name = of(value)
    return element("span", sign(name), element("span", word or str(value)), class_=f"worded is-{name}")


def favicon(verdict: Verdict) -> str:
    """Return the verdict's sign as a data URL: a row of open reports can be read by its tabs."""
    name = of(verdict)
    shape = _SHAPES[name].replace('class="mark"', 'fill="none" stroke="#fff" stroke-width="2.6"')
    drawing = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="{_COLOURS[name]}">{shape}</svg>'
    return "data:image/svg+xml," + quote(drawing, safe="")
