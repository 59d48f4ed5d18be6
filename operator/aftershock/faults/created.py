"""Proxies that exist only for a run: for a link that says `listen` and `upstream` instead of naming a proxy.

The executor calls `create` for every link of the stack before its baseline and `remove` when it cleans up; a proxy's name
is a lease of its own, `aftershock.link_<link>.<run>.<expiry>`, by which the reaper removes it when the executor can't.
"""

import re
from collections.abc import Mapping
from hashlib import sha256

from aftershock.adapters.threads import within
from aftershock.adapters.toxiproxy import DEADLINE, Proxy, Server, names
from aftershock.core.lease import Lease, parse
from aftershock.errors import InputError, TargetError
from aftershock.model.stack import Link, Stack

FAULT = "link"
"""The fault's place in the name of a created proxy."""


def server_of(stack: Stack, link: Link) -> Server:
    """Return the Toxiproxy that the link passes through. InputError if the stack names none such."""
    if link.service is not None:
        raise InputError(
            f"the link {link.name} passes through a Toxiproxy only while a run has put one in front of its Service",
            "run an experiment on the stack",
        )
    for each in stack.spec.toxiproxies:
        if each.name == link.toxiproxy:
            return Server(each.name, each.url)
    raise InputError(
        f"the link {link.name} passes through the Toxiproxy {link.toxiproxy}, which the stack doesn't name",
        "add it under `toxiproxies:`",
    )


async def create(stack: Stack, run: str, expires: int) -> list[str]:
    """Create the proxies of all links that need one; return their names. Twice is once.

    `run` is the run's token; `expires` the end of the whole run on Toxiproxy's clock, seconds since the epoch, plus grace.
    """
    made = []
    for link in stack.spec.links:
        if link.created:
            made.append(lease_name(link, run, expires))
            await within(3 * DEADLINE, _create, stack, link, made[-1])
    return made


async def remove(stack: Stack, run: str) -> None:
    """Delete the run's proxies, whatever their expiry. Twice is once."""
    for link in stack.spec.links:
        if link.created:
            await within(3 * DEADLINE, _remove, stack, link, run)


def lease_name(link: Link, run: str, expires: int) -> str:
    """Return what the link's proxy is called."""
    return Lease(FAULT, run, expires, part=part_of(link.name)).name


def part_of(link: str) -> str:
    """Return the link's name as far as a lease's name can carry it; a digest stands for the rest.

    >>> part_of("app-to-primary"), part_of("From the app to the primary, by way of the proxy")
    ('app-to-primary', 'from-the-app-to-daea1f35')
    """
    if re.fullmatch(r"[a-z0-9-]{1,24}", link):
        return link
    plain = re.sub(r"[^a-z0-9]+", "-", link.lower())[:15].strip("-")
    return f"{plain}-{sha256(link.encode()).hexdigest()[:8]}"


def proxy_of(link: Link, proxies: Mapping[str, Proxy], run: str) -> Proxy:
    """Return the link's proxy among a server's: the one that it names, or the one that this run created for it."""
    for name, proxy in proxies.items():
        if name == link.proxy or (link.proxy is None and _made_for(name, link, run)):
            return proxy
    wanted = f"the proxy {link.proxy}" if link.proxy else "a proxy that this run created"
    raise TargetError(
        f"the link {link.name} needs {wanted}; the Toxiproxy {link.toxiproxy} has: {names(proxies)}",
        "correct `proxy:` in the Stack, or give the link `listen:` and `upstream:` to have one created",
    )


def _made_for(name: str, link: Link, run: str) -> bool:
    lease = parse(name)
    return lease is not None and (lease.fault, lease.part, lease.run) == (FAULT, part_of(link.name), run)


def _create(stack: Stack, link: Link, name: str) -> None:
    if link.listen is None or link.upstream is None:
        raise InputError(f"the link {link.name} has no proxy", "give it `proxy:`, or `listen:` and `upstream:`")
    with server_of(stack, link) as server:
        server.create(Proxy(name, link.listen, link.upstream))


def _remove(stack: Stack, link: Link, run: str) -> None:
    with server_of(stack, link) as server:
        for name in server.proxies():
            if _made_for(name, link, run):
                server.delete(name)
