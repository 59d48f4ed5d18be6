"""What is wrong with a stack as a whole, though each of its parts can be read: names taken twice, links to nowhere. Pure."""

from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

from aftershock.model.problem import Path as Way
from aftershock.model.problem import choose
from aftershock.stacks.parts import CLIENT, SYNCHRONOUS, Service, Values, named, urls

Contradictions = Iterator[tuple[Way, str, str]]
"""Each as the way to a field, what is wrong with it, and what would do."""

_OURS = {
    "config_file", "data_directory", "dynamic_shared_memory_type", "hba_file", "listen_addresses", "port",
    "primary_conninfo", "primary_slot_name", "synchronized_standby_slots", "unix_socket_directories",
}  # fmt: skip
_OURS_OF_CACHES = {"bind", "dir", "port", "requirepass", "unixsocket"}


def contradictions(values: Values) -> Contradictions:
    """Yield everything that keeps the stack from being one."""
    looks = (
        _names,
        _regions,
        _links,
        _databases,
        _merging,
        _failing_over,
        _services,
        _gateways,
        _resolver,
        _switches,
        _settings,
        _urls,
    )
    for look in looks:
        yield from look(values)


def _names(values: Values) -> Contradictions:
    """Parts and links share one set of names: each becomes a program, a port or a proxy of its own."""
    listed = named(values)
    counted = Counter(listed.values())
    for way, name in listed.items():
        if name == CLIENT or counted[name] > 1:
            yield way, f"`{name}` is taken", "give every part and link a name of its own"
        if not name.replace("-", "").isalnum() or name != name.lower() or not name.isascii():
            yield way, f"`{name}` is no name", "use a-z, 0-9 and `-`"


def _regions(values: Values) -> Contradictions:
    told = [("databases", place, each.region) for place, each in enumerate(values.databases)]
    told += [("stores", place, each.region) for place, each in enumerate(values.stores)]
    told += [("caches", place, each.region) for place, each in enumerate(values.caches)]
    told += [("services", place, each.region) for place, each in enumerate(values.services)]
    told += [("gateways", place, each.region) for place, each in enumerate(values.gateways)]
    for field, place, region in told:
        if region is not None and region not in values.regions:
            yield (
                (field, place, "region"),
                f"`{region}` is not there",
                choose(region, values.regions, "add it to `regions`"),
            )


def _links(values: Values) -> Contradictions:
    parts = list(values.regions_of_parts())
    proxies = [each.name for each in values.toxiproxies]
    for place, link in enumerate(values.links):
        for field, found, known in (
            ("toxiproxy", link.toxiproxy, proxies), ("to", link.to, parts), ("from", link.from_, [*parts, CLIENT]),
        ):  # fmt: skip
            if found not in known:
                yield ("links", place, field), f"`{found}` is not there", choose(found, known)


def _databases(values: Values) -> Contradictions:
    primaries = [each.name for each in values.primaries()]
    for place, database in enumerate(values.databases):
        way: Way = ("databases", place)
        if database.role == "primary":
            followed = database.of or (database.through if database.merges is None else None)
            yield from _primary(way, database.database, database.user, followed=followed)
        elif database.of not in primaries:
            found = f"`{database.of}` is no primary" if database.of else "missing for a replica"
            yield (*way, "of"), found, choose(database.of or "", primaries, "name the database that it follows")
        else:
            ways = _leading(values, [database.of])
            if database.through not in ways:
                found = (
                    f"`{database.through}` is no link to `{database.of}`"
                    if database.through
                    else "missing for a replica"
                )
                yield (*way, "through"), found, choose(database.through or "", ways, "add such a link")


def _merging(values: Values) -> Contradictions:
    """Two primaries take over what the other wrote, each through a link that leads there."""
    others = {each.name: each.merges for each in values.databases if each.role == "primary" and each.merges}
    for place, database in enumerate(values.databases):
        if database.merges is None:
            continue
        way: Way = ("databases", place)
        if others.get(database.merges) != database.name:
            yield (*way, "merges"), f"`{database.merges}` does not merge with `{database.name}`", "name two that do"
        if database.through not in (ways := _leading(values, [database.merges])):
            found = f"`{database.through}` is no link to `{database.merges}`"
            yield (*way, "through"), found, choose(database.through or "", ways, "add such a link")
        if database.settings.get("wal_level") != "logical":
            yield (*way, "settings"), "no `wal_level: logical`", "add it: nothing can be taken over otherwise"


def _failing_over(values: Values) -> Contradictions:
    stores = [each.name for each in values.stores]
    for place, database in enumerate(values.databases):
        if (failover := database.failover) is None:
            continue
        way: Way = ("databases", place, "failover")
        if database.role != "primary":
            yield way, "found on a replica", "a replica can be had again: leave it out"
        if len(failover.members) != 2:
            yield (*way, "members"), f"found {len(failover.members)}", "name two servers, each by a name of its own"
        if failover.store not in stores:
            yield (
                (*way, "store"),
                f"`{failover.store}` is not there",
                choose(failover.store, stores, "add it to `stores`"),
            )
        if any(each.of == database.name for each in values.databases):
            yield way, "another database follows this one", "its own members follow each other: leave the replica out"
        if failover.env.get(SYNCHRONOUS, "off") not in {"on", "off"}:
            yield (*way, "env", SYNCHRONOUS), f"found {failover.env[SYNCHRONOUS]!r}", "write on or off"


def _resolver(values: Values) -> Contradictions:
    if (dns := values.resolver) is None:
        return
    entries = [link.name for link in values.links if link.from_ == CLIENT]
    led: set[str | None] = set()
    for place, found in enumerate(dns.to):
        if found not in entries:
            yield ("resolver", "to", place), f"`{found}` is no link that clients come through", choose(found, entries)
            continue
        region = values.region_of(values.link(found))
        if region not in values.regions or region in led:
            yield ("resolver", "to", place), "does not lead into a region of its own", "name one link for each region"
        led.add(region)
    if not dns.to:
        yield ("resolver", "to"), "leads nowhere", "name the links into the regions"
    if dns.zone in entries or not all(part.isalnum() for part in dns.zone.replace("-", "").split(".")):
        yield ("resolver", "zone"), f"found {dns.zone!r}", "write a name of its own, like meetings.test"


def _primary(way: Way, database: str, user: str, *, followed: str | None) -> Contradictions:
    for field, found in (("database", database), ("user", user)):
        if not found:
            yield (*way, field), "missing for a primary", "name it"
    if followed:
        yield (*way, "of"), "found on a primary", "write `role: replica`, or leave `of` and `through` out"


def _leading(values: Values, parts: list[str]) -> list[str]:
    """Return the links that lead to any of the parts."""
    return [link.name for link in values.links if link.to in parts]


def _services(values: Values) -> Contradictions:
    replicas = [each.name for each in values.databases if each.role == "replica"]
    kinds = (
        ("database", "a database", [each.name for each in values.databases]),
        ("replica", "a replica", replicas),
        ("cache", "a cache", [each.name for each in values.caches]),
    )
    for place, service in enumerate(values.services):
        for field, what, parts in kinds:
            found = getattr(service, field)
            ways = _leading(values, parts)
            if found is not None and found not in ways:
                message = f"`{found}` is no link to {what}"
                yield ("services", place, field), message, choose(found, ways, "add such a link")
        yield from _follows(values, ("services", place), service)


def _follows(values: Values, way: Way, service: Service) -> Contradictions:
    """What is announced lies in caches of other regions, one a region; and it is withheld in the service's own."""
    elsewhere = [each.name for each in values.caches if each.region not in (None, service.region)]
    ways, seen = _leading(values, elsewhere), set[str | None]()
    for number, found in enumerate(service.follows):
        if found not in ways:
            message = f"`{found}` is no link to a cache of another region"
            yield (*way, "follows", number), message, choose(found, ways, "add such a link")
            continue
        region = values.region_of(values.link(found))
        if region in seen:
            yield (*way, "follows", number), f"`{region}` is followed already", "name one link for each region"
        seen.add(region)
    if service.follows and service.cache is None:
        yield (*way, "follows"), "found on a service without a cache", "name its `cache`"


def _gateways(values: Values) -> Contradictions:
    ways = _leading(values, [each.name for each in values.services])
    for place, gateway in enumerate(values.gateways):
        if not gateway.to:
            yield ("gateways", place, "to"), "leads nowhere", "name the links to its services"
        for number, found in enumerate(gateway.to):
            if found not in ways:
                message = f"`{found}` is no link to a service"
                yield ("gateways", place, "to", number), message, choose(found, ways, "add such a link")
        if not gateway.health.startswith("/") or not gateway.health.isprintable() or " " in gateway.health:
            yield ("gateways", place, "health"), f"found {gateway.health!r}", "write a path, like /healthz"
        if not gateway.every.removesuffix("ms").removesuffix("s").isdecimal():
            yield ("gateways", place, "every"), f"found {gateway.every!r}", "write it like 500ms"


def _switches(values: Values) -> Contradictions:
    switches = {service.name: list(service.env) for service in values.services}
    switches |= {each.name: list(failover.env) for each, failover in values.failing_over()}
    for place, setting in enumerate(values.settings):
        known = switches.get(setting.workload, [])
        if setting.env not in known:
            message = f"`{setting.workload}` has no switch `{setting.env}`"
            yield ("settings", place, "env"), message, choose(setting.env, known, "add it to the service's `env:`")


def _settings(values: Values) -> Contradictions:
    told = [("databases", place, _OURS & set(each.settings)) for place, each in enumerate(values.databases)]
    told += [("caches", place, _OURS_OF_CACHES & set(each.settings)) for place, each in enumerate(values.caches)]
    for field, place, chosen in told:
        for name in sorted(chosen):
            yield (field, place, "settings", name), "is not to be chosen", "leave it out"


def _urls(values: Values) -> Contradictions:
    entries = [link.name for link in values.links if link.from_ == CLIENT]
    entries += [values.resolver.zone] if values.resolver else []
    for place, indicator in enumerate(values.indicators):
        for way, url in urls(indicator).items():
            if (host := urlsplit(url).netloc) not in entries:
                advice = choose(host, entries, f"add a link `from: {CLIENT}`")
                yield ("indicators", place, *way), f"`{host}` is no link that clients come through", advice
