"""How much load was really sent of late: the evidence for a traffic spike. Pure; fed with what the load's process tells.

What was sent is known at once. The load's slices are not: they wait for their answers, and the service that a spike
overwhelms gives none.
"""

import math
from collections import deque

from aftershock.core.history import SLICE
from aftershock.core.wording import counted

SECOND = round(1 / SLICE)
"""Slices of a second: how far back the record is looked at, where that is enough."""

LONGEST = 4
"""Seconds that it is looked back at the most: a fault has to be seen within 5 s."""

APART = 3
"""Requests by which a spike should differ from the base rate in what is looked at: a slow load, or a small factor, takes longer
to tell.
"""

STALE = 2.5
"""Seconds of record that may be on their way still; older than that it proves nothing."""

TOLERANCE = 0.9
"""Share of the promised rate that has to be sent; for a small factor, half of what it adds. What could not be sent is the
judge's business as well.
"""


class Offered:
    """Keeps the latest seconds of the load."""

    def __init__(self) -> None:
        self._latest: deque[tuple[int, int]] = deque(maxlen=LONGEST * SECOND)

    def add(self, n: int, sent: int) -> None:
        """Take in how many requests of slice `n` were sent; a slice in which nothing was due is left out."""
        self._latest.append((n, sent))

    def multiplied(self, rate: float, factor: float, now: float) -> tuple[bool, str]:
        """Tell whether the latest part of the load carried `factor` times `rate`, and what it carried, at run second `now`."""
        if not self._latest:
            return False, "nothing has been sent yet"
        newest = self._latest[-1][0]
        end = (newest + 1) * SLICE
        if now - end > STALE:
            return False, f"the record of the load ends {now - end:.1f} s ago: what was sent since is not known"
        seconds = _seconds(rate, factor)
        sent = sum(count for n, count in self._latest if n > newest - seconds * SECOND)
        holds = sent >= rate * seconds * max(factor * TOLERANCE, (1 + factor) / 2)
        verb, span = "was" if sent == 1 else "were", "second" if seconds == 1 else f"{seconds} s"
        return (
            holds,
            f"{counted(sent, 'request')} {verb} sent in the {span} before {end:.1f} s, {rate:g}/s being the base rate",
        )


def _seconds(rate: float, factor: float) -> int:
    """Return how far back to look, so that the spike and the base rate are apart."""
    added = rate * (factor - 1)
    return min(LONGEST, max(1, math.ceil(APART / added))) if added > 0 else LONGEST
