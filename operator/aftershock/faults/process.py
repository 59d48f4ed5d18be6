"""What the faults of local processes share: the workload, its record in the stack's folder, and how each is undone.

A process can bear no name, so the record does, on this machine's clock. `undo_record` is all that the reaper needs.
"""

import time
from collections.abc import Mapping
from typing import Any

from aftershock.adapters import processes, records, supervisor
from aftershock.adapters.lease_files import path_of
from aftershock.adapters.processes import Process
from aftershock.adapters.records import Record
from aftershock.adapters.threads import within
from aftershock.core.lease import Lease
from aftershock.errors import InputError, TargetError
from aftershock.faults.fault import Site
from aftershock.model.stack import Workload

KILL, PAUSE, HOLD_DOWN = "process-kill", "process-pause", "process-hold-down"
PATIENCE = 15.0
"""Seconds for anything that is done to a process, supervisord's own calls included."""

BACK = 8.0
"""Seconds that supervisord may take to bring a killed program back by itself before it is told to."""


def workload_of(site: Site) -> Workload:
    """Return the workload that is the site's target. InputError if the stack names none such."""
    for workload in site.stack.spec.workloads:
        if workload.name == site.target:
            return workload
    known = ", ".join(each.name for each in site.stack.spec.workloads) or "none"
    raise InputError(f"the stack has no workload {site.target}", f"its workloads: {known}")


async def clock(_site: Site) -> float:
    """Return this machine's clock: the record and what is hit are both here."""
    return time.time()


def undo(site: Site, lease: Lease) -> Mapping[str, Any]:
    """Say what takes the fault away again, as data."""
    return {"operation": f"undo-{lease.fault}", "workload": site.target, "lease": lease.name}


def undo_record(record: Record) -> None:
    """Undo what the record says was done. Twice is once; what has ended meanwhile is left alone."""
    if record.boot == processes.boot():
        hit = record.processes if record.whole else processes.descendants(record.processes)
        processes.go_on(hit)
    if record.supervisor is not None and record.fault in {KILL, HOLD_DOWN}:
        _bring_back(record)


def _bring_back(record: Record) -> None:
    """See that the program runs. One that somebody stopped while it was only to be killed stays stopped."""
    assert record.supervisor is not None
    end = time.monotonic() + BACK
    while (found := supervisor.info(record.supervisor)).state in {"STARTING", "BACKOFF", "STOPPING"}:
        if time.monotonic() > end:
            raise TargetError(f"{record.workload} doesn't come back: {found.because}", f"see {found.log}")
        time.sleep(0.05)
    if found.state in {"EXITED", "FATAL"} or (found.state == "STOPPED" and record.fault == HOLD_DOWN):
        supervisor.launch(record.supervisor)


class ProcessHold:
    """The part of a Hold that every fault of a process has. `kind` is how it is undone, where the lease's fault doesn't say."""

    kind: str | None = None

    def __init__(self, site: Site, lease: Lease) -> None:
        self.site, self.lease = site, lease
        self.workload = workload_of(site)

    async def prepare(self) -> None:
        """See that the workload runs, and that it may be signalled at all."""
        await within(PATIENCE, processes.root_of, self.workload, self.site.folder)

    async def heal(self) -> None:
        """Undo what is on record, then remove the record."""
        await within(PATIENCE, heal_record, self.site.folder, self.lease.name)

    async def left(self) -> list[str]:
        """Name the record, if it is still there."""
        path = path_of(self.site.folder, self.lease.name)
        return [f"{self.lease.fault} of {self.workload.name}: {path}"] if path.exists() else []

    async def close(self) -> None:
        """Nothing is kept open."""

    def record(self, hit: list[Process], *, whole: bool = False) -> Record:
        """Put on record what is about to be done; `whole` once it is known to be all."""
        record = Record(
            lease=self.lease.name,
            fault=self.kind or self.lease.fault,
            workload=self.workload.name,
            boot=processes.boot(),
            processes=hit,
            whole=whole,
            supervisor=self.workload.supervisor,
        )
        records.put(self.site.folder, record)
        return record

    def recorded(self) -> Record | None:
        """Return what is on record for this lease."""
        return records.get(path_of(self.site.folder, self.lease.name))


def heal_record(folder: Any, lease: str) -> None:
    """Undo the record of a lease and remove it, if there is one."""
    record = records.get(path_of(folder, lease))
    if record is not None:
        undo_record(record)
        records.drop(folder, lease)


def ids(hit: list[Process]) -> str:
    """Return process ids for a message."""
    return ", ".join(str(each.pid) for each in hit) or "none"
