"""Holds that are held together: what fails in one is told when the others have come to their end."""

import asyncio

import pytest

from aftershock.errors import TargetError
from aftershock.faults.fault import Evidence
from aftershock.faults.together import TogetherHold


class Part:
    """A Hold that fails at once, or takes its turn of the loop for what it does."""

    def __init__(self, *, fails: bool = False, holds: bool = True) -> None:
        self.fails, self.holds = fails, holds
        self.done: list[str] = []

    async def _do(self, what: str) -> None:
        if self.fails:
            raise TargetError(f"can't {what}", "nothing to do")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.done.append(what)

    async def prepare(self) -> None:
        await self._do("prepare")

    async def inject(self) -> None:
        await self._do("inject")

    async def observe(self) -> Evidence:
        return Evidence(self.holds, "somebody", f"it {'holds' if self.holds else 'does not hold'}")

    async def heal(self) -> None:
        await self._do("heal")

    async def left(self) -> list[str]:
        return ["a trace"] if self.holds else []

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("fails", [0, 1])
@pytest.mark.parametrize("what", ["prepare", "inject", "heal"])
def test_nothing_is_under_way_any_more_when_a_failure_is_told(what: str, fails: int) -> None:
    parts = [Part(fails=place == fails) for place in range(2)]
    with pytest.raises(TargetError, match=f"can't {what}"):
        asyncio.run(_told(parts, what))


async def _told(parts: list[Part], what: str) -> None:
    try:
        await getattr(TogetherHold(parts), what)()
    finally:
        assert [part.done for part in parts if not part.fails] == [[what]]


def test_it_is_there_when_all_of_them_are() -> None:
    seen = [asyncio.run(TogetherHold([Part(), Part(holds=other)]).observe()) for other in (True, False)]
    assert [one.holds for one in seen] == [True, False]
    assert seen[1] == Evidence(False, "somebody", "it holds; it does not hold")


def test_what_is_left_of_each_is_left() -> None:
    assert asyncio.run(TogetherHold([Part(), Part(holds=False), Part()]).left()) == ["a trace", "a trace"]
