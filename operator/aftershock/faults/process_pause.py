"""`process-pause`: the workload's processes are stopped (SIGSTOP) and go on later, as after a long garbage collection."""

from aftershock.adapters import processes
from aftershock.adapters.threads import within
from aftershock.core.lease import Lease
from aftershock.faults.fault import Evidence, Fault, Parameters, Site, processes_of_target
from aftershock.faults.process import PATIENCE, PAUSE, ProcessHold, clock, ids, undo


class Pause(Parameters, frozen=True, kw_only=True):
    """A pause has nothing to choose."""


class PauseHold(ProcessHold):
    """One workload paused for one lease."""

    async def inject(self) -> None:
        """Put the processes on record, then stop them. What somebody else has stopped is not ours, nor on record."""
        await within(PATIENCE, self._pause)

    async def observe(self) -> Evidence:
        """Read the kernel's word on every process on record."""
        return await within(PATIENCE, self._look)

    def _pause(self) -> None:
        if self.recorded() is None:
            root = processes.root_of(self.workload, self.site.folder)
            first = [each for each in processes.tree(root) if processes.state(each) != "T"]
            self.record(first)
            self.record([*first, *(each for each in processes.stop(root) if each not in first)], whole=True)

    def _look(self) -> Evidence:
        record = self.recorded()
        hit = record.processes if record else []
        states = {each: processes.state(each) for each in hit}
        stopped = [each for each, state in states.items() if state == "T"]
        living = [each for each, state in states.items() if state]  # one that was on its way out has ended
        told = ", ".join(f"{each.pid} {state or 'ended'}" for each, state in states.items())
        if not hit:
            return Evidence(
                holds=False, observer="/proc/<pid>/stat", saw=f"{self._now()}; nothing is on record as paused"
            )
        saw = f"{len(stopped)} of {len(hit)} processes are stopped (state T): {told}"
        return Evidence(stopped == living and hit[0] in stopped, "/proc/<pid>/stat", saw)

    def _now(self) -> str:
        pid = processes.pid_of(self.workload, self.site.folder)
        tree = processes.tree(processes.root_of(self.workload, self.site.folder)) if pid else []
        return f"processes {ids(tree)} have states {' '.join(processes.state(each) or '-' for each in tree)}"


def _hold(site: Site, lease: Lease, _wanted: Pause) -> PauseHold:
    return PauseHold(site, lease)


PROCESS_PAUSE = Fault(
    name=PAUSE,
    summary="A local workload's processes are stopped, and go on later.",
    target="workload",
    parameters=Pause,
    hold=_hold,
    clock=clock,
    undo=undo,
    alone=processes_of_target,
)
