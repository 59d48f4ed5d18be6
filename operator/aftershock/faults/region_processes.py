"""What runs in a region is lost at once: its local workloads and databases, with or without its links.

A region that is lost has no time to say farewell: processes are stopped and killed, then held down through supervisord. Each
has a record of its own in the stack's folder, so the reaper brings each back though another can't be.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from aftershock.adapters import processes, supervisor
from aftershock.core.lease import Lease
from aftershock.errors import InputError
from aftershock.faults.fault import Evidence, Site
from aftershock.faults.process import PATIENCE
from aftershock.faults.process_hold_down import HoldDownHold
from aftershock.faults.region_links import LinksHold
from aftershock.faults.regions import inside, local_in, servers
from aftershock.faults.together import TogetherHold


class LostHold(HoldDownHold):
    """One workload that is killed and stays down for one lease."""

    def _stop(self) -> None:
        """Freeze it first: so it answers nobody, writes nothing, and can't end in good order when it is told to."""
        record = self.recorded()
        if record is None:
            root = processes.root_of(self.workload, self.site.folder)
            self.record(processes.tree(root))
            record = self.record(list(dict.fromkeys([*processes.tree(root), *processes.stop(root)])), whole=True)
        with ThreadPoolExecutor(
            1
        ) as told:  # supervisord only answers when it is gone, and it is gone once it is killed
            stopping = told.submit(supervisor.stop, self._control(), PATIENCE - 5)
            processes.await_state(lambda: self._state() in {"STOPPING", "STOPPED"} or stopping.done())
            processes.kill_all(record.processes)
            stopping.result()

    def _state(self) -> str:
        return supervisor.info(self._control()).state


class ProcessesHold(TogetherHold):
    """All that runs in one region, or its databases alone, down for one lease; with its links, if `links` are given."""

    def __init__(self, site: Site, lease: Lease, links: LinksHold | None, *, databases_only: bool) -> None:
        lost = local_in(site, databases_only=databases_only)
        complete(site, databases_only=databases_only)
        self.lost = [LostHold(site.at(each.name), lease.of(f"p{n}")) for n, each in enumerate(lost)]
        self.links = links
        super().__init__([*self.lost, *([links] if links else [])])

    async def observe(self) -> Evidence:
        """Ask supervisord, the kernel, and canaries from outside: nothing of it lives, and nobody gets in."""
        seen = await asyncio.gather(*(each.observe() for each in self.lost))
        down = sum(one.holds for one in seen)
        told = "; ".join(f"{part.workload.name}: {one.saw}" for part, one in zip(self.lost, seen, strict=True))
        saw, holds = f"inside, {down} of {len(seen)} parts are down ({told})", down == len(seen)
        if self.links:
            cut, links = await self.links.unreachable()
            answering = [door.name for door in self.links.doors if await door.open()]
            holds = holds and cut and not answering
            saw += f"; from outside, {links}; behind them {', '.join(answering) or 'nobody'} answers"
        return Evidence(holds, "supervisord, /proc/<pid>/stat, and canaries at the region's links", saw)


def complete(site: Site, *, databases_only: bool) -> None:
    """Refuse a region of which only a part could be lost, or none: InputError."""
    local = {each.name for each in local_in(site, databases_only=databases_only)}
    wanted = servers(site) & inside(site) if databases_only else inside(site)
    missing = sorted(wanted - local)
    if missing:
        raise InputError(
            f"{', '.join(missing)} in the region {site.target} can't be taken down and brought back",
            "each needs a workload of its name with `supervisor:` in the Stack; for pods: `by: network-policy` or `evacuation`",
        )
    if not local:
        what = "database" if databases_only else "workload"
        raise InputError(f"the stack names no {what} in the region {site.target}", "give it `region:` in the Stack")
