"""A run as it happens, on a terminal: phase, indicators as sparklines, what is held and for how long still."""

import time
from collections import deque
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from aftershock.cli.plain import Plain
from aftershock.core.histogram import merge, quantile
from aftershock.core.history import SLICE, Any_, Begun, Entered, Healed, Intended, Observed, Slice

PHASES = ["Pending", "Baseline", "Active", "Recovery", "Cleanup", "Judging"]
BARS = "▁▂▃▄▅▆▇█"
WIDTH = 48
PER_BAR = 10
"""Slices that one bar of a sparkline covers: a second."""


class Spark:
    """One indicator's last seconds: the share of good requests, a bar a second."""

    def __init__(self) -> None:
        self._seconds: dict[int, list[Slice]] = {}

    def add(self, event: Slice) -> None:
        """Take a slice in; seconds that have left the picture are let go."""
        self._seconds.setdefault(event.n // PER_BAR, []).append(event)
        if len(self._seconds) > WIDTH + 5:
            del self._seconds[min(self._seconds)]

    def line(self, now: float) -> Text:
        """Draw the last seconds up to `now`, run seconds; a second without data is a dot, never a guess."""
        last = int(now / SLICE) // PER_BAR
        text = Text()
        for second in range(last - WIDTH, last):
            text.append_text(self._bar(self._seconds.get(second, [])))
        return text

    def latest(self, now: float) -> tuple[float | None, float | None]:
        """Return the share of good requests and the median latency in seconds of the latest second that has data."""
        last = int(now / SLICE) // PER_BAR
        recent = next((self._seconds[second] for second in range(last, last - 4, -1) if second in self._seconds), [])
        return _share(recent), quantile(merge(event.latency for event in recent), 0.5)

    def _bar(self, slices: list[Slice]) -> Text:
        share = _share(slices)
        if share is None:
            return Text("·", "dim")
        style = "green" if share >= 0.999 else "yellow" if share >= 0.5 else "red"
        return Text(BARS[round(share * (len(BARS) - 1))], style)


def _share(slices: list[Slice]) -> float | None:
    good = sum(event.good for event in slices)
    known = good + sum(sum(event.bad.values()) for event in slices)
    return good / known if known else None


class Screen:
    """The live picture. A context: the terminal is given back however the run ends."""

    def __init__(self, console: Console) -> None:
        self._begun: Begun | None = None
        self._zero = time.monotonic()
        self._phase = "Pending"
        self._sparks: dict[str, Spark] = {}
        self._leases: dict[int, Intended] = {}
        self._seen: dict[int, Observed] = {}
        self._log: deque[str] = deque(maxlen=6)
        self._plain = Plain()
        self._live = Live(console=console, get_renderable=self._draw, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        """Take the terminal."""
        self._live.__enter__()
        return self

    def __exit__(self, *problem: Any) -> None:
        """Give the terminal back."""
        self._live.__exit__(*problem)

    def __call__(self, event: Any_) -> None:
        """Take one event in."""
        match event:
            case Slice():
                key = event.indicator if event.counted == "probes" else f"{event.indicator} (load)"
                self._sparks.setdefault(key, Spark()).add(event)
            case Begun():
                self._begun, self._zero = event, time.monotonic() - event.at
            case Entered():
                self._phase = event.phase
            case Intended():
                self._leases[event.injection] = event
            case Observed():
                self._seen[event.injection] = event
            case Healed():
                self._leases.pop(event.injection, None)
            case _:
                pass
        if not isinstance(event, Slice) and (line := self._plain.line(event)):
            self._log.append(f"{event.at:7.1f} s  {line}")

    def _draw(self) -> RenderableType:
        now = time.monotonic() - self._zero
        log = Text("\n".join(self._log), "dim", no_wrap=True, overflow="ellipsis")
        return Group(self._head(now), self._indicators(now), self._held(), log)

    def _head(self, now: float) -> Text:
        text = Text(f"{self._begun.run if self._begun else '…'}  ", "bold")
        for phase in PHASES:
            style = "reverse bold" if phase == self._phase else "dim"
            text.append(f" {phase} ", style)
        return text.append(f"  {now:5.1f} s")

    def _indicators(self, now: float) -> Table:
        table = Table.grid(padding=(0, 2))
        for name, spark in self._sparks.items():
            share, median = spark.latest(now)
            good = "   no data" if share is None else f"{share:6.1%} good"
            table.add_row(name, spark.line(now), good, "" if median is None else f"p50 {median * 1000:.0f} ms")
        return table

    def _held(self) -> Text:
        text = Text()
        for number, intended in self._leases.items():
            left = max(0.0, intended.expires - time.time() - intended.skew)
            text.append(f"{intended.fault} at {intended.target}", "bold yellow")
            text.append(f"  ends by itself in {left:.0f} s at the latest")
            if (seen := self._seen.get(number)) is not None and seen.when == "during":
                text.append(
                    f"\n  {'landed' if seen.holds else 'NOT landed'}: {seen.saw}", "" if seen.holds else "bold red"
                )
            text.append("\n")
        return text
