"""What starts with the timeline is ready before it: its observers are connected and have looked when Active begins."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from aftershock.core.phases import Phase
from aftershock.core.plan import Step
from aftershock.errors import TargetError
from aftershock.faults.fault import Evidence
from aftershock.runtime.executor import Executor
from aftershock.runtime.holding import Injection


class Held:
    """A hold that tells what is asked of it."""

    def __init__(self, told: list[str], problem: str = "") -> None:
        self.told, self.problem, self.there = told, problem, False

    async def prepare(self) -> None:
        self.told.append("prepare")
        if self.problem:
            raise TargetError(self.problem, "mend it")

    async def inject(self) -> None:
        self.told.append("inject")
        self.there = True

    async def observe(self) -> Evidence:
        return Evidence(holds=self.there, observer="a canary", saw="it")

    async def heal(self) -> None:
        self.there = False

    async def left(self) -> list[str]:
        return []

    async def close(self) -> None:
        self.told.append("close")


def executor(hold: Held, start: float = 0.0) -> Executor:
    async def clock(_site: object) -> float:
        return time.time()

    fault: Any = SimpleNamespace(
        name="latency", clock=clock, hold=lambda *_: hold, undo=lambda *_: {"operation": "none"}
    )
    step = Step(0, "latency", "app-to-primary", start, start + 0.02, None, {})
    injection = Injection(step, fault, SimpleNamespace(), SimpleNamespace())  # type: ignore[arg-type]
    inputs: Any = SimpleNamespace(
        token="k3f9a2x1", injections=[injection], plan=SimpleNamespace(active=0.02, load=None), stack=None, folder=None
    )
    begun = time.monotonic()
    recorder: Any = SimpleNamespace(record=lambda *_, **__: None, failure=None)
    return Executor(inputs, recorder, SimpleNamespace(now=lambda: time.monotonic() - begun))  # type: ignore[arg-type]


async def active(one: Executor, told: list[str], *, stopped: bool = False) -> None:
    early = await one._get_ready()
    told.append("Active")
    if stopped:
        one.stop.set()
    await one._active(early)


@pytest.mark.parametrize(
    ("start", "order"),
    [(0.0, ["prepare", "Active", "inject", "close"]), (0.01, ["Active", "prepare", "inject", "close"])],
)
def test_only_what_starts_with_the_timeline_is_ready_before_it(start: float, order: list[str]) -> None:
    told: list[str] = []
    asyncio.run(active(executor(Held(told), start), told))
    assert told == order


def test_what_is_ready_and_is_not_to_be_is_let_go() -> None:
    told: list[str] = []
    asyncio.run(active(executor(Held(told)), told, stopped=True))
    assert told == ["prepare", "Active", "close"]


def test_what_fails_to_get_ready_fails_in_its_turn() -> None:
    told: list[str] = []
    one = executor(Held(told, "the database is away"))
    asyncio.run(active(one, told))
    assert told == ["prepare", "close", "Active"]
    assert one.failure is not None and one.failure.problem == "the database is away"
    assert one.stop.is_set() and one.phase is Phase.PENDING
