"""What a part does when it lacks one of its rights: it says which. With all of them, it does its work.

The real code of each part runs against the real API server, as a service account that has the part's rights but for one.
"""

import asyncio
import base64
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from aftershock.adapters import kubernetes as k8s
from aftershock.errors import AftershockError
from aftershock.handlers import serve
from aftershock.runtime.cluster import objects, reaping
from aftershock.runtime.cluster.alive import Executors
from aftershock.runtime.cluster.execute import execute
from aftershock.runtime.cluster.experiments import Experiments
from aftershock.runtime.cluster.farewell import farewell
from aftershock.runtime.cluster.kept import Kept
from aftershock.runtime.cluster.lost import Coroner
from aftershock.runtime.cluster.objects import FINALIZER, condition
from aftershock.runtime.cluster.rights import FAULTS, FRONTS, LOAD, Rights
from aftershock.runtime.cluster.runs import Runs
from aftershock.runtime.cluster.world import World
from aftershock.stacks.control_plane import ControlPlane
from control_plane.granted import EACH, Bound, One, granting

ROOT = Path(__file__).parent.parent.parent
Work = Callable[[Bound], list[str]]
"""Does what a part does, and returns all that it says, errors included."""


ERA = "of-rights"
CLEAN = {"status": "True", "reason": "Clean", "message": "Nothing is left"}


@pytest.fixture(scope="module", autouse=True)
def era(plane: ControlPlane, applied_crds: None) -> Iterator[None]:
    api = k8s.Api.connect(plane.kubeconfig)
    tree = yaml.safe_load((ROOT / "charts" / "era-stack" / "eras" / "1k.yaml").read_text())
    api.create(k8s.ERAS, {**tree, "metadata": {"name": ERA}})
    yield
    api.delete(k8s.ERAS, ERA)


@pytest.fixture
def bound(
    plane: ControlPlane, api: k8s.Api, applied_crds: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Bound]]:
    monkeypatch.setenv("AFTERSHOCK_HOME", str(tmp_path))
    with granting(plane, api) as bind:
        yield bind


def ours(kind: str, name: str, namespace: str, spec: dict[str, Any], **meta: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, **meta}
    return {"apiVersion": k8s.OURS, "kind": kind, "metadata": metadata, "spec": spec}


def give_stack(user: Bound) -> None:
    """A Stack with a database that is not there, named by a Secret that is."""
    dsn = base64.b64encode(b"postgresql://127.0.0.1:1/nothing").decode()
    user.admin.create(k8s.SECRETS, {"metadata": {"name": "primary"}, "data": {"dsn": dsn}}, user.namespace)
    database = {"name": "primary", "dsn": {"secretRef": {"name": "primary", "key": "dsn"}}}
    spec = {"era": "1k", "environment": "test", "databases": [database]}
    user.admin.create(k8s.STACKS, ours("Stack", "shop", user.namespace, spec))


def give_run(user: Bound, name: str, **status: Any) -> None:
    spec = {"experiment": "slow", "stack": "shop"}
    user.admin.create(k8s.RUNS, ours("Run", name, user.namespace, spec, finalizers=[FINALIZER]))
    user.admin.patch(k8s.RUNS, name, {"status": status}, user.namespace, subresource="status")


def reaper(user: Bound) -> list[str]:
    """One look at the Stacks, and one at the Runs, of which one has lost its executor."""
    give_stack(user)
    give_run(user, "lost-1", phase="Active", executor="a-pod-that-is-gone")
    said: list[str] = []
    kept = Kept(user.api, [user.namespace], said.append)
    coroner = Coroner(user.api, Executors(user.api), [user.namespace], said.append, settled=0)
    for look in (kept.refresh, coroner.round):
        try:
            asyncio.run(look())
        except AftershockError as error:
            said.append(str(error))
    return said


def reaper_worked(user: Bound) -> bool:
    run = user.admin.get(k8s.RUNS, "lost-1", user.namespace)
    stuck = condition(run["status"]["conditions"], "StuckOnCleanup") or {}
    return "database primary" in stuck.get("message", "")


def executor(user: Bound) -> list[str]:
    """One Run, from its claim to its verdict; its database is not there, so that it ends at once."""
    give_stack(user)
    definition = {"stack": "shop", "timeline": []}
    spec = {"experiment": "slow", "stack": "shop", "eras": [ERA], "definition": definition, "generation": 1}
    user.admin.create(k8s.RUNS, ours("Run", "slow-1", user.namespace, spec, finalizers=[FINALIZER]))
    said: list[str] = []
    try:
        execute(user.api, user.namespace, "slow-1", said.append)
    except AftershockError as error:
        said.append(str(error))
    run = user.admin.get(k8s.RUNS, "slow-1", user.namespace)
    return [*said, str(run.get("status"))]


def executed(user: Bound) -> bool:
    status = user.admin.get(k8s.RUNS, "slow-1", user.namespace)["status"]
    return status["phase"] == "Finished" and "database primary" in status["because"]


def uninstall(user: Bound) -> list[str]:
    give_run(user, "over-1", phase="Finished", verdict="Passed")
    said: list[str] = []
    try:
        farewell(user.api, [user.namespace], 0, said.append)
    except AftershockError as error:
        said.append(str(error))
    return said


def uninstalled(user: Bound) -> bool:
    return not user.admin.get(k8s.RUNS, "over-1", user.namespace)["metadata"].get("finalizers")


class Nobody:
    """A launcher that starts nothing: what Jobs need is shown where they are launched."""

    def start(self, run: Mapping[str, Any]) -> None:
        """Do nothing."""

    def under_way(self, run: Mapping[str, Any]) -> bool:
        return False

    def close(self) -> None:
        """Let go of nothing."""


def operator(user: Bound) -> list[str]:
    """An Experiment that makes a Run and has too many, a Run made by hand, and a Stack whose holder is gone."""
    give_stack(user)
    spec = {"stack": "shop", "eras": [ERA], "timeline": [], "historyLimit": {"passed": 0}}
    user.admin.create(k8s.EXPERIMENTS, ours("Experiment", "slow", user.namespace, spec))
    give_run(user, "old-1", phase="Finished", verdict="Passed", conditions=[{**CLEAN, "type": "CleanedUp"}])
    user.admin.create(k8s.RUNS, ours("Run", "by-hand", user.namespace, {"experiment": "slow", "stack": "shop"}))
    gone = ours("Run", "gone-1", user.namespace, {"experiment": "slow", "stack": "other"}, uid="none")
    user.admin.create(k8s.LEASES, objects.stack_lease(gone))
    said: list[str] = []
    world, where = World(), user.namespace
    runs = Runs(user.api, world, Nobody(), 20, said.append)

    def see() -> None:
        for each in user.api.list(k8s.EXPERIMENTS, where):
            world.saw_experiment(each)
        for each in user.api.list(k8s.RUNS, where):
            world.saw_run(each)

    works: list[Callable[[], object]] = [
        lambda: asyncio.run(serve._kinds_are_there(user.api, serve.Asked([where]), said.append, asyncio.Event())),
        see,
        lambda: Experiments(user.api, world, said.append).look(where, "slow"),
        see,
        lambda: runs.look(where, "shop"),
        lambda: runs.look(where, "other"),
        lambda: asyncio.run(Rights(user.api, "operator", [where], only_what_only_it_sees(said)).look()),
    ]
    for work in works:
        try:
            work()
        except AftershockError as error:
            said.append(str(error))
    return said


def only_what_only_it_sees(said: list[str]) -> Callable[[str], object]:
    """Take from the look at one's own rights only what nothing else here would meet: watches, Events, Jobs."""
    return lambda line: said.append(line) if re.search('cannot watch|"(events|jobs)"', line) else None


def operated(user: Bound) -> bool:
    there = {run["metadata"]["name"]: run for run in user.admin.list(k8s.RUNS, user.namespace)}
    leases = {lease["metadata"]["name"] for lease in user.admin.list(k8s.LEASES, user.namespace)}
    waits = objects.condition(there["slow-1"]["status"]["conditions"], "Started") or {}
    return (
        sorted(there) == ["by-hand", "slow-1"]
        and bool(there["by-hand"]["spec"].get("definition"))
        and leases == {"aftershock-shop"}
        and waits.get("reason") == "WaitingForTarget"
    )


PARTS: dict[str, tuple[Work, Callable[[Bound], bool]]] = {
    "operator": (operator, operated),
    "reaper": (reaper, reaper_worked),
    "executor": (executor, executed),
    "uninstall": (uninstall, uninstalled),
}
"""What each part does, and how to see that it did it."""


@pytest.mark.parametrize(
    "one", [one for one in EACH if one.right.part in PARTS and one.right not in {*FAULTS, *LOAD, *FRONTS}], ids=str
)
def test_a_part_says_which_right_it_lacks(bound: Callable[..., Bound], one: One) -> None:
    said = "\n".join(PARTS[one.right.part][0](bound(one.right.part, without=one)))
    assert one.missing in said


@pytest.mark.parametrize("part", PARTS)
def test_with_its_rights_a_part_does_its_work(bound: Callable[..., Bound], part: Any) -> None:
    work, worked = PARTS[part]
    user = bound(part)
    said = "\n".join(work(user))
    assert "cannot" not in said and worked(user), said


def test_a_reaper_says_what_it_lacks_when_it_starts(bound: Callable[..., Bound]) -> None:
    one = next(one for one in EACH if str(one) == "reaper:get:secrets")  # nothing here would make it use that one
    user = bound("reaper", without=one)
    said: list[str] = []

    async def until_said() -> None:
        watching = asyncio.create_task(reaping.watch(user.api, Executors(user.api), [user.namespace], said.append))
        while not any(one.missing in line for line in said):
            await asyncio.sleep(0.02)
        watching.cancel()

    asyncio.run(asyncio.wait_for(until_said(), 120))
