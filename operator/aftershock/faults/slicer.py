"""`slicer`: data arrives in small pieces with pauses between them. A canary's message takes as long as its pauses.

A client that hangs up with pieces on their way can wedge Toxiproxy while the toxic is removed; give the Stack a `restart:` for
it where the pauses of a message add up to more than a client's patience.
"""

from typing import ClassVar

from aftershock.adapters.canary import Line, talk
from aftershock.faults.link import ToxicParameters
from aftershock.faults.toxic import Kind, Sight, speechless, toxic_fault
from aftershock.model.rules import cel
from aftershock.model.rules.making import Cel
from aftershock.model.units import Duration

ENOUGH = 0.3
"""Seconds of pauses that the canary's message should meet in one direction."""


_SIZE, _VARIATION = (
    "(has(self.averageSize) ? self.averageSize : 64)",
    "(has(self.sizeVariation) ? self.sizeVariation : 0)",
)
_DELAY = cel.duration("self.delay")


class Slicer(ToxicParameters, frozen=True, kw_only=True):
    """Pieces of `averageSize` bytes, give or take `sizeVariation`, and a pause of `delay` after each."""

    average_size: int = 64
    size_variation: int = 0
    delay: Duration = Duration(0.01)

    told: ClassVar[tuple[Cel, ...]] = (
        Cel(f"{_SIZE} >= 1 && {_VARIATION} >= 0 && {_VARIATION} < {_SIZE}", "averageSize: more than sizeVariation"),
        Cel(f"!has(self.delay) || ({_DELAY} >= duration('100us') && {_DELAY} <= duration('1s'))", "delay: 0.1ms to 1s"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.average_size < 1 or not 0 <= self.size_variation < self.average_size:
            raise ValueError("averageSize: at least 1, and more than sizeVariation")
        if not 0.0001 <= self.delay <= 1:
            raise ValueError("delay: 0.1ms to 1s; pieces without a pause can't be told from none")

    @property
    def largest(self) -> int:
        """Bytes of the largest piece."""
        return self.average_size + self.size_variation


def load(line: Line, wanted: Slicer) -> int:
    """Return the bytes to exchange in each direction."""
    return min(max(2 * wanted.largest, round(ENOUGH / wanted.delay) * wanted.largest), line.capacity)


def pauses(line: Line, wanted: Slicer) -> float:
    """Return the seconds that the exchange is paused in one direction, at the least (its last piece's pause is free)."""
    size = min(line.reply, load(line, wanted)) if line.speech != "postgresql" else load(line, wanted)
    messages = -(-load(line, wanted) // size)
    return messages * (-(-size // wanted.largest) - 1) * float(wanted.delay)


async def shows(line: Line, wanted: Slicer, ways: int) -> Sight:
    """Exchange a message and compare the time with its pauses."""
    seen = await talk(line, load(line, wanted))
    needed = pauses(line, wanted) * ways
    sliced = seen.end in {"answered", "silent"} and seen.lasted(needed)
    return Sight(sliced, f"{seen} for {seen.sent} bytes sent; the pauses make {needed * 1000:.0f} ms")


def doubt(line: Line, wanted: Slicer) -> str | None:
    """A message that fits a piece isn't sliced."""
    if line.speech != "unknown" and pauses(line, wanted) < 3 * line.usual + 0.015:
        return "what a canary may send would meet no pauses worth mentioning; use smaller pieces or longer pauses"
    return speechless(line)


SLICER = toxic_fault(
    "slicer",
    "Data arrives in small pieces, with pauses between them.",
    Slicer,
    Kind(
        "slicer",
        lambda wanted: {
            "average_size": wanted.average_size,
            "size_variation": wanted.size_variation,
            "delay": round(wanted.delay * 1_000_000),
        },
        shows,
        doubt,
        pauses,
    ),
)
