"""`aftershock reap --watch --cluster`: the reaper, the list of places that it keeps, and the runs that lost their executor.

Healing works from the kept files alone. What is asked of the API goes on beside it, and may fail as long as it likes.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from aftershock.adapters.kubernetes import Api
from aftershock.errors import AftershockError
from aftershock.runtime import reaper
from aftershock.runtime.cluster import health
from aftershock.runtime.cluster.alive import Executors
from aftershock.runtime.cluster.kept import Kept
from aftershock.runtime.cluster.lost import Alive, Coroner
from aftershock.runtime.cluster.rights import Rights
from aftershock.runtime.telling import Teller

EVERY = 1.0
"""Seconds between two looks at the Stacks of the API."""

RUNS_EVERY = 5.0
"""Seconds between two looks at its Runs."""

RIGHTS_EVERY = 60.0
"""Seconds between two looks at its own rights."""

SILENT = 30.0
"""Seconds without a round after which it is ill."""

Say = Callable[[str], object]


@dataclass(frozen=True)
class Asked:
    """What the command line asks for. No namespaces: all that are visible. No port: nothing is served there."""

    namespaces: Sequence[str]
    metrics_port: int | None = None
    health_port: int | None = None


def command(asked: Asked, say: Say) -> int:
    """Go on until ended by a signal."""
    api = Api.connect()
    looked = _counted(asked.metrics_port) if asked.metrics_port is not None else None
    pulse = Pulse()
    if asked.health_port is not None:
        health.serve(asked.health_port, pulse.amiss)
    asyncio.run(watch(api, Executors(api), asked.namespaces, say, looked=looked, pulse=pulse))
    return 0


class Pulse:
    """Whether the reaper still looks. That the API is away is no reason to be restarted."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def beat(self) -> None:
        """A round began."""
        self._last = time.monotonic()

    def amiss(self) -> str:
        """Say what is wrong; nothing where nothing is."""
        silent = time.monotonic() - self._last
        return f"no look at any place for {silent:.0f} s" if silent > SILENT else ""


def _counted(port: int) -> reaper.Looking:
    """Serve metrics on the port; return what counts for them."""
    from aftershock.runtime.cluster.metrics import Metrics  # who serves none needs no library for them
    from aftershock.runtime.cluster.tally import ReaperTally

    metrics = Metrics("reaper")
    metrics.serve(port)
    return ReaperTally(metrics).looked


async def watch(
    api: Api,
    launcher: Alive,
    namespaces: Sequence[str],
    say: Say,
    *,
    looked: reaper.Looking | None = None,
    pulse: Pulse | None = None,
) -> None:
    """Go on for ever: heal what is past its lease, keep the list up to date, end lost runs."""
    tell = Teller(say)
    kept = Kept(api, namespaces, tell.amiss)
    coroner = Coroner(api, launcher, namespaces, tell.amiss)
    rights = Rights(api, "reaper", list(namespaces) or [None], tell.amiss)
    beside = [
        asyncio.create_task(_again_and_again(rights.look, RIGHTS_EVERY, tell.amiss)),
        asyncio.create_task(_again_and_again(kept.refresh, EVERY, tell.amiss)),
        asyncio.create_task(_again_and_again(coroner.round, RUNS_EVERY, tell.amiss)),
    ]

    def files() -> Sequence[Path]:
        if pulse is not None:
            pulse.beat()
        return kept.files()

    try:
        await reaper.watch(files, report=say, looked=looked)
    finally:
        for task in beside:
            task.cancel()


async def _again_and_again(work: Callable[[], Awaitable[object]], every: float, say: Say) -> None:
    while True:
        try:
            await work()
        except AftershockError as error:
            say(f"{error.problem}: {error.advice}")
        except Exception as error:  # noqa: BLE001 - whatever the API says to us, the reaper goes on
            say(f"{type(error).__name__}: {error}")
        await asyncio.sleep(every)
