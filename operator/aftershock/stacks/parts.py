"""What a stack is made of: its parts, the links between them, and the names that both go by. Data alone; reads no file.

Says nothing of ports, folders or pods: those are the renderers'.
"""

from collections.abc import Mapping, Sequence
from typing import Literal
from urllib.parse import urlsplit

from aftershock.model.metadata import Record
from aftershock.model.problem import Path as Way
from aftershock.model.stack import Indicator, Setting

CLIENT = "client"
"""Where a link begins that no part stands before."""
SYNCHRONOUS = "SYNCHRONOUS"
"""The switch of a database that fails over."""


class Failover(Record, frozen=True, kw_only=True):
    """How a database comes to have another server when its own is lost: Patroni, with what it has to agree on in `store`.

    `members`: its servers, two of them. The database's own name is that of the door which leads to whichever takes the writes.
    Links between door, members and store lie in between where the stack has such. `env` are switches: `SYNCHRONOUS`, `on` or
    `off`, tells whether a write is acknowledged only when both servers have it.
    """

    manager: Literal["patroni"]
    store: str
    members: list[str]
    env: dict[str, str] = {}

    @property
    def synchronous(self) -> bool:
        """Whether a write is acknowledged only when both servers have it."""
        return self.env.get(SYNCHRONOUS) == "on"


class Store(Record, frozen=True, kw_only=True):
    """What keeps the few facts that servers have to agree on, as who of them takes the writes."""

    name: str
    program: Literal["etcd"]
    region: str | None = None


class Database(Record, frozen=True, kw_only=True):
    """A server. `settings` are PostgreSQL's own.

    A primary has one database, owned by the application's role `user`. A replica follows the primary `of` over the link
    `through`, has what that has, and its settings, but for those that it has of its own. Two primaries of different regions may
    each take over what the other one wrote: `merges` names the other, and `through` is the link that leads there.
    """

    name: str
    engine: Literal["postgresql"] = "postgresql"
    role: Literal["primary", "replica"] = "primary"
    database: str = ""
    user: str = ""
    of: str | None = None
    merges: str | None = None
    through: str | None = None
    region: str | None = None
    settings: dict[str, str] = {}
    failover: Failover | None = None


class Cache(Record, frozen=True, kw_only=True):
    """A cache. `settings` are Redis' own."""

    name: str
    engine: Literal["redis"] = "redis"
    region: str | None = None
    settings: dict[str, str] = {}


class Service(Record, frozen=True, kw_only=True):
    """A service. `database`, `replica` and `cache` are the links through which it reaches them; `env` are its switches.

    `follows`: the links through which it follows what services of other regions announce in their caches.
    """

    name: str
    program: Literal["meetings"]
    database: str
    replica: str | None = None
    cache: str | None = None
    follows: list[str] = []
    region: str | None = None
    env: dict[str, str] = {}


class Gateway(Record, frozen=True, kw_only=True):
    """What stands before services and spreads requests over them, through the links `to`.

    A service is asked for `health` each `every`, and left out while it does not answer 200; `affinity: cookie` keeps a
    client with the service that served it first.
    """

    name: str
    program: Literal["haproxy"]
    to: list[str]
    health: str = "/healthz"
    every: str = "500ms"
    affinity: Literal["cookie", "none"] = "cookie"
    region: str | None = None


class Resolver(Record, frozen=True, kw_only=True):
    """A DNS server that leads clients to a region, by the name `zone`.

    `to`: the links that clients come through, one for each region, the one that is preferred first. A region is asked for
    `health` every two seconds, through its link, and left out while it does not answer 200. An answer lives `lives` seconds.
    """

    name: str
    program: Literal["gdnsd"]
    zone: str
    to: list[str]
    health: str = "/readyz"
    lives: int = 1


class Toxiproxy(Record, frozen=True, kw_only=True):
    """A Toxiproxy, for links to pass through."""

    name: str


class Wire(Record, frozen=True, kw_only=True):
    """A link between two parts, or from a client, through a Toxiproxy."""

    name: str
    toxiproxy: str
    from_: str
    to: str


class Values(Record, frozen=True, kw_only=True):
    """A whole stack. In the URL of an indicator, a link that clients come through stands for its host and port; so does the
    `zone` of the resolver, by which clients are led to one of several.

    `regions`: names; each has an address of its own.
    """

    era: str
    environment: Literal["test", "staging"]
    regions: list[str] = []
    databases: list[Database]
    stores: list[Store] = []
    caches: list[Cache] = []
    services: list[Service]
    gateways: list[Gateway] = []
    resolver: Resolver | None = None
    toxiproxies: list[Toxiproxy]
    links: list[Wire]
    settings: list[Setting] = []
    indicators: list[Indicator] = []

    def link(self, name: str) -> Wire:
        """Return a link that is known to be there."""
        return next(link for link in self.links if link.name == name)

    def entry(self) -> Wire | None:
        """Return the first link that clients come through."""
        return next((link for link in self.links if link.from_ == CLIENT), None)

    def primary(self, database: Database) -> Database:
        """Return the primary that a database follows: itself, if it is one."""
        return next((each for each in self.databases if each.name == database.of), database)

    def primaries(self) -> list[Database]:
        """Return the databases that follow nobody."""
        return [each for each in self.databases if each.role == "primary"]

    def failing_over(self) -> list[tuple[Database, Failover]]:
        """Return the databases that have another server when theirs is lost."""
        return [(each, each.failover) for each in self.databases if each.failover is not None]

    def way(self, from_: str, to: str) -> str:
        """Return by what name one part reaches another: that of the link between them, or its own where there is none."""
        return next((link.name for link in self.links if (link.from_, link.to) == (from_, to)), to)

    def merging(self, database: Database) -> bool:
        """Tell whether the primary takes over what another one writes, or has its writes taken over."""
        return database.merges is not None or any(each.merges == database.name for each in self.databases)

    def joins(self, service: Service) -> bool:
        """Tell whether the service has its database take over what the other region's writes: that of the same region does."""
        database = self.behind(service.database)
        return database.merges is not None and database.region == service.region

    def region_of(self, link: Wire) -> str | None:
        """Return the region that a link leads into."""
        return self.regions_of_parts().get(link.to)

    def regions_of_parts(self) -> dict[str, str | None]:
        """Return the parts that run, all but Toxiproxies and the resolver: their regions, by name."""
        groups = (self.services, self.databases, self.stores, self.caches, self.gateways)
        parts = {each.name: each.region for group in groups for each in group}
        return parts | {name: each.region for each, failover in self.failing_over() for name in failover.members}

    def behind(self, link: str) -> Database:
        """Return the database that a link leads to, which is known to be one."""
        return next(each for each in self.databases if each.name == self.link(link).to)


def fill(url: str, addresses: Mapping[str, str]) -> str:
    """Put a link's address in the place of its name.

    >>> fill("http://client-to-app/notes/{id}", {"client-to-app": "127.0.0.1:8080"})
    'http://127.0.0.1:8080/notes/{id}'
    """
    host = urlsplit(url).netloc
    return url.replace(f"//{host}", f"//{addresses.get(host, host)}", 1)


def named(values: Values) -> dict[Way, str]:
    """Return the names of all parts and links, by the fields that hold them."""
    single: dict[Way, str] = {("resolver", "name"): values.resolver.name} if values.resolver else {}
    parts: dict[str, Sequence[Database | Store | Cache | Service | Gateway | Toxiproxy | Wire]] = {
        "databases": values.databases,
        "stores": values.stores,
        "caches": values.caches,
        "services": values.services,
        "gateways": values.gateways,
        "toxiproxies": values.toxiproxies,
        "links": values.links,
    }
    many: dict[Way, str] = {
        (field, place, "name"): each.name for field, listed in parts.items() for place, each in enumerate(listed)
    }
    members: dict[Way, str] = {
        ("databases", place, "failover", "members", number): name
        for place, each in enumerate(values.databases)
        if each.failover
        for number, name in enumerate(each.failover.members)
    }
    return {**many, **members, **single}


def urls(indicator: Indicator) -> dict[Way, str]:
    """Return every URL that an indicator asks, by the fields that hold it."""
    if indicator.http:
        return {("http", "url"): indicator.http.url}
    if indicator.ledger:
        return {("ledger", "write"): indicator.ledger.write, ("ledger", "read"): indicator.ledger.read}
    if (shared := indicator.shared_ledger) is not None:
        return {
            ("sharedLedger", "sides", place, field): getattr(side, field)
            for place, side in enumerate(shared.sides)
            for field in ("at", "log")
        }
    if (probe := indicator.read_your_writes) is not None:
        return {("readYourWrites", "write"): probe.write, ("readYourWrites", "read"): probe.read}
    return {("promql", "url"): indicator.promql.url} if indicator.promql else {}
