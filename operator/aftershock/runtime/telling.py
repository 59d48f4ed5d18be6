"""How a loop without end tells what it does: what it did at once, what stays amiss now and then. Nobody's deaf ear ends it."""

import time
from collections.abc import Callable
from contextlib import suppress

AGAIN = 30.0
"""Seconds before a line that was said is said again."""


class Teller:
    """Passes lines on to `report`, whatever becomes of that."""

    def __init__(self, report: Callable[[str], object]) -> None:
        self._report = report
        self._said: dict[str, float] = {}

    def say(self, line: str) -> None:
        """Say it."""
        with suppress(Exception):  # a full disk or a closed pipe at the other end: the work goes on
            self._report(line)

    def amiss(self, line: str) -> None:
        """Say it, but not at every look."""
        now = time.monotonic()
        self._said = {said: when for said, when in self._said.items() if now - when < AGAIN}
        if line not in self._said:
            self._said[line] = now
            self.say(line)
