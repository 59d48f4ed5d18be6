"""How much load was really sent of late: the evidence for a traffic spike. Pure; fed with what the load's process tells.

What was sent is known at once. The load's slices are not: they wait for their answers, and the service that a spike
overwhelms gives none.
"""

from collections import deque

from aftershock.core.history import SLICE

LATEST = 10
"""Slices looked at: the latest second of the record."""

STALE = 2.5
"""Seconds of record that may be on their way still; older than that it proves nothing."""

TOLERANCE = 0.9
"""Share of the promised rate that has to be sent. What could not be sent is the judge's business as well."""


class Offered:
    """Keeps the latest second of the load."""

    def __init__(self) -> None:
        self._latest: deque[tuple[int, int]] = deque(maxlen=LATEST)

    def add(self, n: int, sent: int) -> None:
        """Take in how many requests of slice `n` were sent; a slice in which nothing was due is left out."""
        self._latest.append((n, sent))

    def multiplied(self, rate: float, factor: float, now: float) -> tuple[bool, str]:
        """Tell whether the latest second carried `factor` times `rate`, and what it carried, at run second `now`."""
        if not self._latest:
            return False, "nothing has been sent yet"
        newest = self._latest[-1][0]
        end = (newest + 1) * SLICE
        if now - end > STALE:
            return False, f"the record of the load ends {now - end:.1f} s ago: what was sent since is not known"
        sent = sum(count for n, count in self._latest if n > newest - LATEST)
        holds = sent >= rate * factor * LATEST * SLICE * TOLERANCE
        return holds, f"{sent} requests were sent in the second before {end:.1f} s, {rate:g}/s being the base rate"
