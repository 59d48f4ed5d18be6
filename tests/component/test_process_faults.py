"""Process faults on a real supervisord: they hit the workload's whole tree and nobody else, and are undone."""

import asyncio
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from aftershock.adapters import lease_files, processes, records, supervisor
from aftershock.adapters.processes import Process
from aftershock.errors import InputError, TargetError
from aftershock.faults.fault import Site
from aftershock.model.stack import PidFileControl, Workload
from component.conftest import Supervised, stack, until
from component.test_link_faults import hold_of, life


def running(site: Site) -> list[Process]:
    """Wait until the whole family is there."""
    workload = site.stack.spec.workloads[0]

    def family() -> list[Process]:
        pid = processes.pid_of(workload, site.folder)
        members = processes.tree(processes.root_of(workload, site.folder)) if pid else []
        return members if len(members) == 3 and all(processes.state(each) == "S" for each in members) else []

    until(family)
    return family()


@pytest.mark.parametrize(
    ("name", "tree"), [("process-kill", {}), ("process-pause", {}), ("process-hold-down", {})], ids=str
)
def test_fault_lands_is_proved_and_leaves_nothing(workload: Site, name: str, tree: dict[str, Any]) -> None:
    before = running(workload)
    seen = asyncio.run(life(hold_of(workload, name, tree)))
    assert [seen[when].holds for when in ("before", "during", "after")] == [False, True, False], seen
    assert lease_files.paths(workload.folder) == []
    after = running(workload)
    assert (after == before) == (name == "process-pause")


def test_pause_stops_every_process_of_the_tree(workload: Site) -> None:
    async def run() -> None:
        members = running(workload)
        hold = hold_of(workload, "process-pause", {})
        await hold.prepare()
        await hold.inject()
        assert [processes.state(each) for each in members] == ["T"] * 3
        processes.send(members[1], signal.SIGCONT)
        until(lambda: processes.state(members[1]) != "T")
        assert not (await hold.observe()).holds, "one that goes on is no pause"
        await hold.heal()

    asyncio.run(run())
    running(workload)


def test_what_somebody_else_has_stopped_stays_stopped(workload: Site) -> None:
    members = running(workload)
    processes.send(members[1], signal.SIGSTOP)
    until(lambda: processes.state(members[1]) == "T")

    async def run() -> None:
        hold = hold_of(workload, "process-pause", {})
        await hold.inject()
        record = records.get(lease_files.path_of(workload.folder, hold.lease.name))  # type: ignore[attr-defined]
        assert record is not None
        assert members[1] not in record.processes
        await hold.heal()

    asyncio.run(run())
    assert processes.state(members[1]) == "T"
    processes.send(members[1], signal.SIGCONT)
    running(workload)


def test_kill_again_and_again(workload: Site) -> None:
    async def run() -> None:
        hold = hold_of(workload, "process-kill", {"every": "200ms"})
        running(workload)
        await hold.inject()
        first = len(hold._killed)  # type: ignore[attr-defined]
        async with asyncio.timeout(20):
            while len(hold._killed) < first + 2:  # type: ignore[attr-defined]
                await asyncio.sleep(0.02)
        await hold.heal()
        count = len(hold._killed)  # type: ignore[attr-defined]
        await asyncio.sleep(0.5)
        assert len(hold._killed) == count  # type: ignore[attr-defined]
        assert not (await hold.observe()).holds

    asyncio.run(run())


def test_a_recycled_id_is_never_signalled() -> None:
    stranger = subprocess.Popen(["sleep", "1000"])
    try:
        before = Process(stranger.pid, 1)  # the id as it was somebody else's, before
        processes.send(before, signal.SIGKILL)
        processes.go_on([before])
        assert processes.state(before) is None
        with pytest.raises(subprocess.TimeoutExpired):  # it goes on living
            stranger.wait(0.3)
    finally:
        stranger.kill()
        stranger.wait()


def test_pid_file_workload_can_be_paused_but_not_held_down(tmp_path: Path) -> None:
    child = subprocess.Popen(["sleep", "1000"])
    (tmp_path / "pid").write_text(f"{child.pid}\n")
    site = Site(stack(workloads=[Workload(name="w", pid_file=PidFileControl(path="pid"))]), "w", tmp_path)
    try:
        seen = asyncio.run(life(hold_of(site, "process-pause", {})))
        assert [seen[when].holds for when in ("before", "during", "after")] == [False, True, False], seen
        with pytest.raises(InputError, match="nobody could start it again"):
            asyncio.run(hold_of(site, "process-hold-down", {}).prepare())
    finally:
        child.kill()
        child.wait()
    with pytest.raises(TargetError, match="doesn't run"):
        asyncio.run(hold_of(site, "process-pause", {}).prepare())


def test_no_record_no_fault(workload: Site) -> None:
    """A folder that can't be written to: nothing is done to the workload."""
    members = running(workload)
    (workload.folder / "leases").write_text("in the way")
    for name in ("process-kill", "process-pause", "process-hold-down"):
        with pytest.raises(TargetError, match="the lease record"):
            asyncio.run(hold_of(workload, name, {}).inject())
    assert running(workload) == members


def test_another_users_process_is_refused(tmp_path: Path) -> None:
    """PermissionError becomes advice. Only an ordinary user can be refused, so root becomes one for this."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become somebody else")
    code = (
        "import os,signal,sys; os.setuid(65534)\n"
        "from aftershock.adapters import processes\n"
        "from aftershock.errors import TargetError\n"
        "found = processes._stat(int(sys.argv[1])).process\n"
        "try:\n    processes.send(found, signal.SIGSTOP)\n"
        "except TargetError as error:\n    print(error.advice)\n"
    )
    other = subprocess.Popen(["sleep", "1000"])
    try:
        import sys

        root = Path(__file__).parents[2]
        done = subprocess.run(
            [sys.executable, "-c", "import aftershock.adapters.processes\n" + code, str(other.pid)],
            env={**os.environ, "PYTHONPATH": str(root / "operator")},
            capture_output=True,
            text=True,
            check=True,
        )
        assert "run aftershock as that user" in done.stdout
    finally:
        other.kill()
        other.wait()


def test_a_program_that_does_not_restart_by_itself_is_started(workload: Site, supervised: Supervised) -> None:
    running(workload)
    control = supervised.control("family")

    async def run() -> None:
        hold = hold_of(workload, "process-hold-down", {})
        await hold.inject()
        assert supervisor.info(control).state == "STOPPED"
        time.sleep(0.1)
        assert (await hold.observe()).holds
        await hold.heal()

    asyncio.run(run())
    running(workload)
