"""What was decided for one local stack: where it lies, which ports and passwords it has, and what its programs are. Data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aftershock.stacks import postgres
from aftershock.stacks.parts import Values, named

HOST = "127.0.0.1"
REAPER = "reaper"
"""The program that ends expired leases; a stack is up without it, but not whole."""
MANAGER = "manager"
"""Whom a failover manager obeys: a user of its own, who is none of the database's."""
STORES_OWN = "root"
"""The user of an etcd that may do all, and that has to be there for others to be refused."""
CACHES_OWN = "default"
"""The user of a Redis without users."""


@dataclass(frozen=True)
class Programs:
    """What is run: command lines, by program. `account` is the user that databases run as, None for our own.

    `installed`: paths of programs that were found on this machine, by their names. `lent`: how a program of this Python is run
    as the servers' account: what comes before it, and as whom it is to be started.
    """

    python: str
    toxiproxy: str
    databases: Mapping[str, list[str]]
    account: str | None
    installed: Mapping[str, str]
    lent: tuple[list[str], str | None] = ([], None)


@dataclass(frozen=True)
class Layout:
    """What was decided for one stack. `ports` by the name of part or link; `passwords` by part and role.

    `hosts`: where a link listens, if not at HOST: the ways into several regions share a port, and have an address each.
    """

    name: str
    folder: Path
    logs: Path
    supervisor: str
    ports: Mapping[str, int]
    passwords: Mapping[str, str]
    instance: str
    hosts: Mapping[str, str] = field(default_factory=dict)

    def host(self, name: str) -> str:
        """Return where a part or a link listens."""
        return self.hosts.get(name, HOST)

    def address(self, name: str) -> str:
        """Return host and port of a part or a link."""
        return f"{self.host(name)}:{self.ports[name]}"

    def url(self, name: str) -> str:
        """Return the URL of a part or a link."""
        return f"http://{self.address(name)}"

    def config(self, name: str, ending: str) -> Path:
        """Return where a part's own configuration lies."""
        return self.folder / f"{name}.{ending}"


def wanted_ports(values: Values) -> list[str]:
    """Return the names of all that listen: parts and links, and what manages a database's member."""
    managers = [manager(name) for _, failover in values.failing_over() for name in failover.members]
    return [*named(values).values(), *managers]


def manager(member: str) -> str:
    """Return what the port is called at which a member's manager answers. No part can have that name."""
    return f"{member}:manager"


def hosts(values: Values) -> dict[str, str]:
    """Return the addresses of the ways into regions: one of loopback's for each region, by link."""
    if values.resolver is None:
        return {}
    regions = {link: values.region_of(values.link(link)) or "" for link in values.resolver.to}
    return {link: f"127.0.{values.regions.index(region) + 1}.1" for link, region in regions.items()}


def shared(values: Values, ports: Mapping[str, int]) -> dict[str, int]:
    """Return ports with the same one for all ways into regions: an address record says nothing of ports."""
    if values.resolver is None:
        return dict(ports)
    return {**ports, **dict.fromkeys(values.resolver.to, ports[values.resolver.to[0]])}


def wanted_passwords(values: Values) -> list[str]:
    """Return the keys of `Layout.passwords`. A replica has its primary's roles."""
    followed = {each.of for each in values.databases} | {each.merges for each in values.databases}
    followed |= {each.name for each, _ in values.failing_over()}
    keys = []
    for each in values.primaries():
        roles = (each.user, postgres.SUPERUSER, *([postgres.REPLICATION] if each.name in followed else []))
        keys += [f"{each.name}/{role}" for role in (*roles, *([MANAGER] if each.failover else []))]
    keys += [f"{each.name}/{STORES_OWN}" for each in values.stores]
    return [*keys, *(f"{each.name}/{CACHES_OWN}" for each in values.caches)]
