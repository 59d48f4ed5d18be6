"""The rights that links before Services need: without one of them, executor and reaper say which it is."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aftershock.adapters import kubernetes as k8s
from aftershock.core.plan import Step
from aftershock.errors import AftershockError
from aftershock.faults.front_pod import PodSettings
from aftershock.model.stack import Stack
from aftershock.runtime import fronting
from aftershock.runtime.cluster.rights import FRONTS
from aftershock.stacks.control_plane import ControlPlane
from control_plane.executing import LINK, Field
from control_plane.fronted import app_pod, standing_in
from control_plane.granted import EACH, Bound, One, granting
from control_plane.test_fronts import NOWHERE, PORT, RUN, WEB, Ground, lease
from planted import serving
from whole_runs import good


@pytest.fixture
def bound(
    plane: ControlPlane, api: k8s.Api, applied_crds: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[One | None, str], Bound]]:
    monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig))
    with granting(plane, api) as bind:
        yield lambda one, part: bind(part, without=one)


async def stand_and_remove(stack: Stack, folder: Path) -> list[str]:
    """Do what an executor does, as far as it gets; return what went wrong."""
    spec = SimpleNamespace(allow=SimpleNamespace(collateral=False))
    steps = [Step(1, "latency", LINK, 0.0, 1.0, None, {})]
    inputs: Any = SimpleNamespace(
        stack=stack,
        experiment=SimpleNamespace(spec=spec),
        plan=SimpleNamespace(longest=60.0, steps=steps),
        token=RUN,
        folder=folder,
    )
    said = []
    try:
        for task in await fronting._tasks(inputs, 60.0):
            await fronting._stand(task, PodSettings(), inputs, asyncio.Event())
    except AftershockError as error:
        said.append(error.problem)
    try:
        await fronting.remove(inputs)
    except AftershockError as error:
        said.append(error.problem)
    return said


def did(user: Bound, part: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have an executor or a reaper do its part as this user."""
    with serving(good) as service, standing_in(user.admin, user.namespace, {PORT: service.port}) as cluster:
        cluster.service("web", WEB)
        app_pod(cluster, "web")
        ground = Ground(Field(user.admin, folder, user.namespace, NOWHERE, folder), cluster)
        if part == "reaper":
            ground.put(lease(1_600_000_000))
        with monkeypatch.context() as patch:
            patch.setattr(k8s, "shared", lambda *_: user.api)
            if part == "executor":
                return asyncio.run(stand_and_remove(ground.stack, folder))
            swept = ground.sweep(folder)
            return [*swept.left, *swept.unreachable]


@pytest.mark.parametrize("one", [one for one in EACH if one.right in FRONTS], ids=str)
def test_a_missing_right_is_named(
    bound: Callable[[One | None, str], Bound], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one: One
) -> None:
    said = did(bound(one, one.right.part), one.right.part, tmp_path, monkeypatch)
    assert one.missing in "\n".join(said)


@pytest.mark.parametrize("part", ["executor", "reaper"])
def test_with_all_rights_nothing_is_missing(
    bound: Callable[[One | None, str], Bound], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    assert did(bound(None, part), part, tmp_path, monkeypatch) == []
