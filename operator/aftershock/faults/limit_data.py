"""`limit-data`: a connection is closed once so many bytes have crossed. A canary sends and asks for more than that."""

from typing import ClassVar

from aftershock.adapters.canary import Line, talk
from aftershock.faults.link import Direction, ToxicParameters
from aftershock.faults.toxic import Kind, Sight, speechless, toxic_fault
from aftershock.model.rules.making import Cel


class LimitData(ToxicParameters, frozen=True, kw_only=True):
    """Each direction carries `bytes` of a connection, and closes."""

    direction: Direction = "downstream"
    bytes: int

    told: ClassVar[tuple[Cel, ...]] = (Cel("self.bytes >= 0", "bytes: 0 or more"),)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bytes < 0:
            raise ValueError("bytes: 0 or more")


async def shows(line: Line, wanted: LimitData, _ways: int) -> Sight:
    """Exchange more than the limit: the connection is closed first, with no more than the limit received."""
    seen = await talk(line, wanted.bytes + line.reply + 1)
    cut = seen.end in {"closed", "reset"}
    if wanted.direction != "upstream":
        cut = cut and seen.received <= wanted.bytes
    return Sight(cut, f"{seen}, having sent {seen.sent}")


def doubt(line: Line, wanted: LimitData) -> str | None:
    """A limit beyond what a canary may exchange is never reached."""
    if line.speech != "unknown" and line.capacity <= wanted.bytes:
        return f"a canary can exchange {line.capacity} bytes, which doesn't reach the limit of {wanted.bytes}"
    return speechless(line)


LIMIT_DATA = toxic_fault(
    "limit-data",
    "A connection is closed once so many bytes have crossed.",
    LimitData,
    Kind("limit_data", lambda wanted: {"bytes": wanted.bytes}, shows, doubt),
)
