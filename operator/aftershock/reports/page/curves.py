"""The plots of one indicator: its share of good answers, its latency, and what could not be sent.

A curve stops where the record stops and starts again where it does: nothing is drawn that nobody measured.
"""

from collections.abc import Callable, Iterable, Iterator

import msgspec

from aftershock.core.verdict import Bracket, Interval
from aftershock.reports.page.axes import BOX, TALL, Across, Decades
from aftershock.reports.page.markup import Markup, element, join
from aftershock.reports.plot import Point, Record, Series, series
from aftershock.reports.story import Mark, Stretch, Window
from aftershock.reports.wording import duration, interval, latency, share

SHARE_HEIGHT = 72
LATENCY_HEIGHT = 64
"""Pixels."""

MOST_MARKS = 20
"""Flags on a plot; the rest is counted."""

_TOP, _GROUND = 6, 6


class Scene(msgspec.Struct, frozen=True):
    """What all plots share."""

    across: Across
    windows: list[Window]
    stretches: list[Stretch]
    marks: list[Mark]


def row(gutter: Markup | None, plot: Markup) -> Markup:
    """Return a lane of the timeline: what it is on the left, the drawing on the right."""
    return element("div", element("div", gutter, class_="gutter"), element("div", plot, class_="lane"), class_="row")


def figure(scene: Scene, kept: Record, bracket: Bracket | None) -> Markup:
    """Draw one indicator: its name and what came of it in words, then shares, then latencies, then what was not sent."""
    fine, rough = series(kept), series(kept, most=300, at_least=1.0)
    indicator, counted = kept.indicator, kept.counted
    said = _summary(fine, bracket)
    caption = element(
        "figcaption",
        element("span", element("b", indicator), element("span", counted, class_="tag")),
        element("span", said, class_="said"),
    )
    return element(
        "figure",
        caption,
        row(
            _share_gutter(), _share_plot(scene, fine, bracket, (f"{indicator}, {counted}: share of good answers", said))
        ),
        _latency_row(scene, rough, fine, f"{indicator}, {counted}"),
        _unsent_row(scene, fine),
        class_=f"plot-{counted}",
    )


def _summary(line: Series, bracket: Bracket | None) -> str:
    good, bad = sum(each.good for each in line.points), sum(each.bad for each in line.points)
    unsent = sum(each.unsent for each in line.points)
    missing = sum(each.missing * (each.end - each.start) for each in line.points)
    said = [f"{good:,} of {good + bad:,} good"]
    if bracket is not None and bracket.began is not None:
        said.append(f"outage {interval(bracket.rto)}" if bracket.rto else _unended(bracket))
    if unsent:
        said.append(f"{unsent:,} not sent")
    if missing > 0.05:
        said.append(f"record incomplete for {duration(missing)}")
    return ", ".join(said)


def _unended(bracket: Bracket) -> str:
    if bracket.lasted > 0:
        return f"good again for {duration(bracket.lasted)}, too short to call the outage over"
    return "outage not over when the record stops"


def _ground(scene: Scene) -> Markup:
    """Draw what lies under every plot: fault windows, phase changes, marks."""
    faults = [_area(scene, each.start, each.end, "window") for each in scene.windows]
    moves = [_upright(scene, each.start, "move") for each in scene.stretches[1:]]
    flags = [_upright(scene, each.at, f"mark mark-{each.kind}") for each in scene.marks[:MOST_MARKS]]
    return join([*faults, *moves, *flags])


def _area(scene: Scene, start: float, end: float, class_: str, *, y: str = "0", height: str = "100%") -> Markup:
    x, width = scene.across.percent(start), scene.across.width(start, end)
    return element("rect", x=x, width=width, y=y, height=height, class_=class_)


def _upright(scene: Scene, at: float, class_: str) -> Markup:
    x = scene.across.percent(at)
    return element("line", x1=x, x2=x, y1="0", y2="100%", class_=class_)


def _gaps(scene: Scene, line: Series) -> Markup:
    """Hatch what is not on record."""
    return join(_area(scene, start, end, "gap") for start, end in runs(line, lambda each: each.missing > 0))


def runs(line: Series, wanted: Callable[[Point], bool]) -> Iterator[tuple[float, float]]:
    """Yield the stretches, in run seconds, in which point after point is wanted."""
    start: float | None = None
    for each in line.points:
        if wanted(each) and start is None:
            start = each.start
        if not wanted(each) and start is not None:
            yield start, each.start
            start = None
    if start is not None:
        yield start, line.points[-1].end


def _stretched(height: int, *content: object) -> Markup:
    """Return a box whose curves stretch with the page; its lines keep their width."""
    return element(
        "svg",
        *content,
        y=str(_TOP),
        width="100%",
        height=str(height - _TOP - _GROUND),
        viewBox=f"0 0 {BOX} {TALL}",
        preserveAspectRatio="none",
        overflow="visible",
    )


def _rule(y: int) -> Markup:
    return element("line", x1="0", x2=str(BOX), y1=str(y), y2=str(y), class_="grid")


def _label(words: str, y: float) -> Markup:
    """Return a label of an axis, right-aligned in the gutter."""
    return element("text", words, x="100%", dx="-8", y=str(round(y + 4)), text_anchor="end", class_="tick")


def _share_gutter() -> Markup:
    height = SHARE_HEIGHT - _TOP - _GROUND
    labels = [_label(words, _TOP + height * part) for words, part in (("100%", 0.0), ("50%", 0.5), ("0%", 1.0))]
    return element("svg", labels, width="100%", height=str(SHARE_HEIGHT), aria_hidden="true")


def _share_plot(scene: Scene, line: Series, bracket: Bracket | None, told: tuple[str, str]) -> Markup:
    curves = _stretched(
        SHARE_HEIGHT,
        [_rule(y) for y in (0, TALL // 2, TALL)],
        element("path", d=_deficit(scene, line, worst=True), class_="dip"),
        element("path", d=_deficit(scene, line, worst=False), class_="bad"),
        element("path", d=_share_line(scene, line), class_="good"),
    )
    return _plot(told, SHARE_HEIGHT, _ground(scene), curves, _gaps(scene, line), _outage(scene, bracket, line))


def _plot(told: tuple[str, str], height: int, *content: Markup | None) -> Markup:
    """Return a drawing with its title and its description, for whoever hears the page."""
    title, description = told
    return element(
        "svg",
        element("title", title),
        element("desc", description),
        *content,
        width="100%",
        height=str(height),
        role="img",
        class_="plot",
    )


def _deficit(scene: Scene, line: Series, *, worst: bool) -> str:
    """Return the area between all good and what was: of the mean, or of the worst slice in each point."""
    pieces = []
    for start, end, value in _levels(line, worst=worst):
        if value < 1:
            x1, x2, y = scene.across.box(start), scene.across.box(end), round((1 - value) * TALL)
            pieces.append(f"M{x1} 0H{x2}V{y}H{x1}z")
    return "".join(pieces)


def _levels(line: Series, *, worst: bool) -> Iterator[tuple[float, float, float]]:
    """Yield (start, end, share) with neighbours of one level folded together: an hour of 100% is one piece."""
    held: tuple[float, float, float] | None = None
    for each in line.points:
        value = each.low if worst else each.share
        if value is not None and held is not None and held[2] == value and held[1] == each.start:
            held = (held[0], each.end, value)
            continue
        if held is not None:
            yield held
        held = None if value is None else (each.start, each.end, value)
    if held is not None:
        yield held


def _share_line(scene: Scene, line: Series) -> str:
    """Return the mean share as steps; it stops at a gap and starts again after it."""
    pieces, reached = [], -1.0
    for start, end, value in _levels(line, worst=False):
        x1, x2, y = scene.across.box(start), scene.across.box(end), round((1 - value) * TALL)
        pieces.append(f"V{y}H{x2}" if start == reached else f"M{x1} {y}H{x2}")
        reached = end
    return "".join(pieces)


def _outage(scene: Scene, bracket: Bracket | None, line: Series) -> Markup | None:
    """Draw the outage as a bracket whose two ends are intervals; an open end where the record stops first."""
    if bracket is None or bracket.began is None or not line.points:
        return None
    ended = bracket.ended
    final = ended.low if ended else line.points[-1].end
    y = SHARE_HEIGHT / 2
    beam = element(
        "line",
        x1=scene.across.percent(bracket.began.high),
        x2=scene.across.percent(final),
        y1=str(y),
        y2=str(y),
        class_="beam",
    )
    ends = [_end(scene, each) for each in (bracket.began, ended) if each is not None]
    words = f"outage {interval(bracket.rto)}" if bracket.rto else "outage"
    at = (bracket.began.high + final) / 2
    name = element(
        "text", words, x=scene.across.percent(at), y=str(y - 6), text_anchor=_anchor(scene, at), class_="outage-name"
    )
    return element("g", beam, ends, name, class_="outage")


def _end(scene: Scene, end: Interval) -> Markup:
    """Draw an end of the bracket as wide as it is uncertain."""
    x, width = scene.across.percent(end.low), scene.across.width(end.low, end.high)
    line = element("line", x1=x, x2=x, y1="16", y2=str(SHARE_HEIGHT - 16), class_="post")
    return join([element("rect", x=x, width=width, y="16", height=str(SHARE_HEIGHT - 32), class_="between"), line])


def _anchor(scene: Scene, at: float) -> str:
    part = scene.across.part(at)
    return "start" if part < 0.2 else "end" if part > 0.8 else "middle"


def _latency_row(scene: Scene, rough: Series, fine: Series, name: str) -> Markup | None:
    heard = list(_heard(rough, fine))
    if not heard:
        return None
    scale = Decades.around([value for _, _, *both in heard for value in both])
    highest = latency(max(p50 for _, _, p50, _ in heard)), latency(max(p99 for _, _, _, p99 in heard))
    told = (f"{name}: latency of good answers", f"p50 up to {highest[0]}, p99 up to {highest[1]}")
    curves = _stretched(
        LATENCY_HEIGHT,
        [_rule(scale.box(tick)) for tick in scale.ticks()],
        element("path", d=_between(scene, scale, heard), class_="spread"),
        element("path", d=_steps(scene, scale, [(start, end, p99) for start, end, _, p99 in heard]), class_="p99"),
        element("path", d=_steps(scene, scale, [(start, end, p50) for start, end, p50, _ in heard]), class_="p50"),
    )
    plot = _plot(told, LATENCY_HEIGHT, _ground(scene), curves, _gaps(scene, fine))
    return row(_latency_gutter(scale), plot)


def _latency_gutter(scale: Decades) -> Markup:
    height = LATENCY_HEIGHT - _TOP - _GROUND
    ticks = scale.ticks()
    shown = ticks if len(ticks) <= 3 else [ticks[0], ticks[-1]]
    labels = [
        _label(f"{tick:g} s" if tick >= 1 else latency(tick), _TOP + height * scale.box(tick) / TALL) for tick in shown
    ]
    return element("svg", labels, width="100%", height=str(LATENCY_HEIGHT), aria_hidden="true")


def _heard(rough: Series, fine: Series) -> Iterator[tuple[float, float, float, float]]:
    """Yield (start, end, p50, p99) of each point, only for as long as there were good answers in it."""
    spoken = list(runs(fine, lambda each: each.p50 is not None))
    for each in rough.points:
        if each.p50 is not None and each.p99 is not None:
            for start, end in spoken:
                if start < each.end and end > each.start:
                    yield max(start, each.start), min(end, each.end), each.p50, each.p99


def _steps(scene: Scene, scale: Decades, levels: Iterable[tuple[float, float, float]]) -> str:
    """Return latencies as steps, broken where nobody answered."""
    pieces, reached = [], -1.0
    for start, end, value in levels:
        x1, x2, y = scene.across.box(start), scene.across.box(end), scale.box(value)
        pieces.append(f"V{y}H{x2}" if start == reached else f"M{x1} {y}H{x2}")
        reached = end
    return "".join(pieces)


def _between(scene: Scene, scale: Decades, heard: Iterable[tuple[float, float, float, float]]) -> str:
    """Return the area between p50 and p99."""
    return "".join(
        f"M{scene.across.box(start)} {scale.box(p50)}H{scene.across.box(end)}V{scale.box(p99)}H{scene.across.box(start)}z"
        for start, end, p50, p99 in heard
    )


def _unsent_row(scene: Scene, line: Series) -> Markup | None:
    """Draw where requests that were due could not be sent."""
    if not any(each.unsent for each in line.points):
        return None
    bars = [
        _area(scene, start, end, "unsent", y="2", height="10")
        for start, end in runs(line, lambda each: each.unsent > 0)
    ]
    unsent, planned = sum(each.unsent for each in line.points), sum(each.planned for each in line.points)
    label = f"{unsent:,} of {planned:,} requests ({share(unsent / max(planned, 1))}) could not be sent"
    drawing = element("svg", element("title", label), bars, width="100%", height="14", role="img")
    return row(Markup("<span>not sent</span>"), drawing)
