"""A cluster's objects without a cluster: Deployments, their pods, nodes. There is no controller and no kubelet here, so the
tests take their part: `gone` ends a pod as a kubelet would, and a Door is a server where a pod's port would be.
"""

import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aftershock.adapters import kubernetes as k8s
from aftershock.model.metadata import Metadata
from aftershock.model.stack import Stack, StackSpec, Workload

CONTAINER = {"name": "c", "image": "none", "ports": [{"containerPort": 1}]}


def stack_in(namespace: str, **parts: object) -> Stack:
    return Stack(
        api_version="aftershock.dev/v1alpha1",
        metadata=Metadata(name="tested", namespace=namespace),
        spec=StackSpec(era="1k", environment="test", **parts),  # type: ignore[arg-type]
    )


@dataclass
class Cluster:
    """One namespace of it."""

    api: k8s.Api
    namespace: str
    nodes: list[str] = field(default_factory=list)

    def deployment(self, name: str, replicas: int = 3, **labels: str) -> dict[str, Any]:
        chosen = labels or {"app": name}
        template = {"metadata": {"labels": chosen}, "spec": {"containers": [CONTAINER]}}
        spec = {"replicas": replicas, "selector": {"matchLabels": chosen}, "template": template}
        return self.api.create(k8s.DEPLOYMENTS, {"metadata": {"name": name}, "spec": spec}, self.namespace)

    def pod(
        self,
        of: str,
        labels: Mapping[str, str] | None = None,
        *,
        node: str = "",
        kind: str = "ReplicaSet",
        port: int = 1,
        namespace: str = "",
    ) -> dict[str, Any]:
        """A pod of a Deployment, or of whatever `kind`; of nobody with none."""
        owner = {"apiVersion": "apps/v1", "kind": kind, "name": f"{of}-1" if kind == "ReplicaSet" else of, "uid": "u"}
        owners = [{**owner, "controller": True}] if kind else []
        meta = {
            "name": f"{of}-1-{secrets.token_hex(3)}",
            "labels": {**(labels or {"app": of}), "pod-template-hash": "1"},
            "ownerReferences": owners,
        }
        container = {**CONTAINER, "ports": [{"containerPort": port}]}
        spec: dict[str, Any] = {"containers": [container], "terminationGracePeriodSeconds": 30}
        if node:
            spec["nodeName"] = node
        return self.api.create(k8s.PODS, {"metadata": meta, "spec": spec}, namespace or self.namespace)

    def runs_at(self, pod: dict[str, Any], host: str) -> dict[str, Any]:
        """Say of a pod what a kubelet would: it runs, and has this address."""
        status = {"phase": "Running", "podIP": host, "podIPs": [{"ip": host}]}
        return self.api.patch(
            k8s.PODS, pod["metadata"]["name"], {"status": status}, self.namespace, subresource="status"
        )

    def gone(self, *pods: dict[str, Any]) -> None:
        """End pods, as kubelets do when they are deleted."""
        for pod in pods:
            self.api.delete(k8s.PODS, pod["metadata"]["name"], pod["metadata"]["namespace"], grace=0)

    def node(self, region: str = "us-west") -> str:
        name = f"node-{secrets.token_hex(3)}"
        self.api.create(k8s.NODES, {"metadata": {"name": name, "labels": {"region": f"{region}-{self.namespace}"}}})
        self.nodes.append(name)
        return name

    def there(self) -> set[str]:
        return {pod["metadata"]["name"] for pod in self.api.list(k8s.PODS, self.namespace)}

    def read(self, name: str) -> tuple[int, dict[str, str], dict[str, str]]:
        """Return count, annotations and labels of a Deployment."""
        tree = self.api.get(k8s.DEPLOYMENTS, name, self.namespace)
        meta = tree["metadata"]
        return tree["spec"]["replicas"], meta.get("annotations") or {}, meta.get("labels") or {}

    def taints(self, node: str) -> list[dict[str, Any]]:
        """Return the node's taints but for that of its missing kubelet."""
        found = self.api.get(k8s.NODES, node)["spec"].get("taints") or []
        return [taint for taint in found if taint["key"] != "node.kubernetes.io/not-ready"]


def workload(name: str, **parts: object) -> Workload:
    return Workload(name=name, selector={"app": name}, **parts)  # type: ignore[arg-type]


@contextmanager
def door(host: str) -> Iterator[socket.socket]:
    """A server on an address of its own, like a pod's."""
    with socket.create_server((host, 0)) as server:
        yield server


def port_of(server: socket.socket) -> int:
    return int(server.getsockname()[1])
