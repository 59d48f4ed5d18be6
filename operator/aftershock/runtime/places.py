"""The places that a stack names, where a fault of ours can be: what lies there, and how it is taken away.

A place is a Toxiproxy (one that the stack names, or one that a run has put in front of a Service), a database, the Kubernetes
API, the file in which a DNS server's answers are held, or the stack's own folder. Each tells what bears our name by its own
clock; each is asked and healed by itself, with a deadline, so that one that is dead holds up no other. What it takes to ask a
place is imported when a stack names one: before anything is injected, as every place is looked at before that.
"""

from collections.abc import Iterator
from pathlib import Path

from aftershock.model.stack import Stack
from aftershock.runtime.folder_place import FolderPlace
from aftershock.runtime.place import Place


def places(stack: Stack, folder: Path) -> Iterator[Place]:
    """Yield every place that the stack names."""
    if stack.spec.toxiproxies:
        from aftershock.runtime.toxiproxy_place import ToxiproxyPlace

        yield from (ToxiproxyPlace(each, folder) for each in stack.spec.toxiproxies)
    if stack.spec.databases:
        from aftershock.runtime.database_place import DatabasePlace

        yield from (DatabasePlace(database, folder) for database in stack.spec.databases)
    if has_services(stack):
        from aftershock.core import front
        from aftershock.runtime.front_place import FrontPlace

        yield from (FrontPlace(stack, service, folder) for service in front.services(stack))
    if has_pods(stack) or has_nodes(stack) or has_services(stack):
        from aftershock.runtime.kubernetes_place import KubernetesPlace

        yield KubernetesPlace(stack)
    if stack.spec.resolver is not None and stack.spec.resolver.gdnsd is not None:
        from aftershock.runtime.resolver_place import ResolverPlace

        yield ResolverPlace(stack.spec.resolver.name, folder / stack.spec.resolver.gdnsd.admin_state)
    yield FolderPlace(folder)


def has_pods(stack: Stack) -> bool:
    """Tell whether a workload of the stack is made of pods."""
    return any(workload.selector for workload in stack.spec.workloads)


def has_nodes(stack: Stack) -> bool:
    """Tell whether the stack names nodes of a cluster."""
    return bool(stack.spec.nodes) or any(region.nodes for region in stack.spec.regions)


def has_services(stack: Stack) -> bool:
    """Tell whether a run puts a Toxiproxy in front of Services of the stack."""
    return any(link.service is not None for link in stack.spec.links)
