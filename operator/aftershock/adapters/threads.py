"""Synchronous clients in an asynchronous house: each call in a thread, with a deadline for whoever waits for it.

The pool is our own and wide: a place that hangs occupies a thread until its own deadline, and must not make the calls to
other places queue behind it.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from aftershock.errors import TargetError

WIDTH = 64
_pool = ThreadPoolExecutor(WIDTH, thread_name_prefix="aftershock")
P = ParamSpec("P")
T = TypeVar("T")


async def within(deadline: float, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what `call` returns, or raise what it raises; TargetError after `deadline` seconds (the thread goes on).

    Not by `asyncio.wait_for`: before Python 3.12 it forgets that it was cancelled if the answer comes at the same moment, and
    whoever kills again and again would never hear that it is over.
    """
    running = asyncio.get_running_loop().run_in_executor(_pool, lambda: call(*args, **kwargs))
    try:
        async with asyncio.timeout(deadline):
            return await running
    except TimeoutError:
        what = getattr(call, "__name__", "a call")
        raise TargetError(
            f"{what} was not done within {deadline:g} s", "see whether the target still answers"
        ) from None
