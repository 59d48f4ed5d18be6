"""Runs for the real executor to carry out: a slow link before a service that answers, as objects of a real API server."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aftershock.adapters import kubernetes as k8s
from aftershock.adapters import store
from aftershock.adapters.toxiproxy import Server
from aftershock.core.history import History
from aftershock.runtime.cluster import objects
from control_plane.conftest import until
from whole_runs import environment

LINK = "in"


@dataclass
class Executor:
    """The real command, as a process of its own; `said` is what it told on standard error."""

    process: subprocess.Popen[bytes]
    errors: Any

    def said(self) -> str:
        return os.pread(self.errors.fileno(), 1 << 20, 0).decode()

    def wait(self) -> str:
        """Wait for its end, which has to be a good one."""
        code = self.process.wait(120)
        assert code == 0, self.said()
        return self.said()


@dataclass(frozen=True)
class Field:
    """A namespace with a Stack and an Era; `home` is the executor's state folder."""

    api: k8s.Api
    kubeconfig: Path
    namespace: str
    proxy: Server
    home: Path

    def prepare(self, **stack: Any) -> None:
        """Make Era and Stack; the Era bears the namespace's name, as eras are the cluster's."""
        objective = {"name": "up", "indicator": "page", "target": "90%", "source": {"kind": "stated"}}
        era = {"window": "30d", "incidentShare": "10%", "objectives": [objective]}
        self.make(k8s.ERAS, "Era", self.namespace, era)
        main = [{"name": "main", "url": self.proxy.url}]
        links = [{"name": LINK, "toxiproxy": "main", "proxy": LINK}]
        spec = {"era": self.namespace, "environment": "test", "toxiproxies": main, "links": links, **stack}
        self.make(k8s.STACKS, "Stack", "shop", spec)

    def make(self, resource: k8s.Resource, kind: str, name: str, spec: Any, **meta: Any) -> k8s.Tree:
        metadata = {"name": name, **({"namespace": self.namespace} if resource.namespaced else {}), **meta}
        return self.api.create(resource, {"apiVersion": k8s.OURS, "kind": kind, "metadata": metadata, "spec": spec})

    def give(self, name: str = "slow-1", hold: str = "1s") -> k8s.Tree:
        """Make a Run that holds the link's latency for so long."""
        step = {"at": "0s", "for": hold, "fault": "latency", "target": LINK, "with": {"latency": "60ms"}}
        recovery = {"watch": "0s", "steady": "0s"}
        definition = {"stack": "shop", "baseline": {"for": "0s"}, "timeline": [step], "recovery": recovery}
        spec = {"experiment": "slow", "stack": "shop", "definition": definition, "generation": 1}
        return self.make(k8s.RUNS, "Run", name, spec, finalizers=[objects.FINALIZER])

    def run(self, name: str = "slow-1") -> k8s.Tree:
        return self.api.get(k8s.RUNS, name, self.namespace)

    def status(self, name: str = "slow-1") -> k8s.Tree:
        return dict(self.run(name).get("status") or {})

    def toxics(self) -> list[Any]:
        return list(self.proxy.toxics(LINK))

    def history(self, run: Mapping[str, Any]) -> History:
        return store.read(self.journal(run))

    def journal(self, run: Mapping[str, Any]) -> Path:
        token = objects.token(run["metadata"]["uid"])
        return self.home / "runs" / f"{run['metadata']['name']}-{token}" / store.NAME

    @contextmanager
    def executor(self, name: str = "slow-1", code: str = "", **extra: str) -> Iterator[Executor]:
        """Start `aftershock execute`; end it with the block. `code`: Python that runs first, in the same process."""
        started = ["execute", name, "-n", self.namespace]
        line = [sys.executable, "-m", "aftershock", *started]
        if code:
            line = [
                sys.executable,
                "-c",
                f"{code}\nimport sys\nfrom aftershock.cli.app import run\nsys.exit(run({started}))",
            ]
        told = environment(self.home, {"KUBECONFIG": str(self.kubeconfig), **extra})
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(line, env=told, stdout=errors, stderr=errors, stdin=subprocess.DEVNULL)
            try:
                yield Executor(process, errors)
            finally:
                process.kill()
                process.wait()

    def until_injected(self, one: Executor) -> None:
        until(lambda: self.toxics() or not_over(one))


def not_over(one: Executor) -> bool:
    assert one.process.poll() is None, one.said()
    return False
