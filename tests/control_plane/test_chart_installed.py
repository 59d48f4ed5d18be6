"""The chart on a real API server, by the real Helm: installed, upgraded, taken away, and installed again.

No controller runs here, so no pod does: the hook that heals first is left out when it is taken away (`--no-hooks`); that it
works is shown in tests/cluster, and what it does in test_farewell.py.
"""

from collections.abc import Iterator

import pytest

from aftershock.adapters import kubernetes as k8s
from aftershock.stacks.control_plane import ControlPlane
from control_plane.conftest import DEFINITIONS, Kubectl, started_plane
from control_plane.test_chart import CHART, Helm, helm  # noqa: F401 - a fixture

DEPLOYMENT = "aftershock-operator"
CLAIMS = k8s.Resource("v1", "persistentvolumeclaims")


@pytest.fixture
def fresh() -> Iterator[ControlPlane]:
    """An API server that has never heard of us."""
    with started_plane() as running:
        yield running


def test_it_comes_is_upgraded_goes_and_comes_again(helm: Helm, fresh: ControlPlane) -> None:  # noqa: F811
    api = k8s.Api.connect(fresh.kubeconfig)
    api.create(k8s.NAMESPACES, {"metadata": {"name": "chaos"}})
    kubectl = Kubectl(fresh.kubectl, fresh.kubeconfig, "chaos")

    def call(*arguments: str) -> str:
        done = helm(*arguments, "-n", "chaos", "--kubeconfig", str(fresh.kubeconfig))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def image() -> str:
        spec = api.get(k8s.DEPLOYMENTS, DEPLOYMENT, "chaos")["spec"]["template"]["spec"]
        return str(spec["containers"][0]["image"])

    told = call("install", "aftershock", str(CHART))
    assert "kubectl -n chaos get runs --watch" in told
    assert {era["metadata"]["name"] for era in api.list(k8s.ERAS)} == {path.stem for path in CHART.glob("files/eras/*")}
    assert "EXPERIMENT" in kubectl("explain", "run.spec").upper()

    # what users made is not touched by an upgrade
    spec = {"experiment": "slow", "stack": "shop"}
    meta = {"name": "slow-1", "namespace": "chaos", "finalizers": ["aftershock.dev/clean"]}
    api.create(k8s.RUNS, {"apiVersion": k8s.OURS, "kind": "Run", "metadata": meta, "spec": spec})
    before = api.get(k8s.RUNS, "slow-1", "chaos")["metadata"]
    call("upgrade", "aftershock", str(CHART), "--set", "image.tag=v2", "--set", "regionFaults.enabled=true")
    assert image().endswith(":v2")
    assert api.get(k8s.RUNS, "slow-1", "chaos")["metadata"] == before
    assert len(api.list(k8s.ERAS)) == 7

    call("uninstall", "aftershock", "--no-hooks")
    assert api.find(k8s.DEPLOYMENTS, DEPLOYMENT, "chaos") is None
    assert len([each for each in api.list(DEFINITIONS) if each["spec"]["group"] == "aftershock.dev"]) == 4
    assert api.get(k8s.RUNS, "slow-1", "chaos")["metadata"]["uid"] == before["uid"]
    assert api.get(CLAIMS, "aftershock-journals", "chaos")

    call("install", "aftershock", str(CHART))
    assert image().endswith(":0.1.0")
