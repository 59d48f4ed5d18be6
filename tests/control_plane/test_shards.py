"""A load's shards in a cluster: the Job as a real API server takes it, and shards that come to the real executor.

There is neither kubelet nor Job controller here: a process of this machine that is started with what the Job's pod would be
started with stands for each pod (`Kubelet`). Pods on nodes are in tests/cluster.
"""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aftershock.adapters import kubernetes as k8s
from aftershock.adapters.toxiproxy import Proxy, Server
from aftershock.core.history import Healed, Intended, Sharded, Slice
from aftershock.runtime.cluster import jobs, load_jobs, objects, sharding
from aftershock.runtime.cluster.rights import LOAD
from aftershock.stacks.control_plane import ControlPlane
from component.conftest import toxiproxy, toxiproxy_url  # noqa: F401 - fixtures
from control_plane.conftest import install_crds, new_namespace, outage, until
from control_plane.executing import LINK, Executor, Field, not_over
from control_plane.granted import EACH, Bound, One, granting
from planted import Server as Service
from planted import response, serving
from whole_runs import environment

ADDRESS = "127.0.0.1"
IN_A_POD = {"AFTERSHOCK_POD_IP": ADDRESS, "AFTERSHOCK_IMAGE": "localhost/aftershock:1"}
"""What the executor's pod is told."""

SHARDS = 4
HURRIED = """
import sys
from aftershock.cli.app import run
from aftershock.runtime.cluster import sharding
sharding.Pods.__init__.__defaults__ = ({seconds},)
sys.exit(run(["execute", "slow-1", "-n", "{namespace}"]))
"""


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


@pytest.fixture
def loaded(plane: ControlPlane, applied_crds: None, toxiproxy: Server, tmp_path: Path) -> Iterator[Loaded]:  # noqa: F811
    with loaded_on(plane, toxiproxy, tmp_path) as made:
        yield made


def executor(loaded: Loaded, **extra: str) -> Any:
    return loaded.field.executor(**IN_A_POD, **extra)


def until_held(loaded: Loaded, one: Executor) -> None:
    until(lambda: loaded.field.toxics() or not_over(one))


# The Job


def test_the_job_is_taken_and_its_pods_may_do_nothing_but_send(
    api: k8s.Api, applied_crds: None, namespace: str
) -> None:
    enforce = {"pod-security.kubernetes.io/enforce": "restricted"}
    api.patch(k8s.NAMESPACES, namespace, {"metadata": {"labels": enforce}})
    definition = {"stack": "shop", "load": {"indicator": "page", "rate": "10/s", "shards": 3}, "timeline": []}
    spec = {"experiment": "slow", "stack": "shop", "definition": definition, "generation": 1}
    tree = {"apiVersion": k8s.OURS, "kind": "Run", "metadata": {"name": "slow-1", "namespace": namespace}, "spec": spec}
    run = api.create(k8s.RUNS, tree)
    told = {"AFTERSHOCK_EXECUTOR": "10.0.0.1:4711", "AFTERSHOCK_KEY": "secret"}
    settings = jobs.settings({**IN_A_POD, "AFTERSHOCK_LOAD_RESOURCES": '{"limits": {"memory": "300Mi"}}'})
    made = api.create(k8s.JOBS, load_jobs.manifest(run, settings, told, 3, [("logins", "a"), ("logins", "b")]))
    spec, pod = made["spec"], made["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert made["metadata"]["ownerReferences"][0]["uid"] == run["metadata"]["uid"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 3, 3)
    assert (spec["backoffLimitPerIndex"], spec["backoffLimit"], pod["restartPolicy"]) == (0, 3, "Never")
    assert spec["activeDeadlineSeconds"] == jobs.deadline(run) > 120
    assert (container["args"], container["resources"]) == (["shard"], {"limits": {"memory": "300Mi"}})
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["securityContext"]["runAsNonRoot"] is True
    (mount,) = [each for each in container["volumeMounts"] if "secrets" in each["mountPath"]]
    assert mount == {"name": "secret-0", "mountPath": "/run/aftershock/secrets/logins", "readOnly": True}
    labels = spec["template"]["metadata"]["labels"]
    api.create(k8s.PODS, {"metadata": {"name": "as-a-pod", "labels": labels}, "spec": pod}, namespace)


def test_the_longest_names_fit() -> None:
    assert len(load_jobs.name({"metadata": {"name": "a" * 253, "uid": "u"}})) <= 63 - len("-99-abcde")


# Runs


def test_four_shards_send_what_was_asked_for_as_one_record(loaded: Loaded, tmp_path: Path) -> None:
    run = loaded.give()
    with kubelet(loaded.field, tmp_path) as pods, executor(loaded) as one:
        one.wait()
        until(pods.ended)
        assert [each.returncode for each in pods.pods.values()] == [0] * SHARDS
        assert pods.loads() == [], "the Job goes with the run"
    load, arrived = loaded.load(run), sum(one.target == "/page" for one in loaded.service.asked)
    probed = sum(one.planned for one in loaded.field.history(run).all(Slice) if one.counted == "probes")
    planned, unsent = sum(one.planned for one in load), sum(one.unsent for one in load)
    assert planned - unsent <= arrived - probed <= planned
    assert {one.planned for one in load[1:-1]} == {20}, "each slice has the shares of all four"
    assert [one.n for one in load] == list(range(load[0].n, load[-1].n + 1))
    ready = loaded.states(run, "ready")
    assert sorted(one.shard for one in ready) == [0, 1, 2, 3]
    assert all(one.skew is not None and one.skew < 0.05 and one.where.startswith("pod ") for one in ready)
    status = loaded.field.status()
    assert status["verdict"] == ("Inconclusive" if unsent else "Passed"), status["because"]


def test_a_shard_that_does_not_come_lets_nothing_begin_and_is_named(loaded: Loaded, tmp_path: Path) -> None:
    """The executor waits less long here than it would: by two minutes nobody learns more."""
    run = loaded.give()
    with kubelet(loaded.field, tmp_path, but=(2,)) as pods:
        line = [sys.executable, "-c", HURRIED.format(seconds=15.0, namespace=loaded.field.namespace)]
        told = environment(loaded.field.home, {"KUBECONFIG": str(loaded.field.kubeconfig), **IN_A_POD})
        done = subprocess.run(line, env=told, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        until(pods.ended)
        assert pods.loads() == []
    (lost,) = loaded.states(run, "lost")
    assert (lost.shard, lost.shards) == (2, SHARDS)
    assert "did not come within 15 s: there is no pod for it" in lost.why
    assert loaded.field.history(run).all(Intended) == []
    status = loaded.field.status()
    assert status["verdict"] == "Inconclusive"
    assert "shard 2 of 4 is lost" in status["because"]


def test_a_pod_that_is_killed_is_named_and_its_share_was_not_sent(loaded: Loaded, tmp_path: Path) -> None:
    run = loaded.give(hold="4s")
    with kubelet(loaded.field, tmp_path) as pods, executor(loaded) as one:
        until_held(loaded, one)
        pods.pods[1].kill()
        one.wait()
        until(pods.ended)
    (lost,) = loaded.states(run, "lost")
    assert lost.shard == 1
    after = [one for one in loaded.load(run) if (one.n - 1) / 10 > lost.at]
    assert {one.planned for one in after[:-1]} == {20}
    assert all(one.unsent >= 5 for one in after[:-1]), "its quarter of each slice"
    (healed,) = loaded.field.history(run).all(Healed)
    assert healed.clean
    status = loaded.field.status()
    assert status["verdict"] == "Inconclusive"
    assert "shard 1 of 4" in status["because"]


def test_shards_end_with_an_executor_that_is_killed(loaded: Loaded, tmp_path: Path) -> None:
    loaded.give(hold="60s")
    with kubelet(loaded.field, tmp_path) as pods, executor(loaded) as one:
        until_held(loaded, one)
        one.process.kill()
        until(pods.ended)
        assert [each.returncode for each in pods.pods.values()] == [0] * SHARDS, "they ended by themselves"


def test_an_abort_while_the_pods_are_awaited_ends_at_once_and_takes_them_away(loaded: Loaded, tmp_path: Path) -> None:
    run = loaded.give()
    with kubelet(loaded.field, tmp_path, but=(0,)) as pods, executor(loaded) as one:
        until(lambda: len(pods.pods) == SHARDS - 1)
        loaded.field.api.patch(k8s.RUNS, "slow-1", {"spec": {"abort": True}}, loaded.field.namespace)
        one.wait()
        until(pods.ended)
        assert pods.loads() == []
    assert loaded.field.history(run).all(Intended) == []
    assert loaded.field.status()["phase"] == "Finished"
    assert loaded.field.status()["verdict"] == "Aborted"


def test_an_outage_of_the_api_stops_no_shard(
    breakable: ControlPlane, toxiproxy: Server, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    install_crds(k8s.Api.connect(breakable.kubeconfig))
    with loaded_on(breakable, toxiproxy, tmp_path) as loaded:
        run = loaded.give(hold="6s")
        with kubelet(loaded.field, tmp_path) as pods, executor(loaded) as one:
            until_held(loaded, one)
            with outage(breakable):
                until(lambda: loaded.field.history(run).all(Healed))
                assert not loaded.states(run, "lost")
                assert [each.poll() for each in pods.pods.values()] == [None] * SHARDS
            one.wait()
            until(pods.ended)
        assert {one.planned for one in loaded.load(run)[1:-1]} == {20}
        assert loaded.field.status()["phase"] == "Finished"


def test_a_stranger_at_the_door_is_sent_away(loaded: Loaded, tmp_path: Path) -> None:
    """Who has not the key, or comes as one who is there already, takes nobody's place."""
    run = loaded.give()
    with kubelet(loaded.field, tmp_path, but=(3,)) as pods, executor(loaded) as one:
        until(lambda: len(pods.pods) == SHARDS - 1)
        forged = {**pods.job, "spec": {**pods.job["spec"]}}
        (container,) = forged["spec"]["template"]["spec"]["containers"]
        keyless = [
            {**each, "value": "guessed"} if each["name"] == "AFTERSHOCK_KEY" else each for each in container["env"]
        ]
        true = container["env"]
        container["env"] = keyless
        stranger = pods.start(forged, 3)
        assert stranger.wait(60) != 0
        container["env"] = true
        until(lambda: loaded.field.status().get("phase") == "Pending")
        pods.pods[3] = pods.start(forged, 3)
        one.wait()
    assert not loaded.states(run, "lost")


def test_without_a_pod_of_its_own_an_executor_has_processes_beside_it(loaded: Loaded) -> None:
    run = loaded.give(shards=2)
    with loaded.field.executor() as one:
        one.wait()
    assert loaded.field.api.list(k8s.JOBS, loaded.field.namespace) == []
    assert [one.where.split()[0] for one in loaded.states(run, "ready")] == ["process"] * 2


# Rights


@pytest.mark.parametrize("one", [one for one in EACH if one.right in LOAD], ids=str)
def test_an_executor_says_which_right_it_lacks(
    plane: ControlPlane, api: k8s.Api, loaded: Loaded, tmp_path: Path, one: One
) -> None:
    run = loaded.give()
    with granting(plane, api) as bind:
        user: Bound = bind("executor", without=one)
        said: list[str] = []
        pods = sharding.Pods(user.api, {**run, "metadata": {**run["metadata"], "namespace": user.namespace}},
                             jobs.settings(IN_A_POD), ADDRESS, said.append, patience=1.0)  # fmt: skip
        said += attempt(pods)
    assert one.missing in "\n".join(said)


def attempt(pods: sharding.Pods) -> list[str]:
    """Start a load to which nobody comes, and take it away; return what went wrong."""
    import asyncio

    from aftershock.errors import AftershockError
    from aftershock.runtime.clock import RunClock
    from planted import http, order

    async def run() -> None:
        clock = RunClock()
        load = await pods.start(order([http("page", "http://127.0.0.1:1")], counted="load"), 2, clock)
        await load.kill()

    try:
        asyncio.run(run())
    except AftershockError as error:
        return [str(error)]
    return []
