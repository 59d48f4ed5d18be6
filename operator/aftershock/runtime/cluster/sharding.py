"""A load's generators as pods: an Indexed Job whose pods come to the executor, get their orders, and tell it what they saw.

The API is needed to make them and to take them away, not while they send: an outage in between changes nothing. They end with
their executor's connection, at the order's end, and at the Job's deadline, whichever is first.
"""

import asyncio
import secrets as randomness
from collections.abc import Awaitable, Callable, Mapping
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

        AftershockError where none can be made, or where one refuses the order: nothing is left then.
        """
        door = Door(key := randomness.token_urlsafe(24), count)
        port = await door.open(self.address)
        try:
            await self._make(key, port, order, count)
            come = await door.come(self.patience)
            found = await asyncio.gather(*(self._greeted(one, order, n, count) for n, one in come.items()))
            members = {n: one for n, one in zip(come, found, strict=True) if isinstance(one, Member)}
            absent = {n: one for n, one in zip(come, found, strict=True) if isinstance(one, str)}
            absent |= {n: await self._why_absent(n) for n in range(count) if n not in come}
        except BaseException:
            await door.close(also=True)
            await asyncio.shield(self.remove())
            raise
        await door.close()
        return Shards(order, clock, members, absent, self.remove)

    async def _make(self, key: str, port: int, order: Order, count: int) -> None:
        host = f"[{self.address}]" if ip_address(self.address).version == 6 else self.address
        told = {EXECUTOR: f"{host}:{port}", KEY: key}
        job = load_jobs.manifest(self.run, self.settings, told, count, objects.secrets_of(order.stack))
        try:
            await self._patiently(lambda: within(CALL, self.api.create, JOBS, job))
        except ConflictError:
            return  # made by a call whose answer was lost

    async def _patiently(self, call: Callable[[], Awaitable[object]]) -> None:
        """Call again while the API is away, for a while."""
        end = asyncio.get_running_loop().time() + self.patience
        while True:
            try:
                await call()
            except ApiAwayError:
                if asyncio.get_running_loop().time() >= end:
                    raise
                await asyncio.sleep(AGAIN)
                continue
            return

    async def _greeted(self, one: Remote, order: Order, shard: int, count: int) -> Member | str:
        """Return the member, or why it can't be one."""
        try:
            offset, skew = await one.measure()
        except TargetError as error:
            return error.problem
        if skew > SKEW:
            await one.kill()
            return (
                f"its clock can't be told to within {SKEW * 1000:.0f} ms: its quickest answer took {skew * 2000:.0f} ms"
            )
        mine = replace(order, shard=shard, shards=count, origin=order.origin + offset, folder=load_jobs.FOLDER)
        await one.greet(mine)
        return Member(one, offset, skew)

    async def _why_absent(self, shard: int) -> str:
        why = f"it did not come within {self.patience:g} s"
        try:
            name = load_jobs.name(self.run)
            labels = f"batch.kubernetes.io/job-name={name},batch.kubernetes.io/job-completion-index={shard}"
            found = await within(CALL, self.api.list, PODS, self.run["metadata"]["namespace"], labels=labels)
        except AftershockError as error:
            return f"{why}, and its pod can't be asked for: {error.problem}"
        return f"{why}: {_state(found[0]) if found else 'there is no pod for it'}"

    async def remove(self) -> None:
        """Take the pods away. Never raises: they end by themselves as well."""
        name, namespace = load_jobs.name(self.run), self.run["metadata"]["namespace"]
        try:
            await within(CALL, self.api.delete, JOBS, name, namespace)
        except AftershockError as error:
            self.say(f"the Job {name} can't be deleted, and ends by itself: {error.problem}")


def _state(pod: Tree) -> str:
    """Say where a pod stands, and what keeps it there."""
    status = pod.get("status") or {}
    waiting = [
        one["state"]["waiting"] for one in status.get("containerStatuses") or [] if "waiting" in one.get("state", {})
    ]
    stuck = [one for one in status.get("conditions") or [] if one.get("status") == "False" and one.get("message")]
    why = next((f": {one.get('reason')} {one.get('message', '')}".rstrip() for one in [*waiting, *stuck]), "")
    return f"the pod {pod['metadata']['name']} is {status.get('phase') or 'Pending'}{why}"
