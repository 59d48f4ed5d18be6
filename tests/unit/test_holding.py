"""When a held fault is healed: after its length, and always before its own lease ends it."""

import pytest

from aftershock.core.lease import GRACE
from aftershock.core.plan import Step
from aftershock.runtime.holding import planned_end

STEP = Step(0, "latency", "app-to-primary", 2.0, 32.0, None, {})


@pytest.mark.parametrize(("started", "end"), [(10.0, 40.0), (10.9, 40.9), (11.0, 41.0), (14.0, 41.0)])
def test_observers_that_are_slow_take_from_the_hold_and_never_from_the_lease(started: float, end: float) -> None:
    assert planned_end(STEP, 10.0, started) == end
    assert end < 10.0 + 30.0 + GRACE
