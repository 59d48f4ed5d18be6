"""The chart on real nodes: its pods start as the restricted profile wants them, its hooks run, and it leaves."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import ground, images
from cluster.cluster import Cluster
from cluster.programs import Failed, until

CHART = Path(__file__).parent.parent.parent / "charts" / "aftershock"
REPOSITORY, TAG = images.OPERATOR.split(":")
IMAGE = ("--set", f"image.repository={REPOSITORY}", "--set", f"image.tag={TAG}", "--set", "image.pullPolicy=Never")
PARTS = ("operator", "reaper")


@pytest.fixture
def restricted(cluster: Cluster, namespace: str) -> Iterator[str]:
    """A namespace that takes no other pods than those of the restricted profile."""
    cluster.plane.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    yield namespace
    try:
        cluster.helm("uninstall", "aftershock", "-n", namespace, "--no-hooks")
    except Failed:
        return  # it has gone already


def test_it_is_installed_says_what_it_does_and_leaves(cluster: Cluster, restricted: str) -> None:
    kubectl, where = cluster.plane.kubectl, ("-n", restricted)
    cluster.helm("install", "aftershock", CHART, *where, *IMAGE, "--set", "journals.store=none", "--wait")
    assert len(json.loads(kubectl("get", "eras", "-o", "json"))["items"]) == 7

    for part in PARTS:
        chosen = f"app.kubernetes.io/component={part}"
        pod = json.loads(kubectl(*where, "get", "pods", "-l", chosen, "-o", "json"))["items"][0]["metadata"]["name"]
        served = f"/api/v1/namespaces/{restricted}/pods/{pod}:9090/proxy/metrics"
        until(
            f"{part} serves metrics",
            lambda at=served: "aftershock_build_info" in kubectl("get", "--raw", at),
            ground.FOLDER,
        )

    run = {
        "apiVersion": "aftershock.dev/v1alpha1", "kind": "Run",
        "metadata": {"name": "over-1", "finalizers": ["aftershock.dev/clean"]},
        "spec": {"experiment": "over", "stack": "none"},
    }  # fmt: skip
    cluster.plane.apply(run, namespace=restricted)
    finished = json.dumps({"status": {"phase": "Finished", "verdict": "Passed"}})
    kubectl(*where, "patch", "run", "over-1", "--subresource=status", "--type=merge", "-p", finished)
    cluster.helm("uninstall", "aftershock", *where, "--wait")
    assert not json.loads(kubectl(*where, "get", "run", "over-1", "-o", "json"))["metadata"].get("finalizers")
    assert kubectl(*where, "get", "deployments", "-o", "name").strip() == ""
