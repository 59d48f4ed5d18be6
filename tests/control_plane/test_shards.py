"""A load's shards in a cluster: the Job as a real API server takes it, and shards that come to the real executor.

A process of this machine stands for each pod (loads.py). Pods on nodes are in tests/cluster.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aftershock.adapters import kubernetes as k8s
from aftershock.adapters.toxiproxy import Server
from aftershock.core.history import Ended, Healed, Intended, Slice
from aftershock.errors import AftershockError
from aftershock.runtime.clock import RunClock
from aftershock.runtime.cluster import jobs, load_jobs, sharding
from aftershock.runtime.cluster.rights import LOAD
from aftershock.stacks.control_plane import ControlPlane
from component.conftest import toxiproxy, toxiproxy_url  # noqa: F401 - fixtures
from control_plane.conftest import install_crds, outage, until
from control_plane.executing import Executor, not_over
from control_plane.granted import EACH, Bound, One, granting
from control_plane.loads import ADDRESS, GATED, HURRIED, IN_A_POD, SHARDS, Loaded, Slow, kubelet, loaded_on
from planted import http, order


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
        with executor(loaded, code=HURRIED.format(seconds=15.0)) as one:
            one.wait()
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
        until(pods.come)
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


def test_pods_that_can_not_be_made_yet_are_made_when_the_api_is_back(
    breakable: ControlPlane, toxiproxy: Server, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    install_crds(k8s.Api.connect(breakable.kubeconfig))
    with loaded_on(breakable, toxiproxy, tmp_path) as loaded:
        run = loaded.give()
        code = GATED.format(folder=tmp_path)
        with kubelet(loaded.field, tmp_path) as pods, executor(loaded, code=code) as one:
            until(lambda: (tmp_path / "here").exists() or not_over(one))
            with outage(breakable):
                (tmp_path / "go").touch()
                until(lambda: "the load's pods can't be made yet" in one.said() or not_over(one))
            said = one.wait()
            until(pods.ended)
            assert pods.loads() == []
        assert said.count("can't be made yet") == 1
        assert sorted(each.shard for each in loaded.states(run, "ready")) == [0, 1, 2, 3]
        assert not loaded.states(run, "lost")
        unsent = sum(each.unsent for each in loaded.load(run))
        status = loaded.field.status()
        assert status["verdict"] == ("Inconclusive" if unsent else "Passed"), status["because"]


def test_an_api_that_stays_away_while_pods_are_to_be_made_ends_the_run_with_one_reason(
    breakable: ControlPlane, toxiproxy: Server, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    install_crds(k8s.Api.connect(breakable.kubeconfig))
    with loaded_on(breakable, toxiproxy, tmp_path) as loaded:
        run = loaded.give()
        code = GATED.format(folder=tmp_path) + HURRIED.format(seconds=3.0)
        with executor(loaded, code=code) as one:
            until(lambda: (tmp_path / "here").exists() or not_over(one))
            with outage(breakable):
                (tmp_path / "go").touch()
                until(lambda: loaded.field.history(run).all(Ended) or not_over(one))
            one.wait()
        assert loaded.field.history(run).all(Intended) == []
        assert loaded.field.api.list(k8s.JOBS, loaded.field.namespace) == []
        status = loaded.field.status()
        assert (status["phase"], status["verdict"]) == ("Finished", "Inconclusive"), status
        assert status["because"].count("can't be reached") == 1, status["because"]
        why = "nothing was begun: all 4 shards are lost: no pod was made within 3 s: the API server"
        assert why in status["because"], status["because"]


def test_a_job_that_is_being_made_when_the_run_is_aborted_is_taken_away(loaded: Loaded) -> None:
    """The call that makes it is under way, and can't be called back."""
    run = loaded.give()
    api = Slow(loaded.field.api._access)

    async def abort() -> None:
        pods = sharding.Pods(api, run, jobs.settings(IN_A_POD), ADDRESS, print)
        starting = asyncio.create_task(
            pods.start(order([http("page", "http://127.0.0.1:1")], counted="load"), 2, RunClock())
        )
        await asyncio.to_thread(api.asked.wait, 60)
        starting.cancel()
        await asyncio.wait({starting}, timeout=0.5)  # one that didn't wait for the call would be over
        api.through.set()
        await asyncio.gather(starting, return_exceptions=True)
        await asyncio.to_thread(api.made.wait, 60)

    asyncio.run(abort())
    assert loaded.field.api.list(k8s.JOBS, loaded.field.namespace) == []


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

    async def run() -> None:
        clock = RunClock()
        load = await pods.start(order([http("page", "http://127.0.0.1:1")], counted="load"), 2, clock)
        await load.kill()

    try:
        asyncio.run(run())
    except AftershockError as error:
        return [str(error)]
    return []
