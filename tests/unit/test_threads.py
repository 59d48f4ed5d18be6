"""Calls in threads, for those who wait for them in a loop."""

import asyncio
import threading

import pytest

from aftershock.adapters.threads import within
from aftershock.errors import TargetError


def test_who_is_called_off_as_the_answer_comes_is_called_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a loop around it would go on for ever, and whoever ended it would wait for that."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str] = loop.create_future()
        monkeypatch.setattr(loop, "run_in_executor", lambda *_: answer)
        waiting = asyncio.create_task(within(10.0, str))
        await asyncio.sleep(0)
        answer.set_result("at the same moment")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(run())


def test_who_waits_too_long_is_told_so_and_the_thread_goes_on() -> None:
    free, done = threading.Event(), threading.Event()

    def slow() -> None:
        free.wait()
        done.set()

    async def run() -> None:
        # time enough to begin: a call that has not begun when its deadline passes never does
        with pytest.raises(TargetError, match=r"slow was not done within 0\.5 s"):
            await within(0.5, slow)
        free.set()

    asyncio.run(run())
    assert done.wait(30)
