"""A stand-in for a network that enforces NetworkPolicies: it applies the one rule that our policies have, with nftables.

The cluster's own network enforces none. This is no implementation of policies: it knows only what `region-loss` writes, a
policy that chooses pods by labels and lets nothing in or out. While it stands, each node drops whatever would be forwarded
from or to such pods; what the node itself sends them, like the kubelet's probes, passes, as everywhere.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from cluster.cluster import Cluster
from cluster.doors import Namespace

TABLE = "inet aftershock_test"
EVERY = 0.2
"""Seconds between two looks."""


@contextmanager
def enforced(meetings: Namespace) -> Iterator[None]:
    """Enforce the policies of this namespace that bear a run's name, until the end of the block."""
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(meetings, over))
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        _apply(meetings.cluster, set())


def _watch(meetings: Namespace, over: threading.Event) -> None:
    applied: set[str] = set()
    while not over.wait(EVERY):
        wanted = _cut_off(meetings)
        if wanted != applied:
            _apply(meetings.cluster, wanted)
            applied = wanted


def _cut_off(meetings: Namespace) -> set[str]:
    """Return the addresses of the pods that a policy chooses; AssertionError for a policy that says more than the one rule."""
    found: set[str] = set()
    for policy in meetings.tree("networkpolicies", "-l", "aftershock.dev/held")["items"]:
        chosen = policy["spec"]["podSelector"]["matchLabels"]
        assert set(policy["spec"]) == {"podSelector", "policyTypes"}, policy["spec"]
        labels = ",".join(f"{name}={value}" for name, value in chosen.items())
        found |= {
            pod["status"]["podIP"] for pod in meetings.tree("pods", "-l", labels)["items"] if "podIP" in pod["status"]
        }
    return found


def _apply(cluster: Cluster, addresses: set[str]) -> None:
    rules = [f"ip {end} {{ {', '.join(sorted(addresses))} }} drop" for end in ("saddr", "daddr")]
    lines = [f"table {TABLE}", f"delete table {TABLE}"]  # named first, so that there is one to delete
    if addresses:
        chain = ["type filter hook forward priority -10; policy accept;", *rules]
        lines += [f"table {TABLE} {{", "chain forward {", *chain, "}", "}"]
    text = "\n".join(lines) + "\n"
    for node in cluster.nodes.values():
        file = node.folder / "policies.nft"
        file.write_text(text)
        node.inside("nft", "-f", file)
