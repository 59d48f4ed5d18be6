"""`Stack`: what is deployed. A target that no Stack names can't be hit."""

from typing import Literal

from aftershock.model.metadata import ApiVersion, Metadata, Record, Secret
from aftershock.model.units import Duration

TargetKind = Literal["database", "cache", "link", "workload", "region", "node", "part", "resolver", "load"]
"""What a fault can be held at: what a Stack names, or the experiment's load. A part is what links lead to."""


class SupervisorControl(Record, frozen=True, kw_only=True):
    """A program that supervisord keeps. `url` is `unix:///path/to.sock` or `http://127.0.0.1:port`."""

    url: str
    program: str


class PidFileControl(Record, frozen=True, kw_only=True):
    """A process whose id stands in a file. It can be killed and paused, but not held down or restarted."""

    path: str


class Restart(Record, frozen=True, kw_only=True):
    """How a wedged part is restarted. Typed: never a shell line."""

    supervisor: SupervisorControl


class ToxiproxyServer(Record, frozen=True, kw_only=True):
    """A Toxiproxy and its API's address."""

    name: str
    url: str
    restart: Restart | None = None


class Member(Record, frozen=True, kw_only=True):
    """One of the servers that a database can have. `name` is that of its workload; `observer` logs in to this very server; at
    `url` its manager answers (Patroni's REST API).
    """

    name: str
    observer: Secret
    url: str


class Failover(Record, frozen=True, kw_only=True):
    """Who gives a database another server when its own is lost, and which servers those are."""

    manager: Literal["patroni"]
    members: list[Member]


class Database(Record, frozen=True, kw_only=True):
    """A database, reached directly and not through a pooler: faults need sessions of their own.

    `dsn` logs in as the application's role. `observer`, where given, logs in as a role that may use reserved slots and
    see every session; without it the observer connects as the application's role before anything is injected. Where it fails
    over, `dsn` and `observer` lead to whichever server takes the writes.
    """

    name: str
    engine: Literal["postgresql"] = "postgresql"
    role: Literal["primary", "replica"] = "primary"
    of: str | None = None
    dsn: Secret
    observer: Secret | None = None
    region: str | None = None
    failover: Failover | None = None

    @property
    def servers(self) -> list[str]:
        """The names of the workloads that it can be: its own, or those of its members."""
        return [self.name] if self.failover is None else [each.name for each in self.failover.members]


class LinkedService(Record, frozen=True, kw_only=True):
    """A port of a Kubernetes Service in the Stack's own namespace, by its number."""

    name: str
    port: int


class Cache(Record, frozen=True, kw_only=True):
    """A cache, reached directly. `url` is `redis://:password@host:port/database`, and as secret as its password."""

    name: str
    engine: Literal["redis"] = "redis"
    url: Secret
    region: str | None = None


class Link(Record, frozen=True, kw_only=True):
    """A connection that passes through Toxiproxy.

    Either `proxy` names a proxy that is there, or `listen` and `upstream` (both `host:port`) have one created for the
    run and removed with its lease. Or the link names a `service` of a cluster and no `toxiproxy`: for the length of the run
    a Toxiproxy pod is put in front of that Service, and nothing of the application has to change.
    """

    name: str
    toxiproxy: str | None = None
    proxy: str | None = None
    listen: str | None = None
    upstream: str | None = None
    service: LinkedService | None = None
    from_: str | None = None
    to: str | None = None

    @property
    def created(self) -> bool:
        """Tell whether its proxy is created for a run. One before a Service has a Toxiproxy of its own instead."""
        return self.proxy is None and self.service is None


class Workload(Record, frozen=True, kw_only=True):
    """A part that runs. Locally: kept by supervisord, or known by a pid file. In a cluster: chosen by `selector`."""

    name: str
    supervisor: SupervisorControl | None = None
    pid_file: PidFileControl | None = None
    selector: dict[str, str] | None = None
    region: str | None = None
    replicas: int | None = None


class Region(Record, frozen=True, kw_only=True):
    """A part of the world that can be lost as a whole. Workloads and databases say with `region` that they are in it.

    `nodes` are the labels of its nodes in a cluster; without them it can be cut off, but not evacuated. A region without
    nodes need not stand here: it is enough that a workload or database names it.
    """

    name: str
    nodes: dict[str, str] | None = None


class Node(Record, frozen=True, kw_only=True):
    """A node of the cluster that may be drained. `node` is what Kubernetes calls it, if not `name`."""

    name: str
    node: str | None = None


class Way(Record, frozen=True, kw_only=True):
    """The address to which a DNS server leads clients of a region."""

    region: str
    address: str


class GdnsdControl(Record, frozen=True, kw_only=True):
    """A gdnsd on this machine. `adminState` is its file of forced states, `control` its control socket.

    In gdnsd's own words: `admin_state` in its `state_dir`, and `control.sock` in its `run_dir`.
    """

    admin_state: str
    control: str


class Resolver(Record, frozen=True, kw_only=True):
    """A DNS server that leads clients. `host` is the name by which it leads them, `ways` are where it leads them to.

    With `gdnsd`, its answers can be held; that needs `host`, and two `ways` at least.
    """

    name: str
    address: str
    host: str | None = None
    ways: list[Way] = []
    gdnsd: GdnsdControl | None = None


class Setting(Record, frozen=True, kw_only=True):
    """An environment variable of a workload that mitigations may change."""

    name: str
    workload: str
    env: str


class BasicAuth(Record, frozen=True, kw_only=True):
    """HTTP basic authentication."""

    username: str
    password: Secret


class HttpAuth(Record, frozen=True, kw_only=True):
    """Exactly one of the two."""

    bearer: Secret | None = None
    basic: BasicAuth | None = None


class HttpProbe(Record, frozen=True, kw_only=True):
    """One HTTP/1.1 request. Good: the status is one of `expect` and, if given, the body contains `contains`."""

    url: str
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    headers: dict[str, str] = {}
    body: str | None = None
    expect: tuple[int, ...] = (200,)
    contains: str | None = None
    auth: HttpAuth | None = None
    connection: Literal["keep-alive", "new"] = "keep-alive"


class SqlProbe(Record, frozen=True, kw_only=True):
    """One query against a database of the stack. Good: it answers; with `expect`, its first value equals it as text."""

    database: str
    query: str
    expect: str | None = None


class PromqlProbe(Record, frozen=True, kw_only=True):
    """One instant query. Good: exactly one sample, within `atLeast` and `atMost`. No sample is missing data, not good."""

    url: str
    query: str
    at_least: float | None = None
    at_most: float | None = None
    auth: HttpAuth | None = None


class LedgerProbe(Record, frozen=True, kw_only=True):
    """Writes through an entry point and reads back what was acknowledged.

    `write` gets `POST {"id": …, "text": …}` and acknowledges with 2xx. `read` answers with a JSON list of ids, or of
    objects with an `id` (an object with one such list in it will do); with `{id}` in its URL it is asked once an id,
    200 meaning there and 404 gone.
    """

    write: str
    read: str
    headers: dict[str, str] = {}
    auth: HttpAuth | None = None


class SharedSide(Record, frozen=True, kw_only=True):
    """One of several entry points to the same rows: `at` has `{id}` in it.

    `PUT {"text": …}` there writes the row, and is acknowledged with 2xx and `{"replaced": …}`, the text that stood there
    before, null where none did. `GET` answers `{"text": …}`, or 404. `log` answers with a JSON list of `{"lost": …}`: the texts
    that were acknowledged and lost against another side's.
    """

    at: str
    log: str


class SharedLedgerProbe(Record, frozen=True, kw_only=True):
    """Writes the same few rows through several entry points by turns, and counts which acknowledged writes were lost.

    Lost is what nobody replaced and what is not there in the end. The log of conflicts has to name the same.
    """

    sides: list[SharedSide]
    keys: int = 4
    headers: dict[str, str] = {}
    auth: HttpAuth | None = None


class ReadYourWritesProbe(Record, frozen=True, kw_only=True):
    """Writes through an entry point and reads the same at once, as a client does that wants to see what it has just done.

    `write` gets `POST {"id": …, "text": …}` and acknowledges with 2xx. `read` has `{id}` in its URL; it is asked with the
    cookies that came with the acknowledgement. 200 is fresh, and good; 404 is stale.
    """

    write: str
    read: str
    headers: dict[str, str] = {}
    auth: HttpAuth | None = None


class ReplicaLagProbe(Record, frozen=True, kw_only=True):
    """A heartbeat on the primary that `database`, a replica, follows: its latency is how far behind the replica is.

    That is the age of the oldest heartbeat that the replica doesn't have yet, and 0 if it has all. Good: it could be
    measured; with `below`, it is less than that. Needs PostgreSQL on both sides, and no table.
    """

    database: str
    below: Duration | None = None


class Indicator(Record, frozen=True, kw_only=True):
    """Something measured from a client's side, each `every`; no answer within `timeout` is a failure. One probe kind."""

    name: str
    every: Duration = Duration(0.1)
    timeout: Duration = Duration(2.0)
    http: HttpProbe | None = None
    sql: SqlProbe | None = None
    promql: PromqlProbe | None = None
    ledger: LedgerProbe | None = None
    shared_ledger: SharedLedgerProbe | None = None
    read_your_writes: ReadYourWritesProbe | None = None
    replica_lag: ReplicaLagProbe | None = None


class Allow(Record, frozen=True, kw_only=True):
    """What is forbidden unless both Stack and Experiment allow it.

    `production`: to run on a stack whose environment that is. `collateral`: to let suffer what belongs to nobody in the
    Stack, like other clients of a database whose slots are taken.
    """

    production: bool = False
    collateral: bool = False


class StackSpec(Record, frozen=True, kw_only=True):
    """Databases, caches, workloads, links, regions, entry points and indicators of one deployment.

    `resolver`: the DNS server that is asked for the host names in the indicators' URLs, as often as its answers live; for names
    that it refuses, as none of its own, and without it the system is asked.
    """

    era: str
    environment: Literal["test", "staging", "production"]
    resolver: Resolver | None = None
    allow: Allow = Allow()
    toxiproxies: list[ToxiproxyServer] = []
    databases: list[Database] = []
    caches: list[Cache] = []
    links: list[Link] = []
    workloads: list[Workload] = []
    regions: list[Region] = []
    nodes: list[Node] = []
    settings: list[Setting] = []
    indicators: list[Indicator] = []


class Stack(Record, frozen=True, kw_only=True, tag_field="kind", tag="Stack"):
    """What is deployed, and how its clients see it."""

    api_version: ApiVersion
    metadata: Metadata
    spec: StackSpec
