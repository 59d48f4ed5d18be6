"""A load's pods where there is neither kubelet nor Job controller: a process of this machine, started with what the Job's pod
would be started with, stands for each pod (`Kubelet`). Pods on nodes are in tests/cluster.
"""

import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aftershock.adapters import kubernetes as k8s
from aftershock.adapters.kubeconfig import Access
from aftershock.adapters.toxiproxy import Proxy, Server
from aftershock.core.history import Sharded, Slice
from aftershock.runtime.cluster import objects
from aftershock.stacks.control_plane import ControlPlane
from control_plane.conftest import new_namespace
from control_plane.executing import LINK, Field
from planted import Server as Service
from planted import response, serving
from whole_runs import environment

ADDRESS = "127.0.0.1"
IN_A_POD = {"AFTERSHOCK_POD_IP": ADDRESS, "AFTERSHOCK_IMAGE": "localhost/aftershock:1"}
"""What the executor's pod is told."""

SHARDS = 4
HURRIED = """
from aftershock.runtime.cluster import sharding
sharding.Pods.__init__.__defaults__ = ({seconds},)
"""
GATED = """
import asyncio
from pathlib import Path
from aftershock.runtime.cluster import sharding
make = sharding.Pods._make
async def gated(self, job, end):
    Path("{folder}/here").touch()
    while not Path("{folder}/go").exists():
        await asyncio.sleep(0.05)
    return await make(self, job, end)
sharding.Pods._make = gated
"""
"""An executor that waits at the point where it makes its load's Job, until it is let through."""


class Slow(k8s.Api):
    """What it makes is made when it is let through."""

    def __init__(self, access: Access) -> None:
        super().__init__(access)
        self.asked, self.through, self.made = threading.Event(), threading.Event(), threading.Event()

    def create(self, resource: k8s.Resource, tree: Mapping[str, Any], namespace: str | None = None) -> k8s.Tree:
        self.asked.set()
        self.through.wait(60)
        try:
            return super().create(resource, tree, namespace)
        finally:
            self.made.set()


@dataclass
class Kubelet:
    """Starts the pods of every load's Job in a namespace, as processes: what the test stands in for.

    `but` are the numbers of those that never start.
    """

    api: k8s.Api
    namespace: str
    home: Path
    but: tuple[int, ...] = ()
    pods: dict[int, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    job: k8s.Tree = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)

    def work(self) -> None:
        while not self.stop.wait(0.1):
            for job in self.loads():
                if not self.pods:
                    self.job = job
                    self.pods = {n: self.start(job, n) for n in range(job["spec"]["completions"]) if n not in self.but}

    def loads(self) -> list[k8s.Tree]:
        try:
            return self.api.list(k8s.JOBS, self.namespace, labels="app.kubernetes.io/component=load")
        except k8s.ApiAwayError:
            return []

    def start(self, job: k8s.Tree, number: int) -> "subprocess.Popen[bytes]":
        (container,) = job["spec"]["template"]["spec"]["containers"]
        told = {each["name"]: each["value"] for each in container["env"]}
        told |= {"JOB_COMPLETION_INDEX": str(number), "AFTERSHOCK_HOME": str(self.home / f"pod-{number}")}
        line = [sys.executable, "-m", "aftershock", *container["args"]]
        return subprocess.Popen(line, env=environment(self.home, told), stdin=subprocess.DEVNULL)

    def ended(self) -> bool:
        return all(one.poll() is not None for one in self.pods.values())

    def come(self) -> bool:
        """Tell whether all have connected: they hold a socket then. One that still tries would go on for a minute."""
        return bool(self.pods) and all(has_socket(one.pid) for one in self.pods.values())


def has_socket(pid: int) -> bool:
    """Tell whether a process has one beside what it was started with."""
    found = []
    for one in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            found += [one.readlink()] if int(one.name) > 2 else []
    return any(str(each).startswith("socket:") for each in found)


@contextmanager
def kubelet(field_: Field, folder: Path, but: tuple[int, ...] = ()) -> Iterator[Kubelet]:
    one = Kubelet(field_.api, field_.namespace, folder, but)
    thread = threading.Thread(target=one.work, daemon=True)
    thread.start()
    try:
        yield one
    finally:
        one.stop.set()
        thread.join()
        for pod in one.pods.values():
            pod.kill()
            pod.wait()


@dataclass(frozen=True)
class Loaded:
    """A namespace whose stack has a service that counts what arrives."""

    field: Field
    service: Service

    def give(self, hold: str = "2s", shards: int = SHARDS, rate: str = "200/s", **more: Any) -> k8s.Tree:
        """Make a Run with a load over so many shards, and a latency that hurts nobody."""
        step = {"at": "0s", "for": hold, "fault": "latency", "target": LINK, "with": {"latency": "60ms"}}
        definition = {
            "stack": "shop",
            "baseline": {"for": "1s"},
            "timeline": [step],
            "load": {"indicator": "page", "rate": rate, "shards": shards},
            "recovery": {"watch": "1s", "steady": "1s"},
            **more,
        }
        spec = {"experiment": "slow", "stack": "shop", "definition": definition, "generation": 1}
        return self.field.make(k8s.RUNS, "Run", "slow-1", spec, finalizers=[objects.FINALIZER])

    def load(self, run: k8s.Tree) -> list[Slice]:
        return [one for one in self.field.history(run).all(Slice) if one.counted == "load"]

    def states(self, run: k8s.Tree, state: str) -> list[Sharded]:
        return [one for one in self.field.history(run).all(Sharded) if one.state == state]


@contextmanager
def loaded_on(plane: ControlPlane, proxy: Server, folder: Path) -> Iterator[Loaded]:
    api = k8s.Api.connect(plane.kubeconfig)
    with serving(lambda _: response()) as service, new_namespace(api) as namespace:
        proxy.create(Proxy(LINK, "127.0.0.1:0", f"127.0.0.1:{service.port}"))
        field_ = Field(api, plane.kubeconfig, namespace, proxy, folder)
        page = {"name": "page", "every": "50ms", "timeout": "1s", "http": {"url": f"{service.url}/page"}}
        field_.prepare(indicators=[page])
        yield Loaded(field_, service)
        api.delete(k8s.ERAS, namespace)
