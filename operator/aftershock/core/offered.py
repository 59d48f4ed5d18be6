"""How much load was really sent of late: the evidence for a traffic spike. Pure; fed with the load's slices."""

from collections import deque

from aftershock.core.history import SLICE, Slice

LATEST = 10
"""Slices looked at: the latest second of the record."""

STALE = 2.5
"""Seconds of record that may be on their way still; older than that it proves nothing."""

TOLERANCE = 0.9
"""Share of the promised rate that has to be sent. What could not be sent is the judge's business as well."""


class Offered:
    """Keeps the latest second of the load."""

    def __init__(self) -> None:
        self._latest: deque[Slice] = deque(maxlen=LATEST)

    def add(self, event: Slice) -> None:
        """Take in a slice of the load."""
        self._latest.append(event)

    def multiplied(self, rate: float, factor: float, now: float) -> tuple[bool, str]:
        """Tell whether the latest second carried `factor` times `rate`, and what it carried, at run second `now`."""
        if not self._latest:
            return False, "nothing has been sent yet"
        end = (self._latest[-1].n + 1) * SLICE
        if now - end > STALE:
            return False, f"the record of the load ends {now - end:.1f} s ago: what was sent since is not known"
        recent = [
            event for event in self._latest if event.n > self._latest[-1].n - LATEST
        ]  # empty slices aren't written
        sent = sum(event.planned - event.unsent for event in recent)
        holds = sent >= rate * factor * LATEST * SLICE * TOLERANCE
        return holds, f"{sent} requests were sent in the second before {end:.1f} s, {rate:g}/s being the base rate"
