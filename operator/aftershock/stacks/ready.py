"""Is a local stack up? Asked of the stack itself: of supervisord, of Toxiproxy, and of the service as its clients do."""

import json
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException

from aftershock.adapters import supervisor
from aftershock.adapters.supervisor import Info
from aftershock.errors import TargetError
from aftershock.stacks import patroni, processes
from aftershock.stacks.layout import HOST, REAPER, Layout
from aftershock.stacks.parts import CLIENT, Values

DEADLINE = 60.0
"""Seconds that a stack may take to come up on a slow machine."""
PAUSE = 0.05

_FALLEN = ("BACKOFF", "EXITED", "FATAL", "STOPPED", "UNKNOWN")


class NotReady(Exception):
    """The stack is not up, and won't be by waiting longer: the message says why; `program` is the one at fault.

    `robbed`: somebody else listens on one of its ports.
    """

    def __init__(self, why: str, program: str, *, robbed: bool = False) -> None:
        super().__init__(why)
        self.program = program
        self.robbed = robbed


def wait(values: Values, layout: Layout, deadline: float = DEADLINE) -> None:
    """Wait until the stack is up. NotReady at once when it is clear that it won't be, else after `deadline` seconds."""
    end = time.monotonic() + deadline
    while missing := missing_now(values, layout):
        _own_ports(layout)
        if time.monotonic() > end:
            program, why = missing[0]
            raise NotReady(f"{why}, {deadline:.0f} s after it was started", program)
        time.sleep(PAUSE)


def missing_now(values: Values, layout: Layout) -> list[tuple[str, str]]:
    """Return (program, what is not so yet), empty when the stack is up. NotReady where waiting is no use."""
    try:
        _standing(supervisor.programs(layout.supervisor, deadline=2.0))
    except TargetError as error:
        return [("supervisord", error.problem)]
    return [
        *_proxies(values, layout),
        *_failing_over(values, layout),
        *_services(values, layout),
        *_gateways(values, layout),
        *_resolver(values, layout),
    ]


def _own_ports(layout: Layout) -> None:
    """Toxiproxy, for one, stays up when another has its port, and the other may accept connections and say nothing."""
    listening = processes.listening(layout.folder)
    for name, port in layout.ports.items():
        if listening.get(port) is False:
            raise NotReady(f"somebody else listens on {name}'s port {port}", name, robbed=True)


def _standing(programs: list[Info]) -> None:
    for each in programs:
        if each.program != REAPER and each.state in _FALLEN:
            raise NotReady(f"{each.program} is down ({each.state}: {each.because})", each.program)


def _proxies(values: Values, layout: Layout) -> Iterator[tuple[str, str]]:
    """Toxiproxy stays up when a port is taken: only its list of proxies tells. It is read before the API answers."""
    for toxiproxy in values.toxiproxies:
        found = ask(layout.ports[toxiproxy.name], "/proxies")
        if found is None:
            yield toxiproxy.name, f"the Toxiproxy {toxiproxy.name} does not answer"
            continue
        for link in values.links:
            proxy = found.get(link.name)
            if link.toxiproxy == toxiproxy.name and (not isinstance(proxy, dict) or not proxy.get("enabled")):
                raise NotReady(f"the Toxiproxy {toxiproxy.name} has no open proxy for {link.name}", toxiproxy.name)


def _failing_over(values: Values, layout: Layout) -> Iterator[tuple[str, str]]:
    """Ask what manages each database: it is up with one member, but could not fail over."""
    for database, failover in values.failing_over():
        patroni.agree(values, database, failover, layout)
        if why := patroni.missing(failover, layout) or patroni.uncarried(values, database, failover, layout):
            yield failover.members[0], f"{database.name} can't fail over yet: {why}"


def _services(values: Values, layout: Layout) -> Iterator[tuple[str, str]]:
    """Ask each service through the links that lead to it: only ours knows the instance."""
    for service in values.services:
        doors = [link.name for link in values.links if link.to == service.name] or [service.name]
        for door in doors:
            answer = ask(layout.ports[door], "/readyz", layout.host(door))
            if answer is None or answer.get("instance") != layout.instance:
                said = f": {answer['error']}" if answer and "error" in answer else ""
                yield service.name, f"{service.name} is not ready behind {door}{said}"


def _gateways(values: Values, layout: Layout) -> Iterator[tuple[str, str]]:
    """Ask a service through each gateway, as clients do: one that has not yet found a service healthy has none to ask."""
    for link in values.links:
        if link.from_ == CLIENT and link.to in {each.name for each in values.gateways}:
            answer = ask(layout.ports[link.name], "/readyz", layout.host(link.name))
            if answer is None or answer.get("instance") != layout.instance:
                yield link.to, f"no service is ready behind {link.to}"


def _resolver(values: Values, layout: Layout) -> Iterator[tuple[str, str]]:
    """Ask where clients are led: one that has not yet found the first region well leads elsewhere."""
    if (dns := values.resolver) is None:
        return
    from aftershock.probes.names import resolve_at  # noqa: PLC0415  # no other stack needs a DNS client

    wanted = layout.host(dns.to[0])
    try:
        found, _ = resolve_at(layout.address(dns.name), dns.zone, layout.ports[dns.to[0]])
    except OSError as error:
        yield dns.name, f"the DNS server {dns.name} does not lead to {dns.zone}: {error}"
        return
    if [address[0] for _, address in found] != [wanted]:
        yield dns.name, f"the DNS server {dns.name} leads to {found[0][1][0]}, and not to {wanted}"


def ask(port: int, path: str, host: str = HOST) -> dict[str, object] | None:
    """Return the JSON object that a server on this machine answers with; None for no answer, or another."""
    wire = HTTPConnection(host, port, timeout=1.0)
    try:
        wire.request("GET", path)
        answer = json.loads(wire.getresponse().read(1 << 20))
    except (OSError, HTTPException, ValueError):
        return None
    finally:
        wire.close()
    return answer if isinstance(answer, dict) else None
