"""A real Kubernetes with two nodes that are regions, started once for the session (15 s; the first ever builds, minutes).

Where it can't run, each test is skipped with the reason: it needs root on Linux and some of Debian's packages, which
`make setup` installs.

`cluster`    two nodes, us-west and us-east; `cluster.cut(region)`, `cluster.mend(region)`, kubectl, helm
`namespace`  a new namespace, gone at the end
`meetings`   a namespace with the charts `aftershock` and `era-stack` in it, for the whole session: the stack meetings-1k
"""

import secrets
from collections.abc import Iterator

import pytest

from aftershock.errors import StackError
from aftershock.stacks import programs as built
from cluster import ground, images
from cluster.cluster import Cluster, standing
from cluster.doors import Namespace

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
def meetings(cluster: Cluster) -> Iterator[Namespace]:
    cluster.plane.kubectl("create", "namespace", "meetings")
    operator, stack = (image.split(":") for image in (images.OPERATOR, images.STACK))
    install(cluster, "aftershock", operator, "journals.store=none")
    install(cluster, "era-stack", stack)
    yield Namespace(cluster, "meetings")
    cluster.helm("uninstall", "aftershock", "-n", "meetings", "--wait")


def install(cluster: Cluster, chart: str, image: list[str], *more: str) -> None:
    """Install a chart of ours in the namespace `meetings`, and wait until all of it is ready."""
    chosen = [f"image.repository={image[0]}", f"image.tag={image[1]}", "image.pullPolicy=Never", *more]
    settings = [word for each in chosen for word in ("--set", each)]
    # definitions are kept when a release goes: those of another test may be there
    where = ["-n", "meetings", "--take-ownership", "--wait", "--timeout", "120s"]
    cluster.helm("upgrade", "--install", chart, CHARTS / chart, *where, *settings)
