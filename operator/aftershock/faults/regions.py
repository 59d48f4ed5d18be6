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


def links_of(site: Site) -> list[Link]:
    """Return every link that has an end in the region."""
    return links_in(site.stack, site.target)
