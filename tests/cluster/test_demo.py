"""`make demo-operator` with a KUBECONFIG: on that cluster, by Helm, to the verdict, and nothing of it stays."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aftershock import __version__
from cluster import ground, images, programs
from cluster.cluster import Cluster

PATIENCE = 600.0


@pytest.fixture
def published(cluster: Cluster) -> None:
    """The nodes have the images under the names that the charts ask for unasked, as if they had been pushed and pulled."""
    for node in cluster.nodes.values():
        for image in (images.OPERATOR, images.STACK):
            name = f"{image.rpartition(':')[0]}:{__version__}"
            programs.run(["ctr", "-a", node.socket, "-n", "k8s.io", "images", "tag", "--force", image, name])


@pytest.mark.usefixtures("published")
def test_it_is_shown_on_a_cluster_that_is_there_and_leaves_it_as_it_was(cluster: Cluster, tmp_path: Path) -> None:
    def there() -> set[str]:
        kinds = "namespaces,clusterroles,clusterrolebindings,customresourcedefinitions,nodes"
        return set(cluster.plane.kubectl("get", kinds, "-o", "name").split())

    before = there()
    told = typed(cluster, tmp_path)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "Passed" in told.stdout and "nothing is left running" in told.stdout
    assert there() <= before, "what an earlier test deleted may have gone meanwhile"


def typed(cluster: Cluster, home: Path) -> "subprocess.CompletedProcess[str]":
    """Type it as a user would who has kubectl and helm on the PATH."""
    tools = {str(path.parent) for path in (cluster.plane.binaries["kubectl"], cluster.plane.binaries["helm"])}
    environment = {
        **os.environ,
        "KUBECONFIG": str(cluster.plane.kubeconfig),
        "AFTERSHOCK_HOME": str(home),
        "PATH": os.pathsep.join([*tools, ground.PATH]),
    }
    line = [sys.executable, "-m", "aftershock", "demo", "--operator"]
    return subprocess.run(line, env=environment, cwd=images.ROOT, capture_output=True, text=True, timeout=PATIENCE)
