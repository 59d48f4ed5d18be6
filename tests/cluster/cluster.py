"""The cluster as tests see it: two regions of one node each, which can be cut off the network and mended again."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster import ground, node, plane, programs
from cluster.node import Node
from cluster.plane import Plane

REGIONS = ["us-west", "us-east"]


@dataclass(frozen=True)
class Cluster:
    """A cluster that stands."""

    plane: Plane
    nodes: Mapping[str, Node]

    def cut(self, region: str) -> None:
        """Pull the region's cable: nothing of it reaches anything else, and the other way round."""
        programs.run(["ip", "link", "set", self.nodes[region].interface, "down"])

    def mend(self, region: str) -> None:
        """Put it back."""
        programs.run(["ip", "link", "set", self.nodes[region].interface, "up"])

    def helm(self, *arguments: str | Path, patience: float = 180.0) -> str:
        """Run helm as the administrator and return what it says. Failed if it fails."""
        own = {f"HELM_{what}_HOME": str(self.plane.folder / "helm" / what) for what in ("CACHE", "CONFIG", "DATA")}
        line = [self.plane.binaries["helm"], "--kubeconfig", self.plane.kubeconfig, *arguments]
        return programs.run(line, patience, **own)

    def ready(self, name: str) -> bool:
        """Tell whether the API server has the node for ready."""
        way = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
        try:
            return self.plane.kubectl("get", "node", name, "-o", way) == "True"
        except (programs.Failed, subprocess.TimeoutExpired):
            return False


@contextmanager
def standing(binaries: Mapping[str, Path], images: Path) -> Iterator[Cluster]:
    """Clear what an earlier one left, start a cluster, wait for its nodes, lend it, and leave nothing of it.

    Its names must be held: `ground.alone`.
    """
    ground.clear()
    try:
        with ground.beside_pods():
            started = _started(binaries, images)
        yield started
    finally:
        ground.clear()
        programs.bury()


def _started(binaries: Mapping[str, Path], images: Path) -> Cluster:
    ground.FOLDER.mkdir(mode=0o755)
    ground.prefer()
    programs.run(["ip", "link", "add", ground.BRIDGE, "type", "bridge"])
    programs.run(["ip", "addr", "add", f"{ground.HOST}/{ground.NODES.prefixlen}", "dev", ground.BRIDGE])
    programs.run(["ip", "link", "set", ground.BRIDGE, "up"])
    served = plane.start(ground.FOLDER, binaries, REGIONS)
    nodes = [node.start(name, number, served, images) for number, name in enumerate(REGIONS, 1)]
    node.acquaint(nodes)
    cluster = Cluster(served, {each.name: each for each in nodes})
    for each in nodes:
        programs.until(f"{each.name} is ready", lambda name=each.name: cluster.ready(name), ground.FOLDER)
    return cluster
