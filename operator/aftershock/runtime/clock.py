"""The run's clock: seconds since its origin, on CLOCK_MONOTONIC, which every process of a machine shares and no one sets."""

import time

import msgspec


class RunClock(msgspec.Struct, frozen=True):
    """`monotonic` and `epoch` are one instant, the origin, on two clocks."""

    monotonic: float = msgspec.field(default_factory=time.monotonic)
    epoch: float = msgspec.field(default_factory=time.time)

    def now(self) -> float:
        """Return run seconds, to the tenth of a millisecond."""
        return round(time.monotonic() - self.monotonic, 4)
