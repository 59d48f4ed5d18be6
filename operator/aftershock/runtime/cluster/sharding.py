"""A load's generators as pods: an Indexed Job whose pods come to the executor, get their orders, and tell it what they saw.

The API is needed to make them and to take them away, not while they send: an outage in between changes nothing. They end with
their executor's connection, at the order's end, and at the Job's deadline, whichever is first.
"""

import asyncio
import secrets as randomness
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from msgspec.structs import replace

from aftershock.adapters.kubernetes import JOBS, PODS, Api, ApiAwayError, ConflictError, Tree
from aftershock.adapters.threads import within
from aftershock.core.shards import SKEW
from aftershock.errors import AftershockError, TargetError
from aftershock.probes.order import Order
from aftershock.probes.remote import Door, Remote
from aftershock.probes.shard import EXECUTOR, KEY
from aftershock.runtime import shards
from aftershock.runtime.clock import RunClock
from aftershock.runtime.cluster import jobs, load_jobs, objects
from aftershock.runtime.cluster.jobs import Settings
from aftershock.runtime.shards import Member, Shards
from aftershock.runtime.watching import ARRIVAL

CALL = 10.0
"""Seconds that one call to the API may take."""

AGAIN = 1.0
"""Seconds before a call is tried again because the API is away."""

_JOB = "batch.kubernetes.io/job-name"
_INDEX = "batch.kubernetes.io/job-completion-index"

Say = Callable[[str], object]


def generators(api: Api, run: Mapping[str, Any], environment: Mapping[str, str], say: Say) -> shards.Start:
    """Return what starts a load's generators: pods, where the executor is one; else processes beside it."""
    address = environment.get(jobs.ADDRESS)
    if not address:
        return shards.processes
    pods = Pods(api, run, jobs.settings(environment), address, say)
    return pods.start


@dataclass(frozen=True)
class Pods:
    """The pods of one Run's load. `address` is the executor's own, where they find it."""

    api: Api
    run: Mapping[str, Any]
    settings: Settings
    address: str
    say: Say
    patience: float = ARRIVAL

    async def start(self, order: Order, count: int, clock: RunClock) -> Shards:
        """Have them made, and wait until they are ready; those that don't come in time are absent from the start.

        AftershockError where they may not be made, or where one refuses the order: nothing is left then.
        """
        door = Door(key := randomness.token_urlsafe(24), count)
        port, end = await door.open(self.address), asyncio.get_running_loop().time() + self.patience
        try:
            unmade = await self._make(self._job(key, port, order, count), end)
            come = {} if unmade else await door.come(end - asyncio.get_running_loop().time())
            found = await asyncio.gather(*(self._greeted(one, order, n, count) for n, one in come.items()))
            members = {n: one for n, one in zip(come, found, strict=True) if isinstance(one, Member)}
            absent = {n: one for n, one in zip(come, found, strict=True) if isinstance(one, str)}
            missing = [n for n in range(count) if n not in come]
            absent |= dict.fromkeys(missing, unmade) if unmade else await self._why_absent(missing)
        except BaseException:
            await door.close(also=True)
            await asyncio.shield(self.remove())
            raise
        await door.close()
        return Shards(order, clock, members, absent, self.remove)

    def _job(self, key: str, port: int, order: Order, count: int) -> Tree:
        host = f"[{self.address}]" if ip_address(self.address).version == 6 else self.address
        told = {EXECUTOR: f"{host}:{port}", KEY: key}
        return load_jobs.manifest(self.run, self.settings, told, count, objects.secrets_of(order.stack))

    async def _make(self, job: Tree, end: float) -> str:
        """Make the Job; wait for the API while it is away. Return why it could not be made until `end`, on the loop's clock."""
        said = False
        while True:
            try:
                await _to_its_end(within(CALL, self.api.create, JOBS, job))
            except ConflictError:
                return ""  # made by a call whose answer was lost
            except ApiAwayError as error:
                if asyncio.get_running_loop().time() >= end:
                    return f"no pod was made within {self.patience:g} s: {error.problem}"
                if not said:
                    self.say(f"the load's pods can't be made yet; trying on for {self.patience:g} s: {error.problem}")
                said = True
                await asyncio.sleep(AGAIN)
            else:
                return ""

    async def _greeted(self, one: Remote, order: Order, shard: int, count: int) -> Member | str:
        """Return the member, or why it can't be one."""
        try:
            offset, skew = await one.measure()
            if skew > SKEW:
                await one.kill()
                return (
                    f"its clock can't be told to within {SKEW * 1000:.0f} ms: "
                    f"its quickest answer took {skew * 2000:.0f} ms"
                )
            mine = replace(order, shard=shard, shards=count, origin=order.origin + offset, folder=load_jobs.FOLDER)
            refused = await one.greet(mine)
        except TargetError as error:
            await one.kill()
            return error.problem
        if refused is not None:
            raise refused.error()
        return Member(one, offset, skew)

    async def _why_absent(self, missing: Sequence[int]) -> dict[int, str]:
        """Say of each that did not come where its pod stands."""
        late = f"it did not come within {self.patience:g} s"
        if not missing:
            return {}
        try:
            labels = f"{_JOB}={load_jobs.name(self.run)}"
            found = await within(CALL, self.api.list, PODS, self.run["metadata"]["namespace"], labels=labels)
        except AftershockError as error:
            return dict.fromkeys(missing, f"{late}, and its pod can't be asked for: {error.problem}")
        pods = {pod["metadata"].get("labels", {}).get(_INDEX): _state(pod) for pod in found}
        return {n: f"{late}: {pods.get(str(n), 'there is no pod for it')}" for n in missing}

    async def remove(self) -> None:
        """Take the pods away. Never raises: they end by themselves as well."""
        name, namespace = load_jobs.name(self.run), self.run["metadata"]["namespace"]
        try:
            await within(CALL, self.api.delete, JOBS, name, namespace)
        except AftershockError as error:
            self.say(f"the Job {name} can't be deleted, and ends by itself if it is there: {error.problem}")


async def _to_its_end(call: Coroutine[None, None, object]) -> None:
    """Await a call. Whoever is cancelled meanwhile waits for it all the same: what it makes can only then be taken away."""
    calling = asyncio.ensure_future(call)
    try:
        await asyncio.shield(calling)
    except asyncio.CancelledError:
        await asyncio.gather(calling, return_exceptions=True)
        raise


def _state(pod: Tree) -> str:
    """Say where a pod stands, and what keeps it there."""
    status = pod.get("status") or {}
    waiting = [
        one["state"]["waiting"] for one in status.get("containerStatuses") or [] if "waiting" in one.get("state", {})
    ]
    stuck = [one for one in status.get("conditions") or [] if one.get("status") == "False" and one.get("message")]
    why = next((f": {one.get('reason')} {one.get('message', '')}".rstrip() for one in [*waiting, *stuck]), "")
    return f"the pod {pod['metadata']['name']} is {status.get('phase') or 'Pending'}{why}"
