"""`reset-peer`: connections are cut off with a TCP reset. A canary sends something and is reset."""

from typing import ClassVar

from aftershock.adapters.canary import Line, talk
from aftershock.faults.link import ToxicParameters, milliseconds
from aftershock.faults.toxic import Kind, Sight, speechless, toxic_fault
from aftershock.model.rules import cel
from aftershock.model.rules.making import Cel
from aftershock.model.units import Duration

LONGEST = Duration(1.0)
"""Seconds. A connection that waits for its reset can't be interrupted, so the toxic can't be removed meanwhile; longer,
and that would look like a wedged Toxiproxy."""


class ResetPeer(ToxicParameters, frozen=True, kw_only=True):
    """A connection is reset `timeout` after its first data."""

    timeout: Duration = Duration(0)

    told: ClassVar[tuple[Cel, ...]] = (
        Cel(f"!has(self.timeout) || {cel.duration('self.timeout')} <= duration('1s')", "timeout: at most 1s"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.timeout > LONGEST:
            raise ValueError("timeout: at most 1s, since the toxic can't be removed while a connection waits in it")


async def shows(line: Line, _wanted: ResetPeer, _ways: int) -> Sight:
    """Ask, and be reset. Connections from before the toxic are closed without a reset; this is a new one."""
    seen = await talk(line)
    return Sight(seen.end == "reset", str(seen))


RESET_PEER = toxic_fault(
    "reset-peer",
    "Connections are cut off with a TCP reset.",
    ResetPeer,
    Kind(
        "reset_peer",
        lambda wanted: {"timeout": milliseconds(wanted.timeout)},
        shows,
        lambda line, _wanted: speechless(line),
    ),
)
