"""The operator beside a bare kopf operator: Experiments without faults from apply to Finished, and what knowing Runs costs.

Run: python bench/reconciling.py [EXPERIMENTS [ROUNDS]]. A real etcd and API server have core 1; the operator, with every
executor that it starts, has core 0, and so has its peer (bare_kopf.py), which writes a status as often as ours do: that
number is asked of the API server. Each Experiment has a Stack of its own, so that none waits for another.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "operator"))

from aftershock.adapters import kubernetes as k8s
from aftershock.errors import AftershockError
from aftershock.runtime.cluster.crds import crds
from aftershock.stacks.control_plane import ControlPlane

DEFINITIONS = k8s.Resource("apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False)
UPTIME = {"name": "uptime", "indicator": "meeting-success", "target": "99%", "source": {"kind": "stated"}}
ERA = {"window": "30d", "incidentShare": "10%", "objectives": [UPTIME]}
NO_FAULT = {"baseline": {"for": "0s"}, "recovery": {"watch": "0s", "steady": "0s"}}
MANY = 1000
"""Finished Runs that are there when memory is measured."""
PATIENCE = 600.0


def tree(kind: str, name: str, spec: k8s.Tree, namespace: str | None = None) -> k8s.Tree:
    meta = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": k8s.OURS, "kind": kind, "metadata": meta, "spec": spec}


def until(done: Callable[[], object], every: float = 0.05) -> None:
    end = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > end:
            raise SystemExit(f"still not so after {PATIENCE:.0f} s")
        time.sleep(every)


@contextmanager
def plane(*, apart: bool = True) -> Iterator[ControlPlane]:
    """A control plane with our CRDs and an Era; `apart`: on core 1, and this process too."""
    if apart:
        os.sched_setaffinity(0, {1})
    with tempfile.TemporaryDirectory(prefix="aftershock-bench.") as folder, ControlPlane(Path(folder)) as running:
        api = k8s.Api.connect(running.kubeconfig)
        for each in crds():
            api.create(DEFINITIONS, each)
        until(lambda: _knows(api))
        api.create(k8s.ERAS, tree("Era", "bench", ERA))
        yield running


def _knows(api: k8s.Api) -> bool:
    try:
        for resource in (k8s.ERAS, k8s.STACKS, k8s.EXPERIMENTS, k8s.RUNS):
            api.list(resource)
    except AftershockError:
        return False
    return True


@contextmanager
def namespace(api: k8s.Api, name: str) -> Iterator[str]:
    """A namespace whose objects of ours go at the end."""
    api.create(k8s.NAMESPACES, {"metadata": {"name": name}})
    yield name
    for resource in (k8s.EXPERIMENTS, k8s.RUNS, k8s.STACKS, k8s.LEASES, k8s.EVENTS):
        for run in api.list(resource, name) if resource == k8s.RUNS else ():
            api.patch(resource, run["metadata"]["name"], {"metadata": {"finalizers": None}}, name)
        api.call("DELETE", resource, "", name)


@contextmanager
def part(plane: ControlPlane, line: Sequence[str | Path], state: Path, core: int | None = 0) -> Iterator["Spent"]:
    """A program on a core of its own, or on any; it is ended at the end."""
    environment = {
        **os.environ, "KUBECONFIG": str(plane.kubeconfig), "AFTERSHOCK_HOME": str(state),
        "PYTHONPATH": str(ROOT / "operator"),
    }  # fmt: skip
    with (plane.folder / "said").open("ab") as said:
        process = subprocess.Popen(
            [sys.executable, *line],
            env=environment,
            stdout=said,
            stderr=said,
        )
    if core is not None:
        os.sched_setaffinity(process.pid, {core})
    try:
        yield Spent(process.pid)
    finally:
        process.terminate()
        process.wait()


@dataclass(frozen=True)
class Spent:
    """What a process and those that it started, and has buried, have cost."""

    pid: int

    def cpu(self) -> float:
        """Return CPU seconds, of all that live and of all that ended."""
        return sum(self._cpu(pid) for pid in self._family())

    def memory(self) -> int:
        """Return the operator's own bytes of memory: its private pages."""
        text = Path(f"/proc/{self.pid}/smaps_rollup").read_text(encoding="ascii")
        return sum(int(size) * 1024 for size in re.findall(r"Private_\w+: +(\d+) kB", text))

    def _family(self) -> list[int]:
        found, fresh = [self.pid], [self.pid]
        while fresh:
            fresh = [int(child) for pid in fresh for child in _children(pid)]
            found += fresh
        return found

    def _cpu(self, pid: int) -> float:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
        except OSError:
            return 0.0
        return sum(map(int, stat.rpartition(")")[2].split()[11:15])) / os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> list[str]:
    try:
        tasks = Path(f"/proc/{pid}/task").iterdir()
        return [child for task in tasks for child in (task / "children").read_text(encoding="ascii").split()]
    except OSError:
        return []


# Experiments a second


@dataclass(frozen=True)
class Rate:
    """So many Experiments took so long: on the clock, and of one core."""

    count: int
    wall: float
    cpu: float
    writes: int
    calls: int


def operator(where: str) -> list[str]:
    """Return the command line of ours."""
    return ["-m", "aftershock", "operator", "--launcher", "child", "--namespace", where]


def ours(plane: ControlPlane, api: k8s.Api, count: int, name: str) -> Rate:
    """All are applied at once; each is Finished and let go of at the end."""
    with (
        namespace(api, name),
        tempfile.TemporaryDirectory() as state,
        part(plane, operator(name), Path(state)) as spent,
    ):
        warm(api, name)
        return measured(plane, api, count, name, spent, lambda: _finished(api, name) > count)


def peer(plane: ControlPlane, api: k8s.Api, count: int, name: str, writes: int) -> Rate:
    line = [HERE / "bare_kopf.py", name, str(writes)]
    with namespace(api, name), tempfile.TemporaryDirectory() as state, part(plane, line, Path(state)) as spent:
        api.create(k8s.EXPERIMENTS, experiment("warm", name))
        until(lambda: _passed(api, name))
        return measured(plane, api, count, name, spent, lambda: _passed(api, name) > count)


def warm(api: k8s.Api, name: str) -> None:
    """One before: the operator is there, and has what executors are forked from."""
    apply(api, "warm", name)
    until(lambda: _finished(api, name))


def experiment(name: str, where: str) -> k8s.Tree:
    return tree("Experiment", name, {"stack": name, **NO_FAULT}, where)


def apply(api: k8s.Api, name: str, where: str) -> None:
    api.create(k8s.STACKS, tree("Stack", name, {"era": "bench", "environment": "test"}, where))
    api.create(k8s.EXPERIMENTS, experiment(name, where))


def measured(  # noqa: PLR0917
    plane: ControlPlane, api: k8s.Api, count: int, where: str, spent: Spent, done: Callable[[], object]
) -> Rate:
    """Apply so many, and wait for the last."""
    names = [f"no-op-{number}" for number in range(count)]
    for each in names:
        api.create(k8s.STACKS, tree("Stack", each, {"era": "bench", "environment": "test"}, where))
    writes, calls, cpu, begun = *asked(plane), spent.cpu(), time.monotonic()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda each: api.create(k8s.EXPERIMENTS, experiment(each, where)), names))
    until(done, 0.25)
    wall, used, (after, calls_after) = time.monotonic() - begun, spent.cpu() - cpu, asked(plane)
    return Rate(count, wall, used, after - writes, calls_after - calls)


def _finished(api: k8s.Api, where: str) -> int:
    runs = api.list(k8s.RUNS, where)
    return sum(not run["metadata"].get("finalizers") and bool((run.get("status") or {}).get("verdict")) for run in runs)


def _passed(api: k8s.Api, where: str) -> int:
    return sum(bool((each.get("status") or {}).get("lastVerdict")) for each in api.list(k8s.EXPERIMENTS, where))


COUNTED = re.compile(r"^apiserver_request_total\{(.*)\} (\S+)$", re.MULTILINE)


def asked(plane: ControlPlane) -> tuple[int, int]:
    """Return what the API server has counted: writes to a status of our kinds, and calls other than watches, for them all."""
    request = urllib.request.Request(
        f"{plane.address().url}/metrics", headers={"Authorization": f"Bearer {plane.token()}"}
    )
    context = __import__("ssl").create_default_context(cafile=plane.folder / "certificates" / "apiserver.crt")
    with urllib.request.urlopen(request, context=context) as answer:
        text = answer.read().decode()
    writes = calls = 0
    for labels, value in COUNTED.findall(text):
        if 'verb="WATCH"' in labels or 'verb="LIST"' in labels:
            continue
        if 'group="aftershock.dev"' in labels or 'resource="leases",scope="resource"' in labels:
            calls += int(float(value))
        if 'group="aftershock.dev"' in labels and 'subresource="status"' in labels and 'code="200"' in labels:
            writes += int(float(value))
    return writes, calls


# Memory


def memory(plane: ControlPlane, api: k8s.Api, line: Callable[[str], Sequence[str | Path]], name: str) -> float:
    """Return bytes of memory a finished Run, of so many that are there when the operator comes."""
    with namespace(api, name), tempfile.TemporaryDirectory() as state:
        model = _one_run(plane, api, name, Path(state))
        settled = []
        for wanted in (0, MANY):
            for number in range(wanted):
                _copy(api, model, f"copied-{number}", name)
            with part(plane, line(name), Path(state)) as spent:
                settled.append(_settled(spent))
        return (settled[1] - settled[0]) / MANY


def _one_run(plane: ControlPlane, api: k8s.Api, name: str, state: Path) -> k8s.Tree:
    with part(plane, operator(name), state):
        warm(api, name)
    api.patch(k8s.EXPERIMENTS, "warm", {"spec": {"historyLimit": {"passed": 5000, "others": 5000}}}, name)
    return api.list(k8s.RUNS, name)[0]


def _copy(api: k8s.Api, model: k8s.Tree, name: str, where: str) -> None:
    meta = {key: model["metadata"][key] for key in ("labels", "ownerReferences", "namespace")}
    made = tree("Run", name, model["spec"], where)
    api.create(k8s.RUNS, {**made, "metadata": {**meta, **made["metadata"]}})
    api.patch(k8s.RUNS, name, {"status": model["status"]}, where, subresource="status")


def _settled(spent: Spent) -> int:
    """Return its memory once it has read all, and works no more."""
    time.sleep(8)
    until(lambda: _idle(spent), 0.0)
    return spent.memory()


def _idle(spent: Spent) -> bool:
    before = spent.cpu()
    time.sleep(1)
    return spent.cpu() - before < 0.05


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with plane() as running:
        api = k8s.Api.connect(running.kubeconfig, timeout=60.0)  # to delete a thousand takes a while
        mine = [ours(running, api, count, f"ours-{number}") for number in range(rounds)]
        writes = max(round(statistics.median(one.writes / count for one in mine)), 1)
        others = [peer(running, api, count, f"peer-{number}", writes) for number in range(rounds)]
        print(rates(mine, others, writes), flush=True)
        held = [memory(running, api, line, name) for line, name in ((operator, "held"), (watcher, "watched"))]
        print(f"\n{kept(*held)}")


def watcher(where: str) -> list[str | Path]:
    """Return the command line of the peer that only watches."""
    return [HERE / "bare_kopf.py", where, "0"]


def rates(mine: Sequence[Rate], others: Sequence[Rate], writes: int) -> str:
    """Return the table: Experiments for a second of a core, which is what a busy machine leaves comparable."""
    own, bare = (statistics.median(one.cpu / one.count for one in each) for each in (mine, others))
    calls, least = (statistics.median(one.calls / one.count for one in each) for each in (mine, others))
    beside = f"a bare kopf operator with {writes} status writes each"
    return "\n".join(
        [
            f"| no-op Experiments, {mine[0].count} at once | beside | ratio | aim |",
            "|---|---|---|---|",
            f"| Experiments a CPU second, executors and all | {beside} | {bare / own:.2f} | >= 0.5 |",
            f"| calls of the API for each | the same | {calls / max(least, 1):.1f} | |",
        ]
    )


def kept(own: float, bare: float) -> str:
    """Return the table of memory, of bytes a Run."""
    size = [each * 1000 / (1 << 20) for each in (own, bare)]
    return "\n".join(
        [
            "| memory of 1,000 finished Runs | MiB |",
            "|---|---|",
            f"| `aftershock operator` | {size[0]:.1f} |",
            f"| a kopf operator that watches Experiments and Runs, and keeps nothing itself | {size[1]:.1f} |",
        ]
    )


if __name__ == "__main__":
    main()
