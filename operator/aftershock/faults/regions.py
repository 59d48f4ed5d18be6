"""Which parts of a stack are in a region: what a Stack says of it, and what follows."""

from aftershock.core.front import links_in
from aftershock.faults.cluster import labels_of
from aftershock.faults.fault import Site
from aftershock.model.stack import Link, Region, Workload


def region_of(site: Site) -> Region | None:
    """Return what the Stack lists of the region that is the site's target; None where it only names it."""
    return next((region for region in site.stack.spec.regions if region.name == site.target), None)


def workloads_in(site: Site) -> list[Workload]:
    """Return the workloads in the region whose pods can be told."""
    return [one for one in site.stack.spec.workloads if one.region == site.target and labels_of(one)]


def inside(site: Site) -> set[str]:
    """Return the names of all that is in the region."""
    return {name for name, region in _parts(site) if region == site.target}


def links_of(site: Site) -> list[Link]:
    """Return every link that has an end in the region."""
    return links_in(site.stack, site.target)


def local_in(site: Site, *, databases_only: bool = False) -> list[Workload]:
    """Return the local workloads in the region; of databases, those that bear a server's name."""
    databases = servers(site)
    return [
        one for one in site.stack.spec.workloads
        if one.supervisor is not None and one.name in inside(site) and (not databases_only or one.name in databases)
    ]  # fmt: skip


def servers(site: Site) -> set[str]:
    """Return the names of all servers that databases have, whatever region they are in."""
    return {server for database in site.stack.spec.databases for server in database.servers}


def total(site: Site) -> bool:
    """Tell whether nothing of the stack is outside the region: then its loss is that of everything."""
    parts = {name for name, _ in _parts(site)}
    return bool(parts) and parts <= inside(site)


def _parts(site: Site) -> list[tuple[str, str | None]]:
    """Return the name and the region of every part of the stack."""
    spec = site.stack.spec
    workloads = [(part.name, part.region) for part in spec.workloads]
    return [*workloads, *((server, part.region) for part in spec.databases for server in part.servers)]
