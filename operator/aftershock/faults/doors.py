"""Doors of pods: the ports that a client can really connect to, as a canary's view beside the API's.

An object that is gone from the API may still run for seconds, and one that is there may be cut off. Where no door of any
pod can be reached from here, the canary says so, and proves nothing.
"""

import asyncio
from collections.abc import Iterable

import msgspec

from aftershock.adapters.canary import Line, knock
from aftershock.faults.cluster import Tree, uid_of

KNOCK = 0.5
"""Seconds that a connection may take."""

MOST = 20
"""Doors that are knocked at, of however many pods."""


class Door(msgspec.Struct, frozen=True):
    """One port of one pod."""

    pod: str
    uid: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.pod} ({self.host}:{self.port})"


async def found(pods: Iterable[Tree]) -> list[Door]:
    """Return the doors of these pods at which somebody opens now."""
    return await opening([door for pod in pods for door in _doors(pod)][:MOST])


async def opening(doors: Iterable[Door]) -> list[Door]:
    """Return those of the doors at which somebody opens now."""
    asked = list(doors)
    answers = await asyncio.gather(*(knock(Line(door.host, door.port), KNOCK) for door in asked))
    return [door for door, talk in zip(asked, answers, strict=True) if talk.end == "answered"]


def still(doors: Iterable[Door], there: Iterable[Tree]) -> list[Door]:
    """Return the doors whose address no other pod has got meanwhile: who opens there is who did."""
    now = {(pod.get("status") or {}).get("podIP"): uid_of(pod) for pod in there}
    return [door for door in doors if now.get(door.host, door.uid) == door.uid]


def _doors(pod: Tree) -> list[Door]:
    """Return the first TCP port that a pod's containers declare, if it has an address."""
    host = (pod.get("status") or {}).get("podIP")
    ports = [
        int(port["containerPort"])
        for container in pod["spec"].get("containers") or []
        for port in container.get("ports") or []
        if port.get("protocol", "TCP") == "TCP"
    ]
    return [Door(pod["metadata"]["name"], uid_of(pod), host, ports[0])] if host and ports else []


def told(doors: Iterable[Door], open_: Iterable[Door]) -> str:
    """Say what the canary found, as the end of a sentence."""
    count, answered = len(list(doors)), [str(door) for door in open_]
    if not count:
        return "no canary could reach a port of theirs, so this is the API's word alone"
    if answered:
        return f"a canary still gets through to {', '.join(answered[:3])}"
    return f"a canary that got through to {count} of them is not let in any more"
