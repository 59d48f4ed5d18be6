"""`timeout`: what is sent vanishes, and after a while the connection is closed. A canary waits for its answer in vain."""

from aftershock.adapters.canary import Line, talk
from aftershock.faults.link import Direction, ToxicParameters, milliseconds
from aftershock.faults.toxic import Kind, Sight, speechless, toxic_fault
from aftershock.model.units import Duration

LONGEST = 2.0
"""Seconds that a canary waits for an answer."""


class Timeout(ToxicParameters, frozen=True, kw_only=True):
    """Data is dropped; after `timeout` of it the connection is closed, with `0s` never."""

    direction: Direction = "downstream"
    timeout: Duration = Duration(0)


async def shows(line: Line, _wanted: Timeout, _ways: int) -> Sight:
    """Ask, and get nothing: neither of the two directions could be told from both, Toxiproxy's list tells them."""
    seen = await talk(line, deadline=min(LONGEST, max(0.5, 20 * line.usual)))
    return Sight(seen.received == 0 and seen.end in {"silent", "closed"}, str(seen))


def doubt(line: Line, _wanted: Timeout) -> str | None:
    """A link that is slow anyway would look the same."""
    if line.usual > LONGEST / 4:
        return f"a round trip takes {line.usual * 1000:.0f} ms anyway"
    return speechless(line)


TIMEOUT = toxic_fault(
    "timeout",
    "What is sent vanishes, and after a while the connection is closed.",
    Timeout,
    Kind("timeout", lambda wanted: {"timeout": milliseconds(wanted.timeout)}, shows, doubt),
)
