"""A part of the stack that is lost, in one of three ways: what `db-primary-loss` and `cache-loss` share.

`kill`: its processes are killed at once and stay down until the lease is over, as when its machine loses power. `pause`: they
are stopped and go on later, as when a hypervisor freezes it: it takes connections and answers nobody. `partition`: every link
with an end at it is down while it runs, and knows nothing of it.

Landed means that a client and the part disagree as they should: nobody gets an answer from what is killed or paused, past every
link; to what is cut off nobody gets through a link, and past them it is what it was.
"""

import asyncio
import time
from collections.abc import Iterable
from typing import Literal, TypeAlias

import msgspec

from aftershock.core.front import links_at, servers_of
from aftershock.core.lease import Lease
from aftershock.errors import InputError, TargetError
from aftershock.faults import link
from aftershock.faults.fault import Evidence, Hold, Site, processes_of
from aftershock.faults.link_down import DownHold, being_up
from aftershock.faults.process_pause import PauseHold
from aftershock.faults.region_processes import LostHold
from aftershock.faults.together import TogetherHold
from aftershock.model.stack import Workload

By: TypeAlias = Literal["kill", "pause", "partition"]
PATIENCE = 1.5
"""Seconds that a client past the links waits: a paused server takes its connection, and never answers."""


class Answer(msgspec.Struct, frozen=True):
    """What a client past the links found. `alive`: somebody answers there; `sound`: and is what should be there."""

    alive: bool
    sound: bool
    saw: str


class LostPartHold(TogetherHold):
    """One part that is lost for one lease. What kind of part it is says `ask`."""

    client: str
    """What the client does past the links, as an observer: `a login`."""

    def __init__(self, site: Site, lease: Lease, by: By, parts: list[Hold] | None = None) -> None:
        super().__init__(holds(site, lease, by) if parts is None else parts)
        self.by = by

    async def ask(self) -> Answer:
        """Ask the part itself, past every link. It may raise TargetError: then nobody answers."""
        raise NotImplementedError

    async def prepare(self) -> None:
        """See that it is what it should be, and that it can be lost and brought back."""
        if not (found := await self._asked()).sound:
            kind = InputError if found.alive else TargetError
            raise kind(f"it is not there to be lost: {found.saw}", "see whether it runs, and compare it with the Stack")
        await super().prepare()

    async def observe(self) -> Evidence:
        """Ask whoever did it, and a client past the links."""
        seen, found = await asyncio.gather(super().observe(), self._asked())
        due = found.sound if self.by == "partition" else not found.alive
        return Evidence(
            seen.holds and due,
            f"{seen.observer}, and {self.client} past the links",
            f"{seen.saw}; {found.saw}",
        )

    async def _asked(self) -> Answer:
        try:
            async with asyncio.timeout(PATIENCE):
                return await self.ask()
        except TimeoutError:
            return Answer(alive=False, sound=False, saw=f"past the links nobody answers within {PATIENCE:g} s")
        except TargetError as error:
            return Answer(alive=False, sound=False, saw=error.problem)


def holds(site: Site, lease: Lease, by: By) -> list[Hold]:
    """Return what takes a part away, piece by piece."""
    match by:
        case "kill":
            return [LostHold(site, lease)]
        case "pause":
            return [PauseHold(site, lease)]
        case "partition":
            return [DownHold(site.at(each.name), lease) for each in links_at(site.stack, site.target)]


def refuse(site: Site, by: By) -> None:
    """Refuse what could not be taken away and brought back, by what the Stack says: InputError."""
    if by == "partition":
        if not links_at(site.stack, site.target):
            raise InputError(
                f"no link has an end at {site.target}",
                f"give the Stack links with `to: {site.target}`, or take `by: kill` or `pause`",
            )
        return
    workload = _workload(site)
    if workload is None or (by == "kill" and workload.supervisor is None):
        raise InputError(
            f"{site.target} can't be taken down and brought back",
            f"it needs a workload {site.target} with `supervisor:` in the Stack; for pods: `pod-kill` or"
            " `workload-hold-down` of their workload",
        )


def alone(site: Site, by: By) -> Iterable[str]:
    """Name what no other fault can have meanwhile."""
    if by == "partition":
        return [
            being_up(each.name) for part in servers_of(site.stack, site.target) for each in links_at(site.stack, part)
        ]
    return [processes_of(part) for part in servers_of(site.stack, site.target)]


def _workload(site: Site) -> Workload | None:
    """Return the local workload that the part is: the one of its name."""
    for each in site.stack.spec.workloads:
        if each.name == site.target and (each.supervisor or each.pid_file):
            return each
    return None


async def clock(site: Site) -> float:
    """Return this machine's clock, or that of the links' Toxiproxies: the one that is ahead."""
    parts = servers_of(site.stack, site.target)
    links = [each for part in parts for each in links_at(site.stack, part)]
    told = [await link.clock(site.at(each.name)) for each in links if each.toxiproxy is not None]
    if any(_workload(site.at(part)) for part in parts):
        told.append(time.time())
    if not told:
        raise InputError(
            f"nothing that could hold {site.target} has a clock",
            "give its links a `toxiproxy`, or its workload `supervisor`",
        )
    return max(told)
