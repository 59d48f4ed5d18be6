"""The timeline: phases, fault windows and marks above, then one pair of plots an indicator, load apart from probes.

Every plot draws the same instants at the same place. A gap in the record is hatched: no line crosses it.
"""

from collections.abc import Sequence

from aftershock.core.history import History
from aftershock.core.verdict import Judgement
from aftershock.reports.page.axes import Across, clock
from aftershock.reports.page.curves import MOST_MARKS, Scene, figure, row
from aftershock.reports.page.markup import Markup, element
from aftershock.reports.plot import Record
from aftershock.reports.story import Mark, Stretch, Window, last, marks, stretches, windows
from aftershock.reports.wording import counted, instant


def timeline(history: History, judgement: Judgement, kept: Sequence[Record]) -> Markup:
    """Return the whole timeline. An outage is drawn where it was seen: on the probes' plot, not on the load's."""
    scene = Scene(Across(0.0, max(last(history), 0.1)), windows(history), stretches(history), marks(history))
    brackets = {each.indicator: each for each in judgement.recovery}
    plots = [figure(scene, each, brackets.get(each.indicator) if each.counted == "probes" else None) for each in kept]
    return element(
        "div",
        axis(scene.across),
        _phases(scene),
        _faults(scene),
        _captions(scene),
        plots,
        axis(scene.across),
        _legend(),
        class_="timeline",
        id="timeline-plots",
        data_end=f"{scene.across.end:g}",
    )


def _phases(scene: Scene) -> Markup:
    """Draw the phases as one band; a name that doesn't fit is cut off, and stands in the table below all the same."""
    bands = [
        element(
            "svg",
            element("title", f"{each.phase}: {instant(each.start)} to {instant(each.end)}"),
            element("rect", width="100%", height="100%", class_=f"phase phase-{number % 2}"),
            _phase_name(scene, each),
            x=scene.across.percent(each.start),
            width=scene.across.width(each.start, each.end),
            height="22",
        )
        for number, each in enumerate(scene.stretches)
    ]
    names = ", ".join(f"{each.phase} from {instant(each.start)}" for each in scene.stretches)
    drawing = element("svg", bands, width="100%", height="22", role="img", aria_label=f"Phases: {names}")
    return row(Markup("<span>Phase</span>"), drawing)


def _phase_name(scene: Scene, phase: Stretch) -> Markup | None:
    """Return a phase's name where its band has room for more than a syllable."""
    if scene.across.part(phase.end) - scene.across.part(phase.start) < 0.07:
        return None
    return element("text", phase.phase, x="6", y="15", class_="phase-name")


def _faults(scene: Scene) -> Markup | None:
    """Draw a lane a fault: its window, and what the observers saw in it."""
    lanes = []
    for window in scene.windows:
        label = (
            f"{window.fault} on {window.target} from {instant(window.start)} to {instant(window.end)}, "
            f"{counted(len(window.evidence), 'observation')}"
        )
        drawing = element(
            "svg",
            element("title", label),
            _window_bar(scene, window),
            [_dot(scene, each.asked, holds=each.holds) for each in window.evidence[:400]],
            width="100%",
            height="34",
            role="img",
        )
        lanes.append(row(element("span", f"Fault {window.injection + 1}"), drawing))
    return element("div", lanes) if lanes else None


def _window_bar(scene: Scene, window: Window) -> Markup:
    return element(
        "svg",
        element("rect", width="100%", height="20", rx="4", class_="fault"),
        element("text", f"{window.fault} \u2192 {window.target}", x="8", y="14", class_="fault-name"),
        x=scene.across.percent(window.start),
        width=scene.across.width(window.start, window.end),
        height="20",
    )


def _dot(scene: Scene, at: float, *, holds: bool) -> Markup:
    return element("circle", cx=scene.across.percent(at), cy="27", r="3", class_="seen" if holds else "unseen")


def _captions(scene: Scene) -> Markup | None:
    """List the flags that stand on the plots, in words."""
    shown = scene.marks[:MOST_MARKS]
    if not shown:
        return None
    rows = _spread([scene.across.part(each.at) for each in shown])
    flags = [
        _flag(scene, mark, number, level) for number, (mark, level) in enumerate(zip(shown, rows, strict=True), start=1)
    ]
    height = str(20 + 14 * max(rows))
    drawing = element("svg", element("title", "Marks, listed below"), flags, width="100%", height=height, role="img")
    more = f"{len(scene.marks) - len(shown)} more are in the journal." if len(scene.marks) > len(shown) else None
    listed = [_caption(number, mark) for number, mark in enumerate(shown, start=1)]
    return element(
        "div",
        row(Markup("<span>Marks</span>"), drawing),
        element("ul", listed, element("li", more) if more else None, class_="marks"),
    )


def _caption(number: int, mark: Mark) -> Markup:
    return element(
        "li", element("b", f"{number} "), element("span", mark.kind, class_="kind"), f" {instant(mark.at)}: {mark.text}"
    )


def _spread(parts: list[float]) -> list[int]:
    """Return a row for each flag, so that neighbours don't stand on one another."""
    rows: list[int] = []
    for number, part in enumerate(parts):
        near = number > 0 and part - parts[number - 1] < 0.05
        rows.append((rows[-1] + 1) % 3 if near else 0)
    return rows


def _flag(scene: Scene, mark: Mark, number: int, level: int) -> Markup:
    anchor = "end" if scene.across.part(mark.at) > 0.95 else "middle"
    y = str(15 + 14 * level)
    return element("text", str(number), x=scene.across.percent(mark.at), y=y, text_anchor=anchor, class_="flag")


def _legend() -> Markup:
    """Say what the lines and hatchings are."""
    items = (("good", "share of good answers"), ("p50", "latency p50"), ("p99", "latency p99"))
    lines = [
        element(
            "li",
            element(
                "svg", element("line", x1="0", x2="26", y1="6", y2="6", class_=class_), class_="key", aria_hidden="true"
            ),
            words,
        )
        for class_, words in items
    ]
    areas = [
        element(
            "li",
            element("svg", element("rect", width="26", height="12", class_=class_), class_="key", aria_hidden="true"),
            words,
        )
        for class_, words in (
            ("bad", "bad answers"),
            ("window", "fault held"),
            ("gap", "record missing or incomplete"),
            ("unsent", "not sent"),
        )
    ]
    dots = [
        element(
            "li",
            element(
                "svg", element("circle", cx="13", cy="6", r="3.5", class_=class_), class_="key", aria_hidden="true"
            ),
            words,
        )
        for class_, words in (("seen", "observer sees the fault"), ("unseen", "observer sees none"))
    ]
    return element("ul", lines, areas, dots, class_="legend")


def axis(scene: Across) -> Markup:
    """Draw the axis of run time."""
    ticks = scene.ticks()
    labels = [
        element(
            "text", clock(tick), x=scene.percent(tick), y="14", text_anchor=_tick_anchor(scene, tick), class_="tick"
        )
        for tick in ticks
    ]
    rules = [element("line", x1=scene.percent(t), x2=scene.percent(t), y1="0", y2="4", class_="rule") for t in ticks]
    return row(None, element("svg", rules, labels, width="100%", height="18", aria_hidden="true"))


def _tick_anchor(scene: Across, tick: float) -> str:
    part = scene.part(tick)
    return "start" if part < 0.02 else "end" if part > 0.97 else "middle"
