"""A claim's bound as a bar: what was measured, as an interval, against what is allowed, on one axis."""

from typing import Literal

import msgspec

from aftershock.core.verdict import Claim, Interval, Truth
from aftershock.reports.page.markup import Markup, element, unbroken
from aftershock.reports.page.signs import of
from aftershock.reports.wording import against, amount, measure

Side = Literal["above", "below"] | None


class Axis(msgspec.Struct, frozen=True):
    """From `low` to `high`, in the claim's unit."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Return where a value lies, 0 to 100, held inside the axis."""
        span = self.high - self.low
        return round(min(100.0, max(0.0, (value - self.low) / span * 100)), 2) if span > 0 else 0.0


def bar(claim: Claim) -> Markup | None:
    """Return the bar of a claim, with its ends in words; None for a claim without numbers."""
    if claim.measured is None or claim.allowed is None:
        return None
    axis = axis_of(claim.measured, claim.allowed, claim.unit)
    return element("div", drawing(claim, claim.measured, claim.allowed, axis), class_="bound")


def axis_of(measured: Interval, allowed: float, unit: str | None) -> Axis:
    """Return an axis that shows both: seconds from 0; shares from where there is something to see."""
    if unit != "share":
        return Axis(0.0, max(measured.high, allowed) * 1.12 or 1.0)
    lowest = min(measured.low, allowed)
    return Axis(max(0.0, 1 - (1 - lowest) * 1.4), 1.0) if lowest > 0.5 else Axis(0.0, 1.0)


def forbidden(claim: Claim, measured: Interval, allowed: float) -> Side:
    """Return on which side of the bound a value would break the claim; None where claim and numbers don't tell.

    A budget may not be exceeded; a share may be bounded from either side, and only the truth says from which.
    """
    if claim.unit == "s":
        return "above"
    over, under = measured.low >= allowed, measured.high <= allowed
    if over == under or claim.truth is Truth.UNKNOWN:
        return None
    return "below" if over == (claim.truth is Truth.TRUE) else "above"


def drawing(claim: Claim, measured: Interval, allowed: float, axis: Axis) -> Markup:
    """Return the drawing: the axis, the forbidden side, the measured interval, the bound."""
    low, high, bound = axis.at(measured.low), axis.at(measured.high), axis.at(allowed)
    start = 0.0 if claim.unit == "s" else low
    sure = low if claim.unit == "s" else start
    side = forbidden(claim, measured, allowed)
    label = f"{claim.name}: measured {measure(measured, claim.unit)}, allowed {amount(allowed, claim.unit)}"
    return element(
        "svg",
        element("title", label),
        element("rect", x="0", y="9", width="100%", height="8", rx="4", class_="track"),
        _beyond(side, bound),
        element("rect", x=f"{start}%", y="9", width=f"{round(sure - start, 2)}%", height="8", rx="3", class_="sure"),
        element("rect", x=f"{low}%", y="9", width=f"{max(round(high - low, 2), 0.6)}%", height="8", class_="doubtful"),
        element("line", x1=f"{bound}%", x2=f"{bound}%", y1="3", y2="23", class_="limit"),
        _labels(axis, bound, claim.unit),
        class_=f"bar is-{of(claim.truth)}",
        width="100%",
        height="40",
        role="img",
        aria_label=label,
    )


def _beyond(side: Side, bound: float) -> Markup | None:
    if side is None:
        return None
    x, width = (bound, 100 - bound) if side == "above" else (0.0, bound)
    return element("rect", x=f"{x}%", y="9", width=f"{round(width, 2)}%", height="8", rx="3", class_="beyond")


def _labels(axis: Axis, bound: float, unit: str | None) -> Markup:
    """Name the bound, and the axis' ends where they leave room."""
    anchor = "start" if bound < 15 else "end" if bound > 85 else "middle"
    said = [element("text", "allowed", x=f"{bound}%", y="36", text_anchor=anchor)]
    if bound > 35:
        said.append(element("text", amount(axis.low, unit), x="0", y="36"))
    if bound < 65 and unit == "share":
        said.append(element("text", amount(axis.high, unit), x="100%", y="36", text_anchor="end"))
    return element("g", said, aria_hidden="true")


def figures(claim: Claim) -> Markup | None:
    """Return the same in words."""
    if claim.measured is None or claim.allowed is None:
        return None
    word = " against " if claim.unit == "share" else " of "
    found, _, limit = against(claim.measured, claim.allowed, claim.unit).rpartition(word)
    return element("p", element("b", unbroken(found)), unbroken(f"{word}{limit}"), class_="figures")
