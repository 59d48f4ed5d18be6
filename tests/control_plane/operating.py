"""The operator as a user starts it, in a process of its own, and the ground that its runs stand on: a Toxiproxy, a service."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aftershock.adapters import home
from aftershock.adapters import kubernetes as k8s
from aftershock.errors import AftershockError
from aftershock.runtime.cluster import objects
from component.conftest import end, free_port, start_toxiproxy
from control_plane.conftest import new_namespace, until
from planted import Asked, Server, response, serving
from whole_runs import ask, proxies

ROOT = Path(__file__).parents[2]
BROKEN = "/broken"
"""What the service answers with 503, always."""
SPOKEN = 5
"""Lines of a part's output that a failure shows."""


class Part:
    """A part of Aftershock, as a process that can be killed, ended and started again. What it says is kept in a file."""

    def __init__(self, words: Sequence[str], kubeconfig: Path, state: Path) -> None:
        self._line = [sys.executable, "-m", "aftershock", *words]
        self._said = state / f"{words[0]}.said"
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "operator"),
            "KUBECONFIG": str(kubeconfig),
            "AFTERSHOCK_HOME": str(state),
            "AFTERSHOCK_CACHE": str(home.cache()),
        }

    def start(self) -> None:
        with self._said.open("a") as said:
            self.process = subprocess.Popen(
                self._line, env=self.environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )

    def kill(self) -> None:
        """End it as the kernel does where memory is short: without a word."""
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        """Ask it to end, and wait for that; return its exit code."""
        self.process.terminate()
        return self.process.wait(60)

    def restart(self) -> None:
        self.kill()
        self.start()

    def said(self) -> str:
        """Return what it said so far; a part that ended by itself is a failure."""
        text = self._said.read_text()
        assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{text[-3000:]}"
        return text

    def until_said(self, text: str, count: int = 1) -> None:
        until(lambda: self.said().count(text) >= count)


@dataclass
class Field:
    """One namespace of a real API server, with a service, a Toxiproxy before it, and a state folder of its own."""

    api: k8s.Api
    namespace: str
    kubeconfig: Path
    state: Path
    toxiproxy: str
    """The Toxiproxy's interface, by way of what counts."""
    service: Server
    ending: ExitStack
    injected: Counter[str] = field(default_factory=Counter)
    """Toxics by name, as often as somebody added them at the target."""
    toxiproxies: list[str] = field(default_factory=list)
    """Those that stacks have to themselves."""

    # What a user writes

    def tree(self, kind: str, name: str, spec: Any, **meta: Any) -> k8s.Tree:
        within = {} if kind == "Era" else {"namespace": self.namespace}
        return {"apiVersion": k8s.OURS, "kind": kind, "metadata": {"name": name, **within, **meta}, "spec": spec}

    @property
    def era_name(self) -> str:
        return f"era-{self.namespace}"

    def era(self) -> k8s.Tree:
        stated = {"kind": "stated"}
        uptime = {"name": "uptime", "indicator": "meeting-success", "target": "95%", "source": stated}
        return self.tree("Era", self.era_name, {"window": "30d", "incidentShare": "10%", "objectives": [uptime]})

    def stack(self, name: str = "planted", **more: Any) -> k8s.Tree:
        """A stack with one link, of its own name, and one indicator."""
        spec = {
            "era": self.era_name,
            "environment": "test",
            "toxiproxies": [{"name": "main", "url": self.toxiproxy}],
            "links": [{"name": "in", "toxiproxy": "main", "proxy": f"{self.namespace}.{name}"}],
            "indicators": [self.indicator()],
            **more,
        }
        return self.tree("Stack", name, spec)

    def indicator(self, name: str = "meeting-success", every: str = "50ms", path: str = "/meet") -> k8s.Tree:
        return {"name": name, "every": every, "timeout": "1s", "http": {"url": f"{self.service.url}{path}"}}

    def experiment(
        self,
        name: str = "slow",
        timeline: Sequence[k8s.Tree] = (),
        *,
        baseline: str = "0s",
        watch: str = "10s",
        steady: str = "500ms",
        meta: Any = None,
        **more: Any,
    ) -> k8s.Tree:
        spec = {
            "stack": "planted",
            "baseline": {"for": baseline},
            "timeline": list(timeline),
            "recovery": {"watch": watch, "steady": steady},
            **more,
        }
        return self.tree("Experiment", name, spec, **(meta or {}))

    # What is there

    def place(self, *stacks: str, **more: Any) -> None:
        """Put the era and stacks there, each with a proxy of its own before the service."""
        self.place_era()
        for name in stacks or ("planted",):
            self.proxy(f"{self.namespace}.{name}")
            self.api.create(k8s.STACKS, self.stack(name, **more))

    def place_apart(self, *stacks: str, **more: Any) -> None:
        """Put stacks there that have no place in common, each with a Toxiproxy of its own: their runs wait for none."""
        for name in stacks:
            port = free_port()
            self.ending.callback(end, start_toxiproxy(port))
            own = self.ending.enter_context(counting(f"http://127.0.0.1:{port}", self.injected))
            self.toxiproxies.append(own)
            self.proxy(f"{self.namespace}.{name}", own)
            self.api.create(k8s.STACKS, self.stack(name, toxiproxies=[{"name": "main", "url": own}], **more))

    def place_era(self) -> None:
        self.api.create(k8s.ERAS, self.era())
        self.ending.callback(self.api.delete, k8s.ERAS, self.era_name)

    def proxy(self, name: str, toxiproxy: str | None = None) -> None:
        upstream = self.service.url.removeprefix("http://")
        made = {"name": name, "listen": "127.0.0.1:0", "upstream": upstream, "enabled": True}
        assert ask(toxiproxy or self.toxiproxy, "POST", "/proxies", json.dumps(made).encode())[0] == 201
        if toxiproxy is None:
            self.ending.callback(self._unproxy, name)

    def _unproxy(self, name: str) -> None:
        with suppress(OSError):  # one that a failed test left frozen
            ask(self.toxiproxy, "DELETE", f"/proxies/{name}")

    def apply(self, tree: k8s.Tree) -> k8s.Tree:
        return self.api.create({"Experiment": k8s.EXPERIMENTS, "Run": k8s.RUNS}[tree["kind"]], tree)

    def toxics(self) -> list[str]:
        """Ask the Toxiproxies themselves for what is on this namespace's proxies."""
        every = [pair for url in (self.toxiproxy, *self.toxiproxies) for pair in proxies(url).items()]
        mine = [each for name, each in every if name.startswith(self.namespace)]
        return [toxic["name"] for proxy in mine for toxic in proxy["toxics"]]

    # What came of it

    def find(self, name: str) -> k8s.Tree | None:
        return self.api.find(k8s.RUNS, name, self.namespace)

    def run(self, name: str) -> k8s.Tree:
        return self.api.get(k8s.RUNS, name, self.namespace)

    def runs(self) -> list[str]:
        return sorted(run["metadata"]["name"] for run in self.api.list(k8s.RUNS, self.namespace))

    def status(self, name: str) -> k8s.Tree:
        return dict((self.find(name) or {}).get("status") or {})

    def condition(self, name: str, kind: str) -> tuple[str, str, str]:
        """Return status, reason and message of a Run's condition; empty where it has none."""
        found = objects.condition(self.status(name).get("conditions") or [], kind) or {}
        return found.get("status", ""), found.get("reason", ""), found.get("message", "")

    def until_reason(self, name: str, reason: str) -> str:
        """Wait until the Run says why it has not started; return the message."""
        until(lambda: self.condition(name, "Started")[1] == reason)
        return self.condition(name, "Started")[2]

    def until_phase(self, name: str, *phases: str) -> None:
        until(lambda: self.status(name).get("phase") in phases)

    def finished(self, name: str) -> k8s.Tree:
        """Wait until the Run is over and let go of; return its status."""
        until(lambda: self.status(name).get("phase") == "Finished")
        until(lambda: not self.run(name)["metadata"].get("finalizers"))
        return self.status(name)

    def verdict(self, name: str) -> str:
        status = self.finished(name)
        print(status.get("because"))
        return str(status["verdict"])

    def of_experiment(self, name: str) -> k8s.Tree:
        return dict(self.api.get(k8s.EXPERIMENTS, name, self.namespace).get("status") or {})

    def ready(self, name: str) -> tuple[str, str, str]:
        found = objects.condition(self.of_experiment(name).get("conditions") or [], "Ready") or {}
        return found.get("status", ""), found.get("reason", ""), found.get("message", "")

    def events(self, name: str) -> list[str]:
        """Return the reasons of the Events about an object, in the order of their names."""
        found = self.api.list(k8s.EVENTS, self.namespace, fields=f"involvedObject.name={name}")
        return [each["reason"] for each in found]

    def executor(self, name: str) -> int:
        """Return the process that carries a Run out."""
        until(lambda: self.status(name).get("executor"))
        return int(self.status(name)["executor"].rpartition("/")[2])

    def tell(self) -> None:
        """Print what parts said and what Runs are not over: a test that failed shows it."""
        for said in sorted(self.state.glob("*.said")):
            print(f"{said.name}: {said.read_text()[-5000:]}")
        with suppress(AftershockError):
            for run in self.api.list(k8s.RUNS, self.namespace):
                if run["metadata"].get("finalizers"):
                    print(json.dumps(run, indent=1)[:5000])

    # Parts

    def operator(self, *words: str, kubeconfig: Path | None = None) -> Part:
        """Start an operator for this namespace; it ends with the test."""
        line = ["operator", "--launcher", "child", "--namespace", self.namespace, *words]
        return self._part(line, kubeconfig)

    def reaper(self) -> Part:
        line = ["reap", "--watch", "--cluster", "-n", self.namespace]
        return self._part([*line, "--health-port", "0", "--metrics-port", "0"], None)

    def _part(self, line: Sequence[str], kubeconfig: Path | None) -> Part:
        part = Part(line, kubeconfig or self.kubeconfig, self.state)
        part.start()
        self.ending.callback(part.kill)
        return part


def latency(hold: str = "300ms", at: str = "0s", latency: str = "200ms") -> k8s.Tree:
    """A timeline's entry: the link `in` is slow, by so much that a round trip on a busy machine is not taken for it."""
    return {"at": at, "for": hold, "fault": "latency", "target": "in", "with": {"latency": latency}}


@contextmanager
def counting(toxiproxy: str, injected: Counter[str]) -> Iterator[str]:
    """Stand before a Toxiproxy's interface and count the toxics that are added, by name; pass everything on."""
    lock = threading.Lock()

    def answer(asked: Asked) -> bytes:
        method, path = asked.head.split(b" ", 2)[:2]
        status, body, date = ask(toxiproxy, method.decode(), path.decode(), asked.body or None)
        added = re.search(rb'"name":\s*"([^"]+)"', asked.body) if method == b"POST" and b"/toxics" in path else None
        if added and status < 300:
            with lock:
                injected[added[1].decode()] += 1
        return response(status, body, f"Date: {date}\r\nContent-Type: application/json\r\n".encode())

    with serving(answer) as server:
        yield server.url


@contextmanager
def field_on(api: k8s.Api, kubeconfig: Path, toxiproxy: str, state: Path) -> Iterator[Field]:
    """A field on a plane. Its executors have ended when it ends: none outlives its test."""
    injected: Counter[str] = Counter()
    with (
        new_namespace(api) as namespace,
        serving(lambda asked: response(503 if asked.target == BROKEN else 200)) as service,
        counting(toxiproxy, injected) as counted,
        ExitStack() as ending,
    ):
        one = Field(api, namespace, kubeconfig, state, counted, service, ending, injected)
        ending.callback(end_executors, state)
        ending.callback(one.tell)
        yield one


def end_executors(state: Path) -> None:
    """End what works from a state folder, and wait until it is gone."""
    for pid in working_from(state):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not working_from(state))


def working_from(state: Path) -> list[int]:
    """Return the processes whose state folder that is."""
    wanted = f"AFTERSHOCK_HOME={state}".encode()
    return [pid for pid in _processes() if wanted in _read(pid, "environ").split(b"\0") and _lives(pid)]


def _processes() -> list[int]:
    return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit() and int(each.name) != os.getpid()]


def _lives(pid: int) -> bool:
    return _read(pid, "stat").rpartition(b") ")[2][:1] not in {b"", b"Z", b"X"}


def _read(pid: int, what: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes()
    except OSError:
        return b""


Check = Callable[[], object]
