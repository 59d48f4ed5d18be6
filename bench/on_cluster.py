"""What the cases of `beside_chaos_mesh.py` stand on: both charts on a cluster, what happens there, and Toxiproxy itself."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "operator"), str(ROOT / "tests")]

from aftershock.adapters.toxiproxy import Proxy, Server
from cluster import ground, images
from cluster.doors import Namespace
from cluster.programs import until

LINK = "app-to-primary"
API = "aftershock.dev/v1alpha1"


@dataclass(frozen=True)
class Bench:
    """Both charts in one namespace, and the Toxiproxy of the stack."""

    there: Namespace
    names: Iterator[int] = field(default_factory=lambda: iter(range(1, 10_000)))

    def toxiproxy(self) -> Server:
        """Return Toxiproxy itself, by its pod's address."""
        return Server("main", f"http://{self.address()}:8474", deadline=5.0)

    def address(self) -> str:
        """Return the address of Toxiproxy's pod."""
        (pod,) = [p for p in self.there.tree("pods", "-l", "app.kubernetes.io/name=main")["items"]
                  if "deletionTimestamp" not in p["metadata"]]  # fmt: skip
        return str(pod["status"]["podIP"])

    def document(
        self, fault: dict[str, Any], *more: dict[str, Any], stack: str = "meetings-1k", baseline: str = "5s"
    ) -> dict[str, Any]:
        """Return an experiment of a name of its own: a short baseline, and these faults."""
        return {
            "apiVersion": API, "kind": "Experiment", "metadata": {"name": f"bench-{next(self.names)}"},
            "spec": {
                "stack": stack, "hypothesis": "It ends by itself.", "baseline": {"for": baseline},
                "timeline": [{"at": "0s", "for": "6s", **each} for each in (fault, *more)],
                "recovery": {"watch": "30s", "steady": "7s"},
            },
        }  # fmt: skip

    def apply(self, *documents: dict[str, Any]) -> list[str]:
        """Apply objects; return the names of the Runs that the experiments among them get."""
        self.there.kubectl(
            "apply", "-f", "-", feed=json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})
        )
        return [f"{each['metadata']['name']}-1" for each in documents if each["kind"] == "Experiment"]


class Watch:
    """`kubectl get … --watch`, each line with the instant at which it came."""

    def __init__(self, bench: Bench, what: str, line: str) -> None:
        plane = bench.there.cluster.plane
        words = [plane.binaries["kubectl"], "--kubeconfig", plane.kubeconfig, "-n", bench.there.name, "get", what, "-w",
                 "--output-watch-events", "-o", f'jsonpath={line}{{"\\n"}}']  # fmt: skip
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd="/")
        self._lines: list[tuple[float, str]] = []
        self._changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self._lines.append((time.time(), line.strip()))
                self._changed.notify_all()

    def first(self, wanted: Callable[[str], bool], since: float = 0.0, patience: float = 90.0) -> float:
        """Wait for a line; return when it came."""

        def found() -> float | None:
            return next((at for at, line in self._lines if at >= since and wanted(line)), None)

        with self._changed:
            assert self._changed.wait_for(lambda: found() is not None, patience), self._lines[-5:]
        at = found()
        assert at is not None
        return at

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def processes(word: str, *more: str) -> list[int]:
    """Return the processes in pods whose command line has these words."""
    found = []
    for pid in ground.in_pods():
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            if word in words and all(any(one in each for each in words) for one in more):
                found.append(pid)
    return found


def kill(*pids: int) -> None:
    """SIGKILL them."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def held(toxiproxy: Server, link: str = LINK) -> list[str]:
    """Return the leases at a link."""
    return list(toxiproxy.toxics(link))


def whole(toxiproxy: Server, link: str = LINK) -> float:
    """Wait until nothing is left at a link; return when."""
    until("the link is whole", lambda: not held(toxiproxy, link) and toxiproxy.proxies()[link].enabled, ground.FOLDER)
    return time.time()


FIRST = 8500
"""The port of the first of many Toxiproxies."""


@contextmanager
def many_toxiproxies(bench: Bench, count: int, links: int) -> Iterator[list[Server]]:
    """Start so many Toxiproxies in one pod, each with links `l0`, `l1` and so on, which lead to itself."""
    line = f"for n in $(seq {FIRST} {FIRST + count - 1}); do /toxiproxy -host=0.0.0.0 -port=$n & done; wait"
    pod = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "toxiproxies"},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "main", "image": images.STACK, "imagePullPolicy": "Never", "command": ["sh", "-c", line],
                            "env": [{"name": "LOG_LEVEL", "value": "error"}]}],
        },
    }  # fmt: skip
    bench.apply(pod)
    try:
        bench.there.kubectl("wait", "pod/toxiproxies", "--for=condition=Ready", "--timeout=60s", patience=70)
        host = bench.there.tree("pod", "toxiproxies")["status"]["podIP"]
        servers = [Server("main", f"http://{host}:{FIRST + number}", deadline=5.0) for number in range(count)]
        for number, server in enumerate(servers):
            until("Toxiproxy answers", server.alive, ground.FOLDER)
            for link in range(links):
                port = 10_000 + 1000 * number + link
                server.create(Proxy(f"l{link}", f"0.0.0.0:{port}", f"127.0.0.1:{FIRST + number}"))
        yield servers
        for server in servers:
            server.close()
    finally:
        bench.there.kubectl("delete", "pod", "toxiproxies")


def alone_at(bench: Bench, name: str, toxiproxy: Server) -> dict[str, Any]:
    """Return a Stack that holds nothing but the links of one Toxiproxy."""
    spec = bench.there.tree("stack", "meetings-1k")["spec"]
    links = [{"name": link, "toxiproxy": "main", "proxy": link} for link in toxiproxy.proxies()]
    parts = {"toxiproxies": [{"name": "main", "url": toxiproxy.url}], "links": links}
    emptied: dict[str, list[Any]] = {"workloads": [], "settings": [], "databases": []}
    return {"apiVersion": API, "kind": "Stack", "metadata": {"name": name}, "spec": {**spec, **emptied, **parts}}


def with_children(pids: list[int]) -> set[int]:
    """Return these processes and all that they have started, and these in turn."""
    parents = {}
    for pid in ground.in_pods():
        with suppress(OSError):
            parents[pid] = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    found = set(pids)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found
