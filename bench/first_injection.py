"""From `kubectl apply` to the first injection, the executor a child of the operator: beside `aftershock run` of the same file.

Run: python bench/first_injection.py [ROUNDS]. Both begin when the command is typed and end when the Toxiproxy is asked for
the toxic, so that nothing which we say of ourselves counts. The Experiment has no baseline, and its Stack one indicator. With
the executor as a Job it takes nodes: that is a case of `make bench-cluster`.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "operator"))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from aftershock.adapters import kubernetes as k8s
from aftershock.stacks import ports
from aftershock.stacks.control_plane import ControlPlane
from aftershock.stacks.toxiproxy import program
from planted import Asked, response, serving
from reconciling import ERA, namespace, operator, part, plane, tree, until, warm
from whole_runs import ask

WHERE = "first"
SLOW = {"at": "0s", "for": "300ms", "fault": "latency", "target": "in", "with": {"latency": "200ms"}}
EXPERIMENT = {
    "stack": "linked", "baseline": {"for": "0s"}, "timeline": [SLOW], "recovery": {"watch": "0s", "steady": "0s"},
}  # fmt: skip


@dataclass
class Link:
    """A service behind a Toxiproxy, and what stands before the Toxiproxy's interface and looks at the clock."""

    spec: k8s.Tree = field(default_factory=dict)
    injected: list[float] = field(default_factory=list)

    def since(self, begun: float) -> float:
        """Wait for the first toxic after an instant; return how long it took, seconds."""
        until(lambda: self.injected and self.injected[-1] > begun, 0.002)
        return next(at for at in self.injected if at > begun) - begun


@contextmanager
def link() -> Iterator[Link]:
    found = Link()
    (port,) = ports.choose(1)
    toxiproxy = f"http://127.0.0.1:{port}"
    process = subprocess.Popen([program(), "-port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answer(asked: Asked) -> bytes:
        method, path = asked.head.split(b" ", 2)[:2]
        if method == b"POST" and b"/toxics" in path:
            found.injected.append(asked.at)
        status, body, date = ask(toxiproxy, method.decode(), path.decode(), asked.body or None)
        return response(status, body, f"Date: {date}\r\nContent-Type: application/json\r\n".encode())

    try:
        with serving(lambda _: response()) as service, serving(answer) as front:
            until(lambda: _there(toxiproxy))
            made = {"name": "in", "listen": "127.0.0.1:0", "upstream": f"127.0.0.1:{service.port}", "enabled": True}
            ask(toxiproxy, "POST", "/proxies", json.dumps(made).encode())
            indicator = {"name": "meeting-success", "every": "100ms", "http": {"url": service.url}}
            found.spec = {
                "era": "bench", "environment": "test", "indicators": [indicator],
                "toxiproxies": [{"name": "main", "url": front.url}],
                "links": [{"name": "in", "toxiproxy": "main", "proxy": "in"}],
            }  # fmt: skip
            yield found
    finally:
        process.kill()
        process.wait()


def _there(toxiproxy: str) -> bool:
    try:
        return ask(toxiproxy, "GET", "/version")[0] == 200
    except OSError:
        return False


def applied(plane: ControlPlane, folder: Path, number: int, on: Link) -> tuple[float, float]:
    """Apply one; return seconds until kubectl was done, and until the toxic came. Its Run is over at the end."""
    api, name = k8s.Api.connect(plane.kubeconfig), f"slow-{number}"
    file = folder / "experiment.yaml"
    file.write_text(json.dumps(tree("Experiment", name, EXPERIMENT, WHERE)))
    begun = time.monotonic()
    subprocess.run(
        [plane.kubectl, "--kubeconfig", plane.kubeconfig, "apply", "-f", file], check=True, capture_output=True
    )
    kubectl = time.monotonic() - begun
    first = on.since(begun)
    until(lambda: (api.find(k8s.RUNS, f"{name}-1", WHERE) or {}).get("status", {}).get("verdict"))
    return kubectl, first


def run(folder: Path, on: Link) -> float:
    """Do the same by the command line."""
    documents = (
        ("stack", "Stack", "linked", on.spec),
        ("slow", "Experiment", "slow", EXPERIMENT),
        ("era", "Era", "bench", ERA),
    )
    for file, kind, name, spec in documents:
        (folder / f"{file}.yaml").write_text(json.dumps(tree(kind, name, spec)))
    command = [
        Path(sys.executable).with_name("aftershock"),
        "run",
        "slow.yaml",
        "--stack",
        "stack.yaml",
        "--era",
        "era.yaml",
    ]
    environment = {**os.environ, "AFTERSHOCK_HOME": str(folder / "home")}
    begun = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if not on.injected or on.injected[-1] < begun:
        raise SystemExit(f"nothing was injected: {done.stdout}{done.stderr}")
    return on.since(begun)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    kubectl, door, line = [], [], []
    with plane(apart=False) as running, tempfile.TemporaryDirectory() as folder, link() as on:
        api, here = k8s.Api.connect(running.kubeconfig), Path(folder)
        with namespace(api, WHERE), part(running, operator(WHERE), here / "operator", core=None):
            warm(api, WHERE)
            api.create(k8s.STACKS, tree("Stack", "linked", on.spec, WHERE))
            for number in range(rounds + 1):
                alone, first = applied(running, here, number, on)
                typed = run(here, on)
                if number:  # the first fills the caches
                    kubectl.append(alone)
                    door.append(first)
                    line.append(typed)
    alone, first, typed = map(statistics.median, (kubectl, door, line))
    print(f"| to the first injection, median of {rounds} | beside | ratio | aim |")
    print("|---|---|---|---|")
    print(f"| from `kubectl apply`, executor a child | `kubectl apply` until it returns | {first / alone:.2f} | |")
    print(
        f"| from `kubectl apply`, executor a child | from `aftershock run` of the same file | {first / typed:.2f} | |"
    )


if __name__ == "__main__":
    main()
