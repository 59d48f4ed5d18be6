"""A Toxiproxy as a place: toxics and proxies that bear our name, and the restart of one that is wedged."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from aftershock.adapters import lastseen, supervisor
from aftershock.adapters.threads import within
from aftershock.adapters.toxiproxy import Proxy, Server, Toxic
from aftershock.core.lease import Lease, parse
from aftershock.errors import TargetError
from aftershock.faults import created, link_down
from aftershock.model.stack import SupervisorControl, ToxiproxyServer
from aftershock.runtime.place import HEAL, LOOK, Looked, Trace, undo_all

RESTARTED = 8.0
"""Seconds that a restarted Toxiproxy may take to answer again."""


class ToxiproxyPlace:
    """Toxics that bear our name; disabled proxies with a companion that does; proxies that were created for a run."""

    costly = False

    def __init__(self, spec: ToxiproxyServer, folder: Path) -> None:
        self.name = f"Toxiproxy {spec.name}"
        self.spec, self.folder = spec, folder
        self.server = Server(spec.name, spec.url)

    async def look(self) -> Looked:
        """Read every proxy with its toxics, and remember them for a repair."""
        return await within(LOOK, self._look)

    async def heal(self, traces: list[Trace]) -> list[str]:
        """Remove toxics first, then proxies."""
        return await within(HEAL, undo_all, sorted(traces, key=lambda trace: trace.lease.fault == created.FAULT))

    async def repair(self, due: Callable[[Lease, float], bool]) -> list[str]:
        """Restart it if it was last seen with something of ours that is due, and put back what it held besides."""
        return await within(HEAL, self._repair, due)

    def close(self) -> None:
        """Let go of connections."""
        self.server.close()

    def _look(self) -> Looked:
        proxies = self.server.proxies()
        lastseen.remember(self.folder, self.server.name, proxies)
        return Looked(self.server.now(), list(self._traces(proxies)))

    def _traces(self, proxies: dict[str, Proxy]) -> Iterator[Trace]:
        for proxy in proxies.values():
            for toxic in proxy.toxics:
                if lease := parse(toxic.name):
                    yield self._toxic(lease, proxy, toxic)
            if (lease := parse(proxy.name)) and lease.fault == created.FAULT:
                what = f"the proxy {proxy.name} of {self.name}"
                yield Trace(lease, what, lambda name=proxy.name: self.server.delete(name))  # type: ignore[misc]

    def _toxic(self, lease: Lease, proxy: Proxy, toxic: Toxic) -> Trace:
        if toxic.type == link_down.COMPANION:
            what = f"the disabled proxy {proxy.name} of {self.name} ({toxic.name})"
            return Trace(lease, what, lambda: link_down.revive(self.server, proxy.name, toxic.name))
        what = f"the toxic {toxic.name} of the proxy {proxy.name} of {self.name}"
        return Trace(lease, what, lambda: self.server.remove_toxic(proxy.name, toxic.name))

    def _repair(self, due: Callable[[Lease, float], bool]) -> list[str]:
        """A wedged server can't say what it holds; what it was last seen with says whether the wedge can be ours."""
        held = lastseen.recall(self.folder, self.server.name)
        now = self.server.now()
        if not any(due(trace.lease, now) for trace in self._traces(held)):
            raise TargetError(
                f"{self.name} is wedged, but nothing of ours that is past its lease was last seen there",
                "restart it, if nobody else is about to",
            )
        if self.spec.restart is None:
            raise TargetError(
                f"{self.name} is wedged (a client that stops reading makes the removal of a toxic hang), and the Stack"
                " doesn't say how to restart it",
                f"restart the Toxiproxy at {self.spec.url} by hand, then `aftershock reap`; or add `restart:` to the Stack",
            )
        self.server.close()
        restart(self.server, self.spec.restart.supervisor)
        put_back(self.server, held, lambda name: (lease := parse(name)) is not None and due(lease, now))
        return [f"{self.name} was wedged; it was restarted, and has its {len(held)} proxies again"]


def restart(server: Server, control: SupervisorControl) -> None:
    """Kill it (a wedged one doesn't end when asked to) and wait until it answers again."""
    wedged = supervisor.info(control).pid
    if wedged:
        supervisor.signal(control, "KILL")
    end = time.monotonic() + RESTARTED
    while time.monotonic() < end:
        told = supervisor.info(control)
        if told.state in {"STOPPED", "EXITED", "FATAL"}:
            supervisor.start(control)
        if told.pid not in {None, wedged} and server.alive():
            return
        time.sleep(0.05)
    raise TargetError(
        f"Toxiproxy {server.name} doesn't answer after its restart", f"see {supervisor.info(control).log}"
    )


def put_back(server: Server, held: dict[str, Proxy], gone: Callable[[str], bool]) -> None:
    """Give a server back what it held, except what is `gone` by its name: whose lease is over."""
    there = server.proxies()
    wanted = [proxy for proxy in held.values() if not gone(proxy.name)]
    server.populate([_as_it_was(proxy) for proxy in wanted if proxy.name not in there])
    for proxy in wanted:
        for toxic in proxy.toxics:
            if not gone(toxic.name):
                server.add_toxic(proxy.name, toxic)


def _as_it_was(proxy: Proxy) -> Proxy:
    """A proxy that was disabled by one of our companions comes back enabled: the restart has healed it."""
    ours = any(parse(toxic.name) for toxic in proxy.toxics)
    return Proxy(proxy.name, proxy.listen, proxy.upstream, proxy.enabled or ours)
