"""`process-hold-down`: the workload is stopped through supervisord and stays down until the lease is over."""

from aftershock.adapters import processes, supervisor
from aftershock.adapters.threads import within
from aftershock.core.lease import Lease
from aftershock.errors import InputError
from aftershock.faults.fault import Evidence, Fault, Parameters, Site, processes_of_target
from aftershock.faults.process import HOLD_DOWN, PATIENCE, ProcessHold, clock, ids, undo
from aftershock.model.stack import SupervisorControl


class HoldDown(Parameters, frozen=True, kw_only=True):
    """There is nothing to choose: the program is stopped as supervisord stops it."""


class HoldDownHold(ProcessHold):
    """One workload held down for one lease."""

    kind = HOLD_DOWN

    async def prepare(self) -> None:
        """See that it runs, and that there is somebody who can start it again."""
        self._control()
        await super().prepare()

    async def inject(self) -> None:
        """Put it on record, then stop it."""
        await within(PATIENCE, self._stop)

    async def observe(self) -> Evidence:
        """Ask supervisord, and the kernel for the processes on record."""
        return await within(PATIENCE, self._look)

    def _stop(self) -> None:
        record = self.recorded()
        if record is None:
            record = self.record(processes.tree(processes.root_of(self.workload, self.site.folder)))
        supervisor.stop(self._control(), PATIENCE - 5)
        processes.kill_all(record.processes)  # supervisord ends the first process only, unless told otherwise

    def _look(self) -> Evidence:
        record = self.recorded()
        told = supervisor.info(self._control())
        alive = [each for each in record.processes if processes.state(each)] if record else []
        saw = f"supervisord says {told.state}"
        if record:
            saw += f"; of its processes {ids(record.processes)}, {len(alive)} are left"
        held = record is not None and told.state == "STOPPED" and not alive
        return Evidence(held, "supervisord, and /proc/<pid>/stat", saw)

    def _control(self) -> SupervisorControl:
        if self.workload.supervisor is None:
            raise InputError(
                f"the workload {self.workload.name} can't be held down: nobody could start it again",
                "give it `supervisor:` in the Stack",
            )
        return self.workload.supervisor


def _hold(site: Site, lease: Lease, _wanted: HoldDown) -> HoldDownHold:
    return HoldDownHold(site, lease)


PROCESS_HOLD_DOWN = Fault(
    name=HOLD_DOWN,
    summary="A local workload is stopped, and started again later.",
    target="workload",
    parameters=HoldDown,
    hold=_hold,
    clock=clock,
    undo=undo,
    alone=processes_of_target,
)
