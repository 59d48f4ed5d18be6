"""Toxiproxy pods without a cluster. There is no kubelet here, no kube-proxy, no controller: `Standin` takes their part. For
each pod that is to stand in front of a Service it runs a real Toxiproxy, as a process, with the configuration that the pod was
given, on a loopback address of its own; it says of the pod what a kubelet would, and of each Service where it leads.

What it has to change: a pod's Toxiproxy listens on its own address only, as processes share their ports; and what leads to
the cluster's address of `<name>-direct` leads to the server that the test has for that port: nobody forwards such addresses.
"""

import itertools
import json
import secrets
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aftershock.adapters import kubernetes as k8s
from aftershock.adapters.toxiproxy import Server
from aftershock.core.front import FRONT
from aftershock.errors import AftershockError
from aftershock.faults.cluster import uid_of
from aftershock.faults.front_pod import PROXIES, pod_of
from aftershock.stacks import toxiproxy as tp
from control_plane.conftest import until

ADDRESSES = itertools.count(1)
LOOK = 0.05


@dataclass
class Standin:
    """The cluster's part, in a thread. `behind`: the port of this machine that serves each port of a Service.

    `broken`: pods don't get ready. `stuck`: Services lead where they led. `dead`: nobody is behind.
    """

    api: k8s.Api
    namespace: str
    behind: Mapping[int, int]
    broken: bool = False
    stuck: bool = False
    dead: bool = False
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="aftershock-pods.")))
    running: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)
    history: list[str] = field(default_factory=list)

    def service(self, name: str, *ports: Mapping[str, Any], **spec: Any) -> k8s.Tree:
        """Make a Service with a selector, and a pod behind it."""
        wanted = [dict(port) for port in ports] or [{"port": 5432}]
        tree = {"metadata": {"name": name}, "spec": {"selector": {"app": name}, "ports": wanted, **spec}}
        return self.api.create(k8s.SERVICES, tree, self.namespace)

    def again(self, name: str, *ports: Mapping[str, Any], **spec: Any) -> k8s.Tree:
        """Make a Service of a name anew."""
        self.remove(name)
        return self.service(name, *ports, **spec)

    def remove(self, name: str) -> None:
        self.api.delete(k8s.SERVICES, name, self.namespace)

    def change(self, name: str, change: Mapping[str, Any]) -> None:
        self.api.patch(k8s.SERVICES, name, change, self.namespace)

    def read(self, name: str) -> k8s.Tree:
        return self.api.get(k8s.SERVICES, name, self.namespace)

    def selector(self, name: str) -> dict[str, str]:
        return dict(self.read(name)["spec"]["selector"])

    def pods(self) -> list[k8s.Tree]:
        return self.api.list(k8s.PODS, self.namespace, labels=FRONT)

    def names(self) -> list[str]:
        return [pod["metadata"]["name"] for pod in self.pods()]

    def ready(self) -> bool:
        return any((pod.get("status") or {}).get("podIP") for pod in self.pods())

    def lose(self) -> None:
        """Take the pod away, as an eviction does."""
        for name in self.names():
            self.api.delete(k8s.PODS, name, self.namespace, grace=0)

    def restart(self, *, counted: bool = False) -> None:
        """Start the one container anew, as a kubelet does when it has died."""
        ((uid, process),) = self.running.items()
        line = process.args
        _end(process)
        self.running[uid] = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
        with self.toxiproxy() as server:
            until(server.alive)
        if counted:
            (name,) = self.names()
            container = {"name": "toxiproxy", "restartCount": 1, "ready": True, "image": "none", "imageID": "none"}
            self.api.patch(
                k8s.PODS, name, {"status": {"containerStatuses": [container]}}, self.namespace, subresource="status"
            )

    def there(self) -> list[str]:
        """Return what of ours is there, by name; a moved selector counts."""
        services = self.api.list(k8s.SERVICES, self.namespace)
        made = [one for one in [*services, *self.pods()] if FRONT in (one["metadata"].get("labels") or {})]
        led = [one for one in services if FRONT in one["spec"].get("selector", {})]
        marked = [one for one in services if any("aftershock.dev" in key for key in _words(one))]
        return sorted({one["metadata"]["name"] for one in [*made, *led, *marked]})

    def toxiproxy(self) -> Server:
        """Return the one Toxiproxy that runs."""
        (tree,) = self.pods()
        pod = pod_of(tree)
        assert pod is not None
        return Server("stand-in", pod.url)

    def toxics(self) -> list[str]:
        with self.toxiproxy() as server:
            return [toxic.name for proxy in server.proxies().values() for toxic in proxy.toxics]

    def entered(self, port: int = 5432) -> tuple[str, int]:
        """Return host and port at which the pod listens for a port of the Service."""
        with self.toxiproxy() as server:
            host, _, number = server.proxies()[f"port-{port}"].listen.rpartition(":")
        return host, int(number)

    # The cluster's part

    def go_on(self) -> None:
        while not self.stop.is_set():
            try:
                self._kubelet()
                if not self.stuck:
                    self._controller()
            except AftershockError:
                pass  # the API is away, or an object is gone meanwhile: it is looked at again
            self.stop.wait(LOOK)

    def _kubelet(self) -> None:
        there = {uid_of(pod): pod for pod in self.pods()}
        for uid in self.running.keys() - there.keys():
            _end(self.running.pop(uid))
        if self.broken:
            return
        for uid, pod in there.items():
            if uid not in self.running:
                self._start(uid, pod)

    def _start(self, uid: str, pod: k8s.Tree) -> None:
        host = f"127.0.8.{next(ADDRESSES)}"
        file = self.folder / f"{uid}.json"
        told = json.loads(pod["metadata"]["annotations"][PROXIES])
        file.write_text(json.dumps([self._here(proxy, host) for proxy in told]))
        line = [tp.program(), f"-host={host}", f"-config={file}", *_arguments(pod)]
        self.running[uid] = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
        self._ready(pod, host)

    def _here(self, proxy: dict[str, Any], host: str) -> dict[str, Any]:
        port = int(proxy["upstream"].rpartition(":")[2])
        upstream = f"127.0.0.1:{1 if self.dead else self.behind[port]}"
        return {**proxy, "listen": f"{host}{proxy['listen']}", "upstream": upstream}

    def _ready(self, pod: k8s.Tree, host: str) -> None:
        name = pod["metadata"]["name"]
        api = next(port["containerPort"] for port in pod["spec"]["containers"][0]["ports"] if "api" in port["name"])
        with Server("stand-in", f"http://{host}:{api}") as server:
            until(server.alive)
            self._tell(name, {p.name: p.upstream for p in server.proxies().values()})
        conditions = [{"type": "Ready", "status": "True"}]
        status = {"phase": "Running", "podIP": host, "podIPs": [{"ip": host}], "conditions": conditions}
        self.api.patch(k8s.PODS, name, {"status": status}, self.namespace, subresource="status")

    def _tell(self, name: str, upstreams: Mapping[str, str]) -> None:
        """Say in the pod what it carries here: nobody else may be taken for it."""
        told = json.dumps([{"name": proxy, "upstream": upstream} for proxy, upstream in upstreams.items()])
        self.api.patch(k8s.PODS, name, {"metadata": {"annotations": {PROXIES: told}}}, self.namespace)

    def _controller(self) -> None:
        pods = self.api.list(k8s.PODS, self.namespace)
        for service in self.api.list(k8s.SERVICES, self.namespace):
            wanted = (service["spec"].get("selector") or {}).items()
            mine = [pod for pod in pods if wanted and wanted <= (pod["metadata"].get("labels") or {}).items()]
            self._slice(service["metadata"]["name"], [pod for pod in mine if (pod["status"].get("podIP"))])

    def _slice(self, service: str, pods: list[k8s.Tree]) -> None:
        endpoints = [
            {
                "addresses": [f"10.88.0.{number}"],  # an API server takes no loopback address here; nobody asks for it
                "conditions": {"ready": True},
                "targetRef": {"kind": "Pod", "name": pod["metadata"]["name"], "uid": uid_of(pod)},
            }
            for number, pod in enumerate(pods, 1)
        ]
        meta = {"name": f"{service}-1", "labels": {"kubernetes.io/service-name": service}}
        tree = {"metadata": meta, "addressType": "IPv4", "endpoints": endpoints, "ports": []}
        known = self.api.find(k8s.ENDPOINT_SLICES, f"{service}-1", self.namespace)
        if known is None:
            self.api.create(k8s.ENDPOINT_SLICES, tree, self.namespace)
        elif _uids(known) != _uids(tree):
            self.api.patch(k8s.ENDPOINT_SLICES, f"{service}-1", {"endpoints": endpoints}, self.namespace)


def _words(tree: k8s.Tree) -> list[str]:
    meta = tree["metadata"]
    return [*(meta.get("labels") or {}), *(meta.get("annotations") or {})]


def _uids(tree: k8s.Tree) -> list[str]:
    return [each["targetRef"]["uid"] for each in tree.get("endpoints") or []]


def _arguments(pod: k8s.Tree) -> list[str]:
    """Return the pod's own arguments, but for host and configuration, which are this machine's."""
    return [word for word in pod["spec"]["containers"][0]["args"] if not word.startswith(("-host", "-config"))]


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()


@contextmanager
def standing_in(api: k8s.Api, namespace: str, behind: Mapping[int, int]) -> Iterator[Standin]:
    """Take the cluster's part in a namespace for as long as the block takes."""
    made = Standin(api, namespace, behind)
    thread = threading.Thread(target=made.go_on, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.stop.set()
        thread.join(30)
        for process in made.running.values():
            _end(process)


def app_pod(cluster: Standin, name: str, host: str = "127.0.9.1") -> k8s.Tree:
    """A pod behind a Service, which runs."""
    meta = {"name": f"{name}-{secrets.token_hex(3)}", "labels": {"app": name}}
    tree = {"metadata": meta, "spec": {"containers": [{"name": "c", "image": "none"}]}}
    pod = cluster.api.create(k8s.PODS, tree, cluster.namespace)
    status = {"phase": "Running", "podIP": host, "podIPs": [{"ip": host}]}
    return cluster.api.patch(
        k8s.PODS, pod["metadata"]["name"], {"status": status}, cluster.namespace, subresource="status"
    )
