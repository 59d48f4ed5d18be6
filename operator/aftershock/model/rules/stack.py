"""What the parts of a Stack must be to each other, and what addresses and secrets look like."""

from aftershock.model import names
from aftershock.model.rules import cel
from aftershock.model.rules.making import (
    MORE_THAN_ZERO,
    SELECTOR,
    Cel,
    Findings,
    Rule,
    Rules,
    also,
    exactly_one,
    labels,
    more_than_zero,
    once,
    reference,
    texts,
    valid,
)
from aftershock.model.stack import (
    BasicAuth,
    Cache,
    Database,
    Failover,
    GdnsdControl,
    HttpAuth,
    HttpProbe,
    Indicator,
    LedgerProbe,
    Link,
    LinkedService,
    Member,
    Node,
    PidFileControl,
    PromqlProbe,
    ReadYourWritesProbe,
    Region,
    ReplicaLagProbe,
    Resolver,
    Setting,
    SharedLedgerProbe,
    SharedSide,
    SqlProbe,
    StackSpec,
    SupervisorControl,
    ToxiproxyServer,
    Way,
    Workload,
)

_NAMED = {"maxLength": 63}
"""What has to be the name of something is no longer than a name."""


@also(
    Cel("(self.role == 'replica') == has(self.of)", "a replica, and no other, says in `of` which database it follows"),
    of=_NAMED,
)
def _database_of(database: Database) -> Findings:
    if database.role == "replica" and database.of is None:
        yield ("of",), "missing for a replica", "name the database that it follows"
    if database.role == "primary" and database.of is not None:
        yield ("of",), "found on a primary", "write `role: replica`, or leave it out"


@also(Cel("!has(self.failover) || self.role == 'primary'", "only what takes writes fails over", at=".failover"))
def _fails_over(database: Database) -> Findings:
    if database.failover is not None and database.role != "primary":
        yield ("failover",), "found on a replica", "only what takes writes fails over: leave it out"


@also(members={"minItems": 2})
def _several_members(failover: Failover) -> Findings:
    if len(failover.members) < 2:
        yield ("members",), f"found {len(failover.members)}", "name two servers or more: from one nobody can take over"


_OF_A_SERVICE = ("toxiproxy", "proxy", "listen", "upstream")
"""What a link has none of that names a Service: it is all made for the run."""


@also(
    Cel(
        "has(self.service) ? " + " && ".join(f"!has(self.{name})" for name in _OF_A_SERVICE) + " : has(self.toxiproxy)",
        "name a `toxiproxy`, or a `service` that has one put in front of it, and not both",
    ),
    Cel(
        "has(self.service) || (has(self.proxy) ? !has(self.listen) && !has(self.upstream)"
        " : has(self.listen) && has(self.upstream))",
        "name a `proxy` that is there, or have one created with `listen` and `upstream`",
    ),
)
def _link_shape(link: Link) -> Findings:
    if link.service is not None:
        for name in _OF_A_SERVICE:
            if getattr(link, name) is not None:
                yield (name,), "found beside `service`", "leave it out: a Toxiproxy is put in front of the Service"
        return
    if link.toxiproxy is None:
        advice = "name the Toxiproxy that it passes through, or a `service` that has one put in front of it"
        yield (), "found neither `toxiproxy` nor `service`", advice
        return
    yield from _proxy_of(link)


def _proxy_of(link: Link) -> Findings:
    created = [name for name in ("listen", "upstream") if getattr(link, name) is not None]
    if link.proxy is not None and created:
        advice = "`proxy` names one that is there; `listen` and `upstream` create one"
        yield (created[0],), "found beside `proxy`", advice
    elif link.proxy is None and len(created) != 2:
        found = f"found only `{created[0]}`" if created else "found neither `proxy` nor `listen` and `upstream`"
        yield (), found, "name a `proxy` that is there, or have one created with `listen` and `upstream`"


@also(port={"minimum": 1, "maximum": 65535})
def _port_of_service(service: LinkedService) -> Findings:
    if not 1 <= service.port <= 65535:
        yield ("port",), f"found {service.port}", "write the number of a port of the Service, 1 to 65535"


@also(selector=SELECTOR, replicas={"minimum": 1})
def _workload_shape(workload: Workload) -> Findings:
    if workload.selector is not None:
        if not workload.selector:
            yield ("selector",), "an empty selector would choose every pod", "name labels of the workload"
        yield from labels(workload.selector, "selector")
    if workload.replicas is not None and workload.replicas < 1:
        yield ("replicas",), f"found {workload.replicas}", "write 1 or more"


@also(nodes=SELECTOR)
def _region_nodes(region: Region) -> Findings:
    if region.nodes is not None:
        if not region.nodes:
            yield ("nodes",), "an empty selector would choose every node", "name labels of the region's nodes"
        yield from labels(region.nodes, "nodes")


@also(
    Cel(
        "!has(self.gdnsd) || (has(self.host) && has(self.ways) && self.ways.size() >= 2)",
        "answers that can be held need a `host`, and two `ways` or more",
    ),
    ways={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["region"]},
)
def _ways_of_resolver(resolver: Resolver) -> Findings:
    first: dict[str, int] = {}
    for place, way in enumerate(resolver.ways):
        region = getattr(way, "region", None)
        if region is not None and first.setdefault(region, place) != place:
            yield ("ways", place, "region"), f"`{region}` stands twice in `ways`", "name each region once"
    if resolver.gdnsd is not None:
        if resolver.host is None:
            yield ("host",), "missing beside `gdnsd`", "write the name by which clients are led"
        if len(resolver.ways) < 2:
            advice = "name two regions or more, each with the address that clients are answered"
            yield ("ways",), f"found {len(resolver.ways)} beside `gdnsd`", advice


_HEADERS = {
    "additionalProperties": names.header_value.schema(),
    **valid(
        Cel(f"self.all(key, key.matches({cel.text(names.HEADER)}))", "its keys have to be names of HTTP headers"),
        Cel(
            f"self.all(key, !(key.lowerAscii() in {list(names.SECRET_HEADERS)}))",
            "a secret would stand in the document: use `auth`, which names where the secret comes from",
        ),
    ),
}


@also(headers=_HEADERS)
def _header_lines(probe: HttpProbe | LedgerProbe | ReadYourWritesProbe | SharedLedgerProbe) -> Findings:
    for key, value in probe.headers.items():
        for message, advice in (*names.header(key), *names.header_value(value)):
            yield ("headers", key), message, advice


@also(
    Cel("self.method != 'HEAD' || !has(self.contains)", "an answer to HEAD has no body", at=".contains"),
    expect={"minItems": 1, "items": {"minimum": 100, "maximum": 599}},
)
def _http_answers(probe: HttpProbe) -> Findings:
    if not probe.expect:
        yield ("expect",), "found no status", "name the statuses of a good answer, like [200]"
    for place, status in enumerate(probe.expect):
        if not 100 <= status <= 599:
            yield ("expect", place), f"found {status}", "an HTTP status is 100 to 599"
    if probe.method == "HEAD" and probe.contains is not None:
        yield ("contains",), "an answer to HEAD has no body", "ask with GET, or leave it out"


@also(
    Cel("!has(self.atLeast) || !has(self.atMost) || self.atLeast <= self.atMost", "no value is within", at=".atLeast")
)
def _promql_bounds(probe: PromqlProbe) -> Findings:
    if probe.at_least is not None and probe.at_most is not None and probe.at_least > probe.at_most:
        message = f"{probe.at_least:g} is more than `atMost`, {probe.at_most:g}"
        yield ("atLeast",), message, "no value is within; swap them"


@also(Cel("self.read.contains('{id}')", "a client reads what it wrote: write `{id}` in the URL", at=".read"))
def _reads_what_it_wrote(probe: ReadYourWritesProbe) -> Findings:
    if "{id}" not in probe.read:
        yield ("read",), f"no `{{id}}` in {probe.read!r}", "a client reads what it wrote: write `{id}` in the URL"


@also(Cel("self.at.contains('{id}')", "rows are told from each other: write `{id}` in the URL", at=".at"))
def _side_of_a_row(side: SharedSide) -> Findings:
    if "{id}" not in side.at:
        yield ("at",), f"no `{{id}}` in {side.at!r}", "rows are told from each other: write `{id}` in the URL"


@also(sides={"minItems": 2}, keys={"minimum": 1, "maximum": 1000})
def _several_sides(probe: SharedLedgerProbe) -> Findings:
    if len(probe.sides) < 2:
        yield ("sides",), f"found {len(probe.sides)}", "name two entry points or more: one alone loses against nobody"
    if not 1 <= probe.keys <= 1000:
        yield ("keys",), f"found {probe.keys}", "write 1 to 1000"


@also(
    every=valid(Cel(f"{cel.duration('self')} >= duration('1ms')", "probe each 1ms at the most often")),
    timeout=valid(MORE_THAN_ZERO),
)
def _indicator_times(indicator: Indicator) -> Findings:
    if indicator.every < 0.001:
        yield ("every",), f"found {indicator.every}", "probe each 1ms at the most often"
    if indicator.timeout <= 0:
        yield ("timeout",), f"found {indicator.timeout}", "write more than zero"


def _refers(items: str, field: str, to: str, *, always: bool = True) -> Cel:
    holds = f"has(self.{to}) && self.{to}.exists(known, known.name == one.{field})"
    asked = holds if always else f"!has(one.{field.partition('.')[0]}) || ({holds})"
    return Cel(cel.each(f"self.{items}", asked), f"`{field}` has to be one of `{to}` of this stack", at=f".{items}")


@also(
    _refers("links", "toxiproxy", to="toxiproxies", always=False),
    _refers("settings", "workload", to="workloads"),
    _refers("indicators", "sql.database", to="databases", always=False),
    Cel(
        cel.each(
            "self.indicators",
            "!has(one.replicaLag) || (has(self.databases) && self.databases.exists(known, known.role == 'replica'"
            " && known.name == one.replicaLag.database))",
        ),
        "`replicaLag.database` has to be a replica of this stack",
        at=".indicators",
    ),
)
def _stack_references(spec: StackSpec) -> Findings:
    databases, workloads = spec.databases, spec.workloads
    for place, link in enumerate(spec.links):
        wanted = getattr(link, "toxiproxy", None)
        yield from reference(("links", place, "toxiproxy"), wanted, spec.toxiproxies, "toxiproxy", "a toxiproxy")
    for place, setting in enumerate(spec.settings):
        wanted = getattr(setting, "workload", None)
        yield from reference(("settings", place, "workload"), wanted, workloads, "workload", "a workload")
    for place, indicator in enumerate(spec.indicators):
        wanted = getattr(getattr(indicator, "sql", None), "database", None)
        yield from reference(("indicators", place, "sql", "database"), wanted, databases, "database", "a database")
        wanted = getattr(getattr(indicator, "replica_lag", None), "database", None)
        replicas = [database for database in databases if getattr(database, "role", "replica") == "replica"]
        yield from reference(("indicators", place, "replicaLag", "database"), wanted, replicas, "replica", "a replica")


_FOLLOWED = "self.databases.exists(known, known.role == 'primary' && known.name == one.of)"


@also(
    Cel(
        cel.each("self.databases", f"!has(one.of) || {_FOLLOWED}"),
        "a replica follows a primary database of this stack",
        at=".databases",
    )
)
def _replicas_follow(spec: StackSpec) -> Findings:
    primaries = [database for database in spec.databases if getattr(database, "role", "primary") == "primary"]
    for place, database in enumerate(spec.databases):
        if getattr(database, "role", None) == "replica":
            yield from reference(("databases", place, "of"), database.of, primaries, "primary database", "a primary")


def _apart(field: str, *keys: str) -> Cel:
    """Two links are not one by what stands in these fields."""
    asked = " && ".join(f"has(one.{key.partition('.')[0]})" for key in keys)
    same = " && ".join(f"has(other.{key.partition('.')[0]}) && other.{key} == one.{key}" for key in keys)
    holds = cel.each("self.links", f"!({asked}) || self.links.exists_one(other, {same})")
    return Cel(holds, f"two links have the same {field}: a fault at one would be a fault at both", at=".links")


@also(
    _apart("proxy", "proxy", "toxiproxy"),
    _apart("listen", "listen", "toxiproxy"),
    _apart("service", "service.name", "service.port"),
)
def _links_are_apart(spec: StackSpec) -> Findings:
    for field in ("proxy", "listen", "service"):
        first: dict[tuple[object, ...], str] = {}
        for place, link in enumerate(spec.links):
            through = "" if field == "service" else getattr(link, "toxiproxy", None)
            where = (through, getattr(link, field, None))
            if None not in where and first.setdefault(where, link.name) != link.name:
                message = f"the same {field} as link `{first[where]}`"
                yield ("links", place, field), message, "a fault at one would be a fault at both: keep one of them"


def _nothing(_: object) -> Findings:
    """What is no name of the stack's is found by `_stack_references`."""
    yield from ()


_LISTS = ("toxiproxies", "databases", "caches", "links", "workloads", "regions", "nodes", "settings", "indicators")
RULES: Rules = {
    SupervisorControl: (texts(url=names.supervisor_url, program=names.called),),
    PidFileControl: (texts(path=names.something),),
    ToxiproxyServer: (texts(name=names.label, url=names.url),),
    Database: (texts(name=names.label, region=names.label), _database_of, _fails_over),
    Failover: (once("members"), _several_members),
    Member: (texts(name=names.label, url=names.manager_url),),
    Cache: (texts(name=names.label, region=names.label),),
    Link: (
        Rule(_nothing, fields={"toxiproxy": _NAMED}),
        texts(name=names.label, proxy=names.called, from_=names.label, to=names.label),
        texts(listen=names.address, upstream=names.address),
        _link_shape,
    ),
    LinkedService: (texts(name=names.service), _port_of_service),
    Workload: (
        texts(name=names.label, region=names.label),
        exactly_one("supervisor", "pid_file", "selector"),
        _workload_shape,
    ),
    Region: (texts(name=names.label), _region_nodes),
    Node: (texts(name=names.label, node=names.name),),
    Resolver: (texts(name=names.label, address=names.address, host=names.host), _ways_of_resolver),
    Way: (texts(region=names.label, address=names.ip_address),),
    GdnsdControl: (texts(admin_state=names.something, control=names.something),),
    Setting: (
        Rule(_nothing, fields={"workload": _NAMED}),
        texts(name=names.label, env=names.variable),
    ),
    BasicAuth: (texts(username=names.something),),
    HttpAuth: (exactly_one("bearer", "basic"),),
    HttpProbe: (texts(url=names.url), _header_lines, _http_answers),
    SqlProbe: (
        Rule(_nothing, fields={"database": _NAMED}),
        texts(query=names.something),
    ),
    PromqlProbe: (texts(url=names.url, query=names.something), _promql_bounds),
    LedgerProbe: (texts(write=names.url, read=names.url), _header_lines),
    SharedSide: (texts(at=names.url, log=names.url), _side_of_a_row),
    SharedLedgerProbe: (_header_lines, _several_sides),
    ReadYourWritesProbe: (texts(write=names.url, read=names.url), _header_lines, _reads_what_it_wrote),
    ReplicaLagProbe: (
        Rule(_nothing, fields={"database": _NAMED}),
        more_than_zero("below"),
    ),
    Indicator: (
        texts(name=names.label),
        exactly_one("http", "sql", "promql", "ledger", "shared_ledger", "read_your_writes", "replica_lag"),
        _indicator_times,
    ),
    StackSpec: (
        texts(era=names.name),
        *map(once, _LISTS),
        _stack_references,
        _replicas_follow,
        _links_are_apart,
    ),
}
