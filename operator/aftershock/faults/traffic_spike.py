"""`traffic-spike`: the load is multiplied for a while. No fault module proper: the plan owns the load, and the executor
sends more of it from `at` to `at + for`. What stands here is what a user may write, and a Hold that touches nothing.

The executor, who knows what the load worker sent, gives `observe` its evidence by `tell`.
"""

import time
from typing import ClassVar

from aftershock.core.lease import Lease
from aftershock.faults.fault import Evidence, Fault, Parameters, Site
from aftershock.model.rules.making import Cel


class TrafficSpike(Parameters, frozen=True, kw_only=True):
    """The load's rate, times `factor`."""

    factor: float

    told: ClassVar[tuple[Cel, ...]] = (Cel("self.factor > 1.0", "factor: more than 1"),)

    def __post_init__(self) -> None:
        if self.factor <= 1:
            raise ValueError("factor: more than 1")


class SpikeHold:
    """Leaves nothing anywhere: the load ends with the process that sends it."""

    def __init__(self, _site: Site, _lease: Lease, _wanted: TrafficSpike) -> None:
        self._evidence = Evidence(holds=False, observer="load", saw="nothing was told of the load yet")

    def tell(self, evidence: Evidence) -> None:
        """Say what the load worker's own count shows; `observe` repeats it."""
        self._evidence = evidence

    async def prepare(self) -> None:
        """Nothing to connect to."""

    async def inject(self) -> None:
        """The plan does it."""

    async def observe(self) -> Evidence:
        """Repeat what was told last."""
        return self._evidence

    async def heal(self) -> None:
        """The plan does it."""

    async def left(self) -> list[str]:
        """Nothing is ever left."""
        return []

    async def close(self) -> None:
        """Nothing to let go of."""


async def _clock(_site: Site) -> float:
    return time.time()


TRAFFIC_SPIKE = Fault(
    name="traffic-spike",
    summary="The load is multiplied for a while.",
    target="load",
    parameters=TrafficSpike,
    hold=SpikeHold,
    clock=_clock,
)
