"""The cluster itself: what the other tests of this folder stand on."""

import json

from cluster import images
from cluster.cluster import REGIONS, Cluster


def pod(name: str, region: str, *command: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "nodeSelector": {"topology.kubernetes.io/region": region},
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "main", "image": images.STACK, "command": list(command)}],
        },
    }


ASK = """
import ssl, urllib.request
account = "/var/run/secrets/kubernetes.io/serviceaccount/"
trusted = ssl.create_default_context(cafile=account + "ca.crt")
bearer = {"Authorization": "Bearer " + open(account + "token").read()}
asked = urllib.request.Request("https://kubernetes.default.svc/version", headers=bearer)
print(urllib.request.urlopen(asked, context=trusted).status)
"""


def test_a_pod_runs_in_each_region_and_reaches_the_api_server_by_its_name(cluster: Cluster, namespace: str) -> None:
    kubectl = cluster.plane.kubectl
    cluster.plane.apply(
        *(pod(f"ask-{region}", region, "python3", "-c", ASK) for region in REGIONS), namespace=namespace
    )
    for region in REGIONS:
        kubectl(
            "-n", namespace, "wait", f"pod/ask-{region}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s"
        )
        assert kubectl("-n", namespace, "logs", f"ask-{region}").strip() == "200"
        assert kubectl("-n", namespace, "get", f"pod/ask-{region}", "-o", "jsonpath={.spec.nodeName}") == region


def test_nodes_are_told_apart_by_the_labels_of_their_regions(cluster: Cluster) -> None:
    nodes = json.loads(cluster.plane.kubectl("get", "nodes", "-o", "json"))["items"]
    assert {each["metadata"]["labels"]["topology.kubernetes.io/region"] for each in nodes} == set(REGIONS)
