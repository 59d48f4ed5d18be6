"""`bandwidth`: the link carries only so many bytes a second. A canary sends and receives enough of them to notice."""

from typing import ClassVar

from aftershock.adapters.canary import Line, talk
from aftershock.faults.link import ToxicParameters
from aftershock.faults.toxic import Kind, Sight, speechless, toxic_fault
from aftershock.model.rules.making import Cel

ENOUGH = 0.3
"""Seconds that the canary's bytes should take in one direction."""

TELLING = 0.75
"""The share of the computed time that must have passed: Toxiproxy lets the first bytes through at once."""


class Bandwidth(ToxicParameters, frozen=True, kw_only=True):
    """`rate` in kilobytes (1,000 bytes) a second, in each direction."""

    rate: int

    told: ClassVar[tuple[Cel, ...]] = (Cel("self.rate >= 1", "rate: at least 1 (kilobytes a second)"),)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rate < 1:
            raise ValueError("rate: at least 1 (kilobytes a second)")


def load(line: Line, wanted: Bandwidth) -> int:
    """Return the bytes to exchange in each direction."""
    return max(1, min(int(wanted.rate * 1000 * ENOUGH), line.capacity))


async def shows(line: Line, wanted: Bandwidth, ways: int) -> Sight:
    """Exchange bytes and compare the time with the one that the rate allows."""
    size = load(line, wanted)
    seen = await talk(line, size)
    needed = ways * size / (wanted.rate * 1000)
    slow = seen.end in {"answered", "silent"} and seen.lasted(TELLING * needed)
    return Sight(
        slow, f"{seen} for {seen.sent} bytes sent; {wanted.rate} kB/s allow no less than {needed * 1000:.0f} ms"
    )


def effect(line: Line, wanted: Bandwidth) -> float:
    """Return the seconds that the canary's bytes take in one direction, at the least."""
    return TELLING * load(line, wanted) / (wanted.rate * 1000)


def doubt(line: Line, wanted: Bandwidth) -> str | None:
    """Too fast a rate passes all that a canary may send in no time."""
    if line.speech != "unknown" and line.capacity / (wanted.rate * 1000) < 3 * line.usual + 0.015:
        return f"a canary can send {line.capacity} bytes, which {wanted.rate} kB/s pass in no time; use a lower rate"
    return speechless(line)


BANDWIDTH = toxic_fault(
    "bandwidth",
    "The link carries only so many bytes a second.",
    Bandwidth,
    Kind("bandwidth", lambda wanted: {"rate": wanted.rate}, shows, doubt, effect),
)
