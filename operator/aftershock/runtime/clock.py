"""The run's clock: seconds since its origin, on CLOCK_MONOTONIC, which every process of a machine shares and no one sets."""

import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class RunClock:
    """`monotonic` and `epoch` are one instant, the origin, on two clocks."""

    monotonic: float = field(default_factory=time.monotonic)
    epoch: float = field(default_factory=time.time)

    def now(self) -> float:
        """Return run seconds, to the tenth of a millisecond."""
        return round(time.monotonic() - self.monotonic, 4)
