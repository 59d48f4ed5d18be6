"""`process-kill`: the workload's processes are killed (SIGKILL), once or every so often; whoever keeps it restarts it.

The evidence is the death of exactly those processes: they stay dead, so it holds as long as the fault lasts. Healed it is
once the workload runs again.
"""

import asyncio
from contextlib import suppress
from typing import ClassVar

from aftershock.adapters import processes
from aftershock.adapters.processes import Process
from aftershock.adapters.threads import within
from aftershock.core.lease import Lease
from aftershock.errors import TargetError
from aftershock.faults.fault import Evidence, Fault, Parameters, Site, processes_of_target
from aftershock.faults.process import KILL, PATIENCE, ProcessHold, clock, ids, undo
from aftershock.model.rules import cel
from aftershock.model.rules.making import Cel
from aftershock.model.units import Duration


class Kill(Parameters, frozen=True, kw_only=True):
    """Killed once at the beginning; with `every`, again and again while the fault lasts."""

    every: Duration | None = None

    told: ClassVar[tuple[Cel, ...]] = (
        Cel(f"!has(self.every) || {cel.duration('self.every')} >= duration('100ms')", "every: at least 100ms"),
    )

    def __post_init__(self) -> None:
        if self.every is not None and self.every < 0.1:
            raise ValueError("every: at least 100ms")


class KillHold(ProcessHold):
    """One workload killed under one lease."""

    def __init__(self, site: Site, lease: Lease, wanted: Kill) -> None:
        super().__init__(site, lease)
        self.wanted = wanted
        self._killed: list[Process] = []
        self._healed = False
        self._again: asyncio.Task[None] | None = None

    async def inject(self) -> None:
        """Put the processes on record, then kill them."""
        if not self._killed:
            await within(PATIENCE, self._kill)
            if self.wanted.every is not None:
                self._again = asyncio.create_task(self._repeat(float(self.wanted.every)))

    async def observe(self) -> Evidence:
        """While held: are those processes dead? Afterwards: is the workload still without one?"""
        return await within(PATIENCE, self._look)

    async def heal(self) -> None:
        """Kill no more; see that the workload is brought back."""
        await self.close()
        await super().heal()
        self._healed = True

    async def close(self) -> None:
        """Kill no more."""
        if self._again is not None:
            self._again.cancel()
            with suppress(asyncio.CancelledError):
                await self._again
            self._again = None

    async def _repeat(self, every: float) -> None:
        while True:
            await asyncio.sleep(every)
            with suppress(TargetError):  # it may not be back yet: there is nothing to kill
                await within(PATIENCE, self._kill)

    def _kill(self) -> None:
        root = processes.root_of(self.workload, self.site.folder)
        self.record(processes.tree(root))
        self._killed += processes.kill(root)

    def _look(self) -> Evidence:
        alive = [each for each in self._killed if processes.state(each)]
        pid = processes.pid_of(self.workload, self.site.folder)
        saw = f"killed: {ids(self._killed)}, of which {len(alive)} live; {self.workload.name} "
        if self._healed:
            runs = self._runs()
            return Evidence(not runs, "/proc/<pid>/stat", saw + ("runs" if runs else "does not run"))
        saw += f"now has process {pid}" if pid else "now has no process"
        return Evidence(bool(self._killed) and not alive, "/proc/<pid>/stat", saw)

    def _runs(self) -> bool:
        with suppress(TargetError):
            processes.root_of(self.workload, self.site.folder)
            return True
        return False


PROCESS_KILL = Fault(
    name=KILL,
    summary="A local workload's processes are killed.",
    target="workload",
    parameters=Kill,
    hold=KillHold,
    clock=clock,
    undo=undo,
    alone=processes_of_target,
)
