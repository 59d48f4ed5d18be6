"""When a held fault is healed: after its length, and always before its own lease ends it. What healing took is on record."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from aftershock.core.history import Healed, Healing, Noted
from aftershock.core.lease import GRACE, Lease
from aftershock.core.plan import Step
from aftershock.errors import WedgedError
from aftershock.faults.fault import Evidence
from aftershock.runtime import holding
from aftershock.runtime.holding import Circumstances, planned_end

STEP = Step(0, "latency", "app-to-primary", 2.0, 32.0, None, {})


@pytest.mark.parametrize(("started", "end"), [(10.0, 40.0), (10.9, 40.9), (11.0, 41.0), (14.0, 41.0)])
def test_observers_that_are_slow_take_from_the_hold_and_never_from_the_lease(started: float, end: float) -> None:
    assert planned_end(STEP, 10.0, started) == end
    assert end < 10.0 + 30.0 + GRACE


class Stuck:
    """A hold that can't be healed until somebody has helped."""

    def __init__(self) -> None:
        self.helped = 0

    async def heal(self) -> None:
        if self.helped < 2:
            raise WedgedError("the removal hangs", "restart it")

    async def left(self) -> list[str]:
        return []

    async def observe(self) -> Evidence:
        return Evidence(holds=False, observer="a canary", saw="nothing")


def test_what_healing_took_besides_the_healing_is_on_record_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Toxiproxy that had to be restarted cut every connection through it: who reads the numbers has to know."""
    monkeypatch.setattr(holding, "HEAL_AGAIN", 0.0)
    hold, events = Stuck(), []

    async def help_(_lease: Lease) -> list[str]:
        hold.helped += 1
        return ["Toxiproxy main was wedged; it was restarted"]

    async def run() -> None:
        around: Any = Circumstances(
            token="k3f9a2x1",
            clock=SimpleNamespace(now=lambda: 1.0),  # type: ignore[arg-type]
            recorder=SimpleNamespace(record=events.append),  # type: ignore[arg-type]
            stop=asyncio.Event(),
            heal_hard=help_,
            offered=lambda _factor: Evidence(holds=False, observer="", saw=""),
            calm=lambda: asyncio.sleep(0),
        )
        lease = Lease("latency", "k3f9a2x1", int(time.time()) + 60)
        await holding._heal(SimpleNamespace(step=STEP), around, hold, lease)  # type: ignore[arg-type]

    asyncio.run(run())
    told = [event for event in events if isinstance(event, Healing | Healed | Noted)]
    assert [type(event) for event in told] == [Healing, Noted, Healed]
    assert "restarted" in told[1].text
    assert told[2].clean
