"""A real Kubernetes with two nodes that are regions, started once for the session (15 s; the first ever builds, minutes).

Where it can't run, each test is skipped with the reason: it needs root on Linux and some of Debian's packages, which
`make setup` installs.

`cluster`    two nodes, us-west and us-east; `cluster.cut(region)`, `cluster.mend(region)`, kubectl, helm
`namespace`  a new namespace, gone at the end
"""

import secrets
from collections.abc import Iterator

import pytest

from aftershock.errors import StackError
from aftershock.stacks import programs as built
from cluster import ground, images
from cluster.cluster import Cluster, standing


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    if why := ground.why_not():
        pytest.skip(why)
    try:
        binaries = built.all_of([*built.CONTROL_PLANE, *built.NODES])
    except StackError as error:
        pytest.skip(f"no cluster with nodes: {error.problem.splitlines()[0]}")
    with ground.alone(), standing(binaries, images.archive()) as running:
        yield running


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    name = f"test-{secrets.token_hex(4)}"
    cluster.plane.kubectl("create", "namespace", name)
    yield name
    cluster.plane.kubectl("delete", "namespace", name, "--wait=false")
