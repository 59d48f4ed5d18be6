"""A real Kubernetes with two nodes that are regions, started once for the session (15 s; the first ever builds, minutes).

Where it can't run, each test is skipped with the reason: it needs root on Linux and some of Debian's packages, which
`make setup` installs.

`cluster`    two nodes, us-west and us-east; `cluster.cut(region)`, `cluster.mend(region)`, kubectl, helm
`namespace`  a new namespace, gone at the end
`meetings`   a namespace with the charts `aftershock` and `era-stack` in it, for all tests: the stack meetings-1k, in us-west
"""

import secrets
from collections.abc import Iterator

import pytest

from aftershock.errors import StackError
from aftershock.stacks import programs as built
from cluster import ground, images
from cluster.cluster import Cluster, standing
from cluster.doors import Namespace

NAMESPACE = "meetings"
CHARTS = images.ROOT / "charts"


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


@pytest.fixture(scope="session")
def stack(cluster: Cluster) -> Namespace:
    """Era 1k's stack in us-west, without Aftershock itself."""
    cluster.plane.kubectl("create", "namespace", NAMESPACE)
    return Namespace(cluster, NAMESPACE)


@pytest.fixture
def meetings(stack: Namespace) -> Namespace:
    """Both charts, installed where they aren't: a test may have uninstalled one."""
    if not stack.there:
        upgrade(stack.cluster, "aftershock")
        upgrade(stack.cluster, "era-stack")
    return stack


SETTINGS = {
    "aftershock": (
        images.OPERATOR, "journals.store=none", "regionFaults.enabled=true", "toxiproxy.image.pullPolicy=Never",
        *(f"toxiproxy.image.{what}={said}" for what, said in zip(("repository", "tag"), images.STACK.split(":"), strict=True)),
    ),
    "era-stack": (images.STACK, "region=us-west"),
}  # fmt: skip


def upgrade(cluster: Cluster, chart: str, *more: str) -> None:
    """Install a chart of ours, or make it as it is to be now, and wait until all of it is ready."""
    image, *settings = SETTINGS[chart]
    repository, tag = image.split(":")
    chosen = [f"image.repository={repository}", f"image.tag={tag}", "image.pullPolicy=Never", *settings, *more]
    # definitions are kept when a release goes: those of another test may be there
    where = ["-n", NAMESPACE, "--take-ownership", "--wait", "--timeout", "120s"]
    words = [word for each in chosen for word in ("--set", each)]
    cluster.helm("upgrade", "--install", chart, CHARTS / chart, *where, *words)
