"""From an era's values to what a local stack's parts read: the Stack file, secrets, proxies, configurations of their own.

Pure: what is decided elsewhere (ports, passwords, paths) comes in, text goes out.
"""

import json
from typing import Any

from aftershock.model.metadata import API_VERSION
from aftershock.model.write import dump_yaml, to_tree
from aftershock.stacks import gdnsd, haproxy, patroni, postgres, redis
from aftershock.stacks.layout import CACHES_OWN, Layout, manager, wanted_ports
from aftershock.stacks.parts import CLIENT, Cache, Database, Failover, Resolver, Service, Values, fill, urls


def secret_files(values: Values, layout: Layout) -> dict[str, str]:
    """Return the files that hold secrets, by their names in the folder: how to log in to each database, as the application's
    role and as an observer, and to each cache; the same for each service, through its links; and the caches' configurations.
    """
    files = {}
    for database in values.databases:
        files[f"{database.name}.dsn"] = _dsn(values, layout, database, database.name)
        for name in (database.name, *(database.failover.members if database.failover else ())):
            files[f"{name}.observer.dsn"] = _observer(values, layout, database, name)
    for cache in values.caches:
        password = layout.passwords[f"{cache.name}/{CACHES_OWN}"]
        files[f"{cache.name}.url"] = redis.url(layout.address(cache.name), password)
        files[f"{cache.name}.conf"] = redis.configuration(cache, layout.ports[cache.name], password, str(layout.folder))
    for service in values.services:
        files.update(_service(values, layout, service))
    return files


def _service(values: Values, layout: Layout, service: Service) -> dict[str, str]:
    files = {f"{service.name}.dsn": _dsn(values, layout, values.behind(service.database), service.database)}
    if service.replica is not None:
        files[f"{service.name}.replica.dsn"] = _dsn(values, layout, values.behind(service.replica), service.replica)
    if values.joins(service):
        files[f"{service.name}.peer.dsn"] = _peer(values, layout, values.behind(service.database))
    if service.cache is not None:
        files[f"{service.name}.cache"] = _cache_url(values, layout, service.cache)
    if service.follows:
        ways = {values.region_of(values.link(link)) or link: link for link in service.follows}
        lines = [f"{region} {_cache_url(values, layout, link)}\n" for region, link in ways.items()]
        files[f"{service.name}.caches"] = "".join(lines)
    return files


def _cache_url(values: Values, layout: Layout, link: str) -> str:
    return redis.url(layout.address(link), layout.passwords[f"{values.link(link).to}/{CACHES_OWN}"])


def _peer(values: Values, layout: Layout, database: Database) -> str:
    """Return how a database logs in to the one whose writes it takes over."""
    other = next(each for each in values.databases if each.name == database.merges)
    password = layout.passwords[f"{other.name}/{postgres.REPLICATION}"]
    return postgres.dsn(layout.ports[database.through or ""], postgres.REPLICATION, password, other.database)


def _dsn(values: Values, layout: Layout, database: Database, door: str) -> str:
    primary = values.primary(database)
    password = layout.passwords[f"{primary.name}/{primary.user}"]
    return postgres.dsn(layout.ports[door], primary.user, password, primary.database)


def _observer(values: Values, layout: Layout, database: Database, door: str) -> str:
    password = layout.passwords[f"{values.primary(database).name}/{postgres.SUPERUSER}"]
    return postgres.dsn(layout.ports[door], postgres.SUPERUSER, password, postgres.SUPERUSER)


def proxies(values: Values, layout: Layout, toxiproxy: str) -> str:
    """Return what a Toxiproxy is to be populated with, so that a restarted one comes back as it was."""
    return json.dumps(
        [
            {
                "name": link.name,
                "listen": layout.address(link.name),
                "upstream": layout.address(link.to),
                "enabled": True,
            }
            for link in values.links
            if link.toxiproxy == toxiproxy
        ],
        indent=1,
    )


def configurations(values: Values, layout: Layout) -> dict[str, str]:
    """Return the files without secrets that parts read, by their names in the stack's folder."""
    files = {f"{each.name}.json": proxies(values, layout, each.name) for each in values.toxiproxies}
    for gateway in values.gateways:
        doors = {values.link(link).to: layout.address(link) for link in gateway.to}
        files[f"{gateway.name}.cfg"] = haproxy.configuration(gateway, layout.address(gateway.name), doors)
    for database, failover in values.failing_over():
        members = {
            name: (layout.address(values.way(database.name, name)), layout.address(manager(name)))
            for name in failover.members
        }
        files[f"{database.name}.cfg"] = patroni.door(layout.address(database.name), members)
    return files


def resolver(values: Values, layout: Layout) -> dict[str, str]:
    """Return the DNS server's files, by their paths in its folder; none where the stack has no such."""
    if (dns := values.resolver) is None:
        return {}
    return gdnsd.files(dns, str(layout.folder / _dns(dns)), layout.address(dns.name), _ways(values, layout, dns))


def _dns(dns: Resolver) -> str:
    """Return the DNS server's folder, within the stack's."""
    return f"dns/{dns.name}"


def _ways(values: Values, layout: Layout, dns: Resolver) -> dict[str, str]:
    """Return the addresses and ports by which clients come into the regions, by their names."""
    return {values.region_of(values.link(link)) or link: layout.address(link) for link in dns.to}


def _resolver(values: Values, layout: Layout, dns: Resolver) -> dict[str, Any]:
    ways = _ways(values, layout, dns).items()
    return {
        "name": dns.name,
        "address": layout.address(dns.name),
        "host": dns.zone,
        "ways": [{"region": region, "address": address.rpartition(":")[0]} for region, address in ways],
        "gdnsd": gdnsd.control(_dns(dns)),
    }


def stack(values: Values, layout: Layout) -> str:
    """Return the Stack file. Paths in it are relative to its folder."""
    control = {name: {"url": layout.supervisor, "program": name} for name in wanted_ports(values)}
    spec: dict[str, Any] = {
        "era": values.era,
        "environment": values.environment,
        **({"resolver": _resolver(values, layout, values.resolver)} if values.resolver else {}),
        "toxiproxies": [
            {"name": each.name, "url": layout.url(each.name), "restart": {"supervisor": control[each.name]}}
            for each in values.toxiproxies
        ],
        "databases": [_database(each, layout) for each in values.databases],
        **({"caches": [_cache(each) for each in values.caches]} if values.caches else {}),
        "links": [
            {"name": link.name, "toxiproxy": link.toxiproxy, "proxy": link.name, "from": link.from_, "to": link.to}
            for link in values.links
        ],
        "workloads": [
            {"name": name, "supervisor": control[name], **_in_region(region)}
            for name, region in workloads(values).items()
        ],
        "settings": [to_tree(each) for each in values.settings],
        "indicators": _indicators(values, layout),
    }
    return dump_yaml({"apiVersion": API_VERSION, "kind": "Stack", "metadata": {"name": layout.name}, "spec": spec})


def workloads(values: Values) -> dict[str, str | None]:
    """Return the parts that faults of workloads may hit, all but Toxiproxies: their regions, by name."""
    return {**values.regions_of_parts(), **({values.resolver.name: None} if values.resolver else {})}


def _in_region(region: str | None) -> dict[str, str]:
    return {} if region is None else {"region": region}


def _database(each: Database, layout: Layout) -> dict[str, Any]:
    return {
        "name": each.name, "engine": each.engine, "role": each.role, **({"of": each.of} if each.of else {}),
        **_in_region(each.region),
        "dsn": {"file": f"secrets/{each.name}.dsn"}, "observer": {"file": f"secrets/{each.name}.observer.dsn"},
        **({"failover": _failover(each.failover, layout)} if each.failover else {}),
    }  # fmt: skip


def _failover(failover: Failover, layout: Layout) -> dict[str, Any]:
    members = [
        {"name": name, "observer": {"file": f"secrets/{name}.observer.dsn"}, "url": layout.url(manager(name))}
        for name in failover.members
    ]
    return {"manager": failover.manager, "members": members}


def _cache(each: Cache) -> dict[str, Any]:
    url = {"file": f"secrets/{each.name}.url"}
    return {"name": each.name, "engine": each.engine, **_in_region(each.region), "url": url}


def _indicators(values: Values, layout: Layout) -> list[dict[str, Any]]:
    """Return the indicators with addresses in the places of links."""
    addresses = {link.name: layout.address(link.name) for link in values.links if link.from_ == CLIENT}
    if (dns := values.resolver) is not None:
        addresses[dns.zone] = f"{dns.zone}:{layout.ports[dns.to[0]]}"
    trees = []
    for indicator in values.indicators:
        tree = to_tree(indicator)
        for way, url in urls(indicator).items():
            place: Any = tree
            for step in way[:-1]:
                place = place[step]
            place[way[-1]] = fill(url, addresses)
        trees.append(tree)
    return trees
