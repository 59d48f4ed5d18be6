"""The lease: the right of one run to keep one fault at one target until an expiry.

Its name is what is left at the target, so that whoever finds it can read whose it is and when it ends. PostgreSQL cuts
an application name off after 63 bytes, and the expiry stands last: names are held under that here, never cut there. A fault
that leaves several traces at one target tells them apart by a *part*, after an underscore, which no fault's name has:
`aftershock.latency_upstream.k3f9a2x1.1790000000`.
"""

import re

import msgspec
from msgspec.structs import replace

PREFIX = "aftershock"
LONGEST = 63
GRACE = 2.0
"""Seconds between the planned end of a fault and the expiry of its lease."""

_NAME = re.compile(r"^aftershock\.([a-z][a-z0-9-]*)(?:_([a-z0-9-]+))?\.([a-z0-9]{4,12})\.(\d{9,11})$")


class Lease(msgspec.Struct, frozen=True):
    """`run` is the run's token (4 to 12 characters, a-z and 0-9); `expires` is in seconds since the epoch, target's clock.

    `part` tells one fault's traces at one target apart; a lease as such has none.
    """

    fault: str
    run: str
    expires: int
    part: str = ""

    @property
    def name(self) -> str:
        """What the trace at the target is called.

        >>> Lease("link-latency", "k3f9a2x1", 1790000000).name
        'aftershock.link-latency.k3f9a2x1.1790000000'
        """
        fault = f"{self.fault}_{self.part}" if self.part else self.fault
        return f"{PREFIX}.{fault}.{self.run}.{self.expires}"

    def of(self, part: str) -> "Lease":
        """Return the same lease as the name of one of its parts.

        >>> Lease("latency", "k3f9a2x1", 1790000000).of("upstream").name
        'aftershock.latency_upstream.k3f9a2x1.1790000000'
        """
        return replace(self, part=part)

    def expired(self, now: float) -> bool:
        """Tell whether the lease is over at `now`, on the target's clock."""
        return now >= self.expires


def parse(name: str) -> Lease | None:
    """Read a trace's name; None when it isn't one of ours.

    >>> parse("aftershock.link-latency.k3f9a2x1.1790000000")
    Lease(fault='link-latency', run='k3f9a2x1', expires=1790000000, part='')
    >>> parse("latency_downstream") is None
    True
    """
    match = _NAME.match(name)
    return Lease(match[1], match[3], int(match[4]), match[2] or "") if match and len(name) <= LONGEST else None
