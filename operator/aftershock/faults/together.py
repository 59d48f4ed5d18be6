"""Several holds of one lease that are held together: the fault is there when all of them are."""

import asyncio
from collections.abc import Awaitable, Iterable, Sequence

from aftershock.faults.fault import Evidence, Hold


class TogetherHold:
    """A Hold made of others, at different places."""

    def __init__(self, parts: Sequence[Hold]) -> None:
        self.parts = parts

    async def prepare(self) -> None:
        """Prepare each."""
        await _all(each.prepare() for each in self.parts)

    async def inject(self) -> None:
        """Inject each."""
        await _all(each.inject() for each in self.parts)

    async def observe(self) -> Evidence:
        """Ask the observers of each."""
        seen = await asyncio.gather(*(each.observe() for each in self.parts))
        return Evidence(
            all(one.holds for one in seen),
            ", ".join(dict.fromkeys(one.observer for one in seen)),
            "; ".join(one.saw for one in seen),
        )

    async def heal(self) -> None:
        """Heal each; one that fails keeps no other from it."""
        await _all(each.heal() for each in self.parts)

    async def left(self) -> list[str]:
        """Name what of each is left."""
        return [line for lines in await asyncio.gather(*(each.left() for each in self.parts)) for line in lines]

    async def close(self) -> None:
        """Let go of observers."""
        await asyncio.gather(*(each.close() for each in self.parts))


async def _all(calls: Iterable[Awaitable[None]]) -> None:
    """Let every call come to its end, so that none is still under way when something else begins; then raise what failed."""
    for one in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(one, BaseException):
            raise one
