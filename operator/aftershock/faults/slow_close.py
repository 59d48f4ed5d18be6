"""`slow-close`: a connection that one side hung up stays open to the other. A canary hangs up and waits for the echo."""

from typing import ClassVar

from aftershock.adapters.canary import Line, linger
from aftershock.faults.link import ToxicParameters, milliseconds
from aftershock.faults.toxic import Kind, Sight, toxic_fault
from aftershock.model.rules import cel
from aftershock.model.rules.making import Cel
from aftershock.model.units import Duration


class SlowClose(ToxicParameters, frozen=True, kw_only=True):
    """Closing takes `delay` longer in each direction."""

    delay: Duration

    told: ClassVar[tuple[Cel, ...]] = (
        Cel(f"{cel.duration('self.delay')} >= duration('20ms')", "delay: at least 20ms"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.delay < 0.02:
            raise ValueError("delay: at least 20ms, which a canary can tell from none")


async def shows(line: Line, wanted: SlowClose, ways: int) -> Sight:
    """Hang up. Toxiproxy then closes towards the upstream and back, and so waits once for each direction."""
    seen = await linger(line)
    slow = seen.end in {"closed", "silent"} and seen.lasted(float(wanted.delay) * ways)
    return Sight(slow, f"was hung up on, and {seen}")


SLOW_CLOSE = toxic_fault(
    "slow-close",
    "A connection that one side has closed stays open to the other.",
    SlowClose,
    Kind(
        "slow_close",
        lambda wanted: {"delay": milliseconds(wanted.delay)},
        shows,
        lambda _line, _wanted: None,
        lambda _line, wanted: float(wanted.delay),
        talks=False,
    ),
)
