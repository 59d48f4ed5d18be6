"""Beside Chaos Mesh 2.7.3, on a real two-node cluster: the same cases, each with what really happened at the target.

Run as root on Linux: python bench/beside_chaos_mesh.py [CASE ...]; without a case all of them, some ten
minutes, and the table goes to bench/RESULTS-cluster.md.
Chaos Mesh's column was measured beforehand on such a two-node cluster (medians); it is not run here.
"""

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "operator"), str(ROOT / "tests")]

from aftershock.adapters.toxiproxy import Server
from aftershock.stacks import programs as built
from cluster import ground, images
from cluster.cluster import Cluster, standing
from cluster.conftest import upgrade
from cluster.doors import Namespace, Told
from cluster.programs import until
from on_cluster import (
    API,
    LINK,
    Bench,
    Watch,
    alone_at,
    held,
    kill,
    many_toxiproxies,
    processes,
    whole,
    with_children,
)

UNMEASURED = "NOT MEASURED"
KILLS = int(os.environ.get("KILLS", "50"))
TRIES = int(os.environ.get("TRIES", "3"))
AT_ONCE = 10
"""Runs whose executors are killed in one round."""
FAULTS, MOST = 200, 50


def seconds(values: list[float]) -> str:
    """Say what was measured: the median, and the worst."""
    return f"{median(values):.2f} s (worst {max(values):.2f}, n={len(values)})"


def pod_kill(bench: Bench) -> str:
    """From the Run's Active phase to the pod's being gone, and the whole way."""
    runs = Watch(bench, "runs", "{.object.metadata.name} {.object.status.phase}")
    pods = Watch(bench, "pods", "{.type} {.object.metadata.name}")
    active, whole_way = [], []
    for _ in range(TRIES):
        began = time.time()
        (run,) = bench.apply(bench.document({"fault": "pod-kill", "target": "app"}))
        gone = pods.first(lambda line: line.startswith("DELETED meetings-1k-app"), began)
        active.append(gone - runs.first(lambda line, run=run: line == f"{run} Active"))
        whole_way.append(gone - began)
        bench.there.told(run)
    runs.close()
    pods.close()
    return f"{seconds(active)} from Active; {seconds(whole_way)} from apply, 5 s of them the baseline"


def said(bench: Bench) -> str:
    """When the run says that a link is down, and when its port really is."""
    with bench.toxiproxy() as toxiproxy:
        port = int(toxiproxy.proxies()[LINK].listen.rsplit(":", 1)[1])
    host, before, after = bench.address(), [], []
    for _ in range(TRIES):
        (run,) = bench.apply(bench.document({"fault": "link-down", "target": LINK}))
        until("the executor runs", lambda run=run: processes("execute", run), ground.FOLDER)
        (pid, *_) = processes("execute", run)
        open_, refused = _closing(host, port)
        journal: list[dict[str, Any]] = []
        until("the journal tells", lambda pid=pid, journal=journal: _landed(pid, journal), ground.FOLDER)
        told = journal[-1]["at"] + journal[0]["origin"]
        before.append(told - open_)
        after.append(told - refused)
        bench.there.told(run)
    word = "never before it is true" if min(before) >= 0 else f"{-min(before):.3f} s BEFORE it is true"
    return f"said {median(after):+.3f} to {median(before):+.3f} s after the port went down (n={TRIES}): {word}"


def _closing(host: str, port: int) -> tuple[float, float]:
    """Knock at a port until it refuses; return when it last let somebody in, and when it was found shut."""
    end = open_ = time.time() + 60
    while (now := time.time()) < end:
        try:
            socket.create_connection((host, port), 1).close()
        except OSError:
            return open_, time.time()
        open_ = now
        time.sleep(0.002)
    raise SystemExit("the port never went down")


def _landed(pid: int, into: list[dict[str, Any]]) -> bool:
    """Read a run's journal out of its pod, up to the first time that it says that the fault is there."""
    for path in Path(f"/proc/{pid}/root/var/lib/aftershock").rglob("journal*"):
        lines = [json.loads(line) for line in path.read_bytes().splitlines() if line.endswith(b"}")]
        for number, line in enumerate(lines):
            if line["type"] == "observed" and line["when"] == "during" and line["holds"]:
                into[:] = [lines[0], line]
                return number > 0
    return False


def controllers_gone(bench: Bench) -> str:
    """The operator is scaled to zero, operator and executor are SIGKILLed while the link is held."""
    late = []
    for _ in range(TRIES):
        with lost(bench) as (run, expiry), bench.toxiproxy() as toxiproxy:
            operators = processes("operator")
            bench.there.kubectl("scale", "deployment/aftershock-operator", "--replicas=0")
            kill(*operators, *processes("execute", run))
            late.append(whole(toxiproxy) - expiry)
            bench.there.kubectl("scale", "deployment/aftershock-operator", "--replicas=1")
    return f"gone {seconds(late)} after the lease"


def leader_killed(bench: Bench) -> str:
    """Three reapers, of which none leads: one is SIGKILLed, with the executor."""
    bench.there.kubectl("scale", "deployment/aftershock-reaper", "--replicas=3")
    bench.there.kubectl("rollout", "status", "deployment/aftershock-reaper", "--timeout=60s", patience=70)
    late = []
    try:
        for _ in range(TRIES):
            with lost(bench) as (run, expiry), bench.toxiproxy() as toxiproxy:
                kill(*processes("execute", run), *processes("reap")[:1])
                late.append(whole(toxiproxy) - expiry)
    finally:
        bench.there.kubectl("scale", "deployment/aftershock-reaper", "--replicas=1")
    return f"gone {seconds(late)} after the lease; there is no leader: each of three reapers heals"


@contextmanager
def lost(bench: Bench) -> Iterator[tuple[str, int]]:
    """A run that holds the link at this moment, whose executor is about to be lost: its name, and its lease's expiry."""
    (run,) = bench.apply(bench.document({"fault": "link-down", "target": LINK}))
    with bench.toxiproxy() as toxiproxy:
        until("the link is held", lambda: held(toxiproxy), ground.FOLDER)
        (lease,) = held(toxiproxy)
    yield run, int(lease.rsplit(".", 1)[1])
    bench.there.told(run)


def api_stopped(bench: Bench) -> str:
    """The API server is stopped for 30 s over the expiry of a fault inside the API, and its executor is killed."""
    (run,) = bench.apply(bench.document({"fault": "workload-hold-down", "target": "app"}))
    until("it is held down", lambda: _replicas(bench) == 0, ground.FOLDER)
    server = _api_server()
    kill(*processes("execute", run))
    os.kill(server, signal.SIGSTOP)
    try:
        time.sleep(30)  # what is measured is an outage of that length
    finally:
        os.kill(server, signal.SIGCONT)
    until("it answers", bench.there.cluster.plane.answers, ground.FOLDER)
    answered = time.time()
    until("it is scaled up again", lambda: _replicas(bench) == 1, ground.FOLDER)
    late = time.time() - answered
    told = bench.there.told(run)
    return f"within {late:.2f} s of its answering (n=1); the run: {told.verdict}"


def _api_server() -> int:
    """Return its process."""
    for pid in ground.programs():
        with suppress(OSError):  # it may have ended just now
            if Path(f"/proc/{pid}/comm").read_text().startswith("kube-apiserver"):
                return pid
    raise SystemExit("there is no API server")


def _replicas(bench: Bench) -> int:
    return int(bench.there.kubectl("get", "deployment", "meetings-1k-app", "-o", "jsonpath={.spec.replicas}"))


def nothing_there(bench: Bench) -> str:
    """The selector matches nothing; and the target is replaced during the fault."""
    stack = bench.there.tree("stack", "meetings-1k")
    other = {"apiVersion": API, "kind": "Stack", "metadata": {"name": "of-nothing"}, "spec": stack["spec"]}
    other["spec"]["workloads"] = [{"name": "app", "selector": {"app.kubernetes.io/name": "nobody"}}]
    other["spec"]["settings"] = []
    (run,) = bench.apply(other, bench.document({"fault": "pod-kill", "target": "app"}, stack="of-nothing"))
    empty = bench.there.told(run)
    (run,) = bench.apply(bench.document({"fault": "link-down", "target": LINK}))
    with bench.toxiproxy() as toxiproxy:
        until("the link is held", lambda: held(toxiproxy), ground.FOLDER)
    (pod,) = bench.there.pods("app.kubernetes.io/name=main")
    bench.there.kubectl("delete", "pod", pod, "--grace-period=0", "--force")
    replaced = bench.there.told(run)
    bench.there.kubectl("rollout", "status", "deployment/meetings-1k-main", "--timeout=60s", patience=70)
    return f"matches nothing: {_words(empty)}; replaced: {_words(replaced)}"


def _words(told: Told) -> str:
    return f"{told.verdict} ({told.conditions['FaultLanded'][1]}: {told.because})"


def many(bench: Bench) -> str:
    """A latency toxic in each of 200 links: four stacks and experiments, since a timeline has at most 50 faults.

    Each has a Toxiproxy of its own: two runs never hold one place, and would take turns.
    """
    with many_toxiproxies(bench, FAULTS // MOST, MOST) as servers:
        runs = Watch(bench, "runs", "{.object.metadata.name} {.object.status.phase}")
        stacks = [alone_at(bench, f"of-many-{n}", server) for n, server in enumerate(servers)]
        faults = [{"fault": "latency", "target": f"l{n}", "with": {"latency": "2s"}, "for": "20s"} for n in range(MOST)]
        documents = [bench.document(*faults, stack=f"of-many-{n}", baseline="0s") for n in range(len(servers))]
        before, began = _cpu("operator"), time.time()
        names = bench.apply(*stacks, *documents)
        until("all are there", lambda: sum(map(_toxics, servers)) >= FAULTS, ground.FOLDER)
        there, spent = time.time(), _cpu("execute") + _cpu("operator") - before
        active = min(runs.first(lambda line, run=run: line == f"{run} Active") for run in names)
        verdicts = sorted({bench.there.told(run).verdict for run in names})
        runs.close()
    wall = f"{there - began:.1f} s from apply, without a baseline, {there - active:.1f} s of them from the first Active"
    cost = f"{spent:.1f} CPU-seconds of operator and executors, their start included"
    return f"{wall}; {cost}; {len(names)} experiments with {MOST} faults each; {', '.join(verdicts)}"


def _toxics(toxiproxy: Server) -> int:
    """Return how many toxics there are, by one question."""
    return sum(len(proxy["toxics"]) for proxy in toxiproxy.call("GET", "/proxies").json().values())


def _cpu(word: str) -> float:
    """Return the CPU-seconds of the processes in pods with this word, and of all that they have started."""
    ticks = 0
    for pid in with_children(processes(word)):
        with suppress(OSError):
            ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def killed_between(bench: Bench) -> str:
    """The executor is SIGKILLed the moment its fault is seen at the target: what is still broken after its lease?"""
    broken = aborted = done = 0
    with many_toxiproxies(bench, min(AT_ONCE, KILLS), 1) as servers:
        stacks = [alone_at(bench, f"of-{n}", server) for n, server in enumerate(servers)]
        while done < KILLS:
            number = min(AT_ONCE, KILLS - done)
            documents = [
                bench.document({"fault": "link-down", "target": "l0"}, stack=f"of-{n}", baseline="0s")
                for n in range(number)
            ]
            runs = bench.apply(*stacks[:number], *documents)
            expiry = max(_killed(run, server) for run, server in _as_they_come(runs, servers))
            time.sleep(max(0.0, expiry + 5 - time.time()))  # what is asked is how it is then
            left = [bool(held(one, "l0")) or not one.proxies()["l0"].enabled for one in servers[:number]]
            broken += sum(left)
            aborted += sum(bench.there.told(run).verdict == "Aborted" for run in runs)
            done += number
    return f"broken after its lease + 5 s: {broken} of {done}; Runs that say so (Aborted): {aborted} of {done}"


def _as_they_come(runs: list[str], servers: list[Server]) -> Iterator[tuple[str, Server]]:
    """Yield each run the moment its fault is seen."""
    waiting, end = list(zip(runs, servers, strict=False)), time.monotonic() + 120
    while waiting:
        for one in list(waiting):
            if held(one[1], "l0"):
                waiting.remove(one)
                yield one
        assert time.monotonic() < end, f"these never began: {[run for run, _ in waiting]}"


def _killed(run: str, server: Server) -> int:
    """Kill a run's executor; return when what it holds expires."""
    lease = held(server, "l0")
    kill(*processes("execute", run))
    return int(lease[0].rsplit(".", 1)[1]) if lease else 0


def idle(bench: Bench) -> str:
    """Memory when nothing goes on: resident, of operator and reaper."""
    return (
        "; ".join(
            f"{name} {sum(map(_resident, processes(word))):.0f} MB"
            for name, word in (("operator", "operator"), ("reaper", "reap"))
        )
        + "; no agent on the nodes"
    )


def _resident(pid: int) -> float:
    return (
        next(
            int(line.split()[1])
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if line.startswith("VmRSS")
        )
        / 1024
    )


THEIRS = (
    "Chaos Mesh's column: medians of Chaos Mesh 2.7.3, measured on such a two-node cluster beforehand; not run here."
)


@dataclass(frozen=True)
class Case:
    """One row: how ours is measured, and what stands beside it."""

    measure: Callable[[Bench], str]
    title: str
    theirs: str
    aim: str


CASES = {
    "idle": Case(idle, "idle memory: controller / agent a node", "70 MB / 51 MB", "no more, and no agent"),
    "pod-kill": Case(pod_kill, "pod-kill → pod gone", "0.062 s from apply", "≤ 0.062 s from Active"),
    "said": Case(said, "“injected” said / port really down", "0.09 s / 2.4 s", "never said before it is true"),
    "controllers": Case(
        controllers_gone,
        "controller scaled to 0 and SIGKILLed; 60 s past expiry",
        "fault still there, 3 of 3",
        "gone by lease + 1 s",
    ),
    "leader": Case(leader_killed, "leader of three replicas killed", "reverted 14 s late", "lease + 1 s"),
    "api": Case(
        api_stopped,
        "API server stopped for 30 s over the expiry",
        "reverted 19.5 s after it answers",
        "within 2 s of its answering",
    ),
    "nothing": Case(
        nothing_there,
        "selector matches nothing; target replaced during the fault",
        "no failure; “AllInjected=True”",
        "Inconclusive, with the reason",
    ),
    "many": Case(many, f"{FAULTS} faults applied at once", "27 to 39 s, 5 to 9 CPU-seconds", "at most half of both"),
    "between": Case(
        killed_between,
        "killed between injecting and recording it",
        "pod broken for ever, 5 of 5, status “Not Injected”",
        "0 of 50",
    ),
}


def main(wanted: list[str]) -> int:
    if why := ground.why_not():
        print(f"skipped: {why}")
        return 0
    binaries = built.all_of([*built.CONTROL_PLANE, *built.NODES])
    rows = ["| case | Chaos Mesh 2.7.3 | Aftershock | aim |", "|---|---|---|---|"]
    with ground.alone(), standing(binaries, images.archive()) as cluster:
        bench = Bench(_installed(cluster))
        for name in wanted or CASES:
            rows.append(_row(bench, CASES[name]))
            print(rows[-1], file=sys.stderr, flush=True)
    text = "\n".join(
        ["# Beside Chaos Mesh", "", f"`make bench-cluster` writes this file. {machine()}", "", *rows, "", THEIRS]
    )
    if not wanted:
        (Path(__file__).parent / "RESULTS-cluster.md").write_text(f"{text}\n", encoding="utf-8")
    print(text)
    return int(any(UNMEASURED in row for row in rows))


def _row(bench: Bench, case: Case) -> str:
    """Measure a case; one that can't be measured costs no other."""
    try:
        ours = case.measure(bench)
    except Exception as error:  # noqa: BLE001 - whatever it was is what the row says
        print(f"{case.title}: {error!r}", file=sys.stderr, flush=True)
        ours = f"{UNMEASURED}: {' '.join(str(error).split())[:200]}"
    return f"| {case.title} | {case.theirs} | {ours.replace('|', '/')} | {case.aim} |"


def machine() -> str:
    """Say what it ran on."""
    return f"Measured on {os.cpu_count()} cores; load {os.getloadavg()[0]:.1f}; two nodes, one a region."


def _installed(cluster: Cluster) -> Namespace:
    cluster.plane.kubectl("create", "namespace", "meetings")
    upgrade(cluster, "aftershock")
    upgrade(cluster, "era-stack")
    return Namespace(cluster, "meetings")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
