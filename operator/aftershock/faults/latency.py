"""`latency`: everything that crosses the link takes longer. A canary times a round trip."""

from typing import ClassVar

from aftershock.adapters.canary import Line, talk
from aftershock.faults.link import ToxicParameters, milliseconds
from aftershock.faults.toxic import Kind, Sight, speechless, toxic_fault
from aftershock.model.rules import cel
from aftershock.model.rules.making import Cel
from aftershock.model.units import Duration

_LESS = f"{cel.duration('self.jitter')} < {cel.duration('self.latency')}"
JITTER = (Cel(f"has(self.jitter) ? {_LESS} : self.latency.matches('[1-9]')", "jitter: less than latency"),)
"""What the API server is told of the two."""


def steady(latency: Duration, jitter: Duration) -> None:
    """Raise ValueError where they don't go together."""
    if not 0 <= jitter < latency:
        raise ValueError("jitter: less than latency")


class Latency(ToxicParameters, frozen=True, kw_only=True):
    """Each direction takes `latency` longer, give or take `jitter`."""

    latency: Duration
    jitter: Duration = Duration(0)

    told: ClassVar[tuple[Cel, ...]] = JITTER

    def __post_init__(self) -> None:
        super().__post_init__()
        steady(self.latency, self.jitter)


def added(wanted: Latency, ways: int) -> float:
    """Return the seconds that a round trip takes longer, at the least."""
    return float(wanted.latency - wanted.jitter) * ways


async def shows(line: Line, wanted: Latency, ways: int) -> Sight:
    """Time one round trip; one that outlasts the canary's patience took long enough for any latency."""
    seen = await talk(line)
    slow = seen.end in {"answered", "silent"} and seen.lasted(added(wanted, ways))
    return Sight(slow, f"{seen}; a round trip used to take {line.usual * 1000:.0f} ms")


def doubt(line: Line, wanted: Latency) -> str | None:
    """A latency that drowns in what a round trip takes anyway can't be told from it."""
    if added(wanted, 1) < 2 * line.usual + 0.005:
        return f"a round trip takes {line.usual * 1000:.1f} ms anyway"
    return speechless(line)


KIND = Kind(
    "latency",
    lambda wanted: {"latency": milliseconds(wanted.latency), "jitter": milliseconds(wanted.jitter)},
    shows,
    doubt,
    lambda _line, wanted: added(wanted, 1),
)
LATENCY = toxic_fault("latency", "Everything that crosses the link takes longer.", Latency, KIND)
