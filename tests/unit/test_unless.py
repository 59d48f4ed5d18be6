"""A look is given up when the run stops; healing waits for none."""

import asyncio

import pytest

from aftershock.runtime.holding import unless


def test_work_is_given_up_when_the_run_stops() -> None:
    async def scene() -> list[str]:
        stop, told = asyncio.Event(), list[str]()

        async def look() -> None:
            told.append("begun")
            stop.set()
            try:
                await asyncio.Event().wait()
            finally:
                told.append("given up")

        await unless(stop, look())
        return told

    assert asyncio.run(scene()) == ["begun", "given up"]


def test_work_that_is_done_is_left_alone_and_its_error_is_raised() -> None:
    async def scene() -> None:
        async def look() -> None:
            raise LookupError("planted")

        await unless(asyncio.Event(), look())

    with pytest.raises(LookupError, match="planted"):
        asyncio.run(scene())
