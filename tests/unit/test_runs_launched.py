"""A Run is launched once: what the API, or the watch, tells of it meanwhile counts for more than what a look began with."""

from typing import Any

import pytest

from aftershock.adapters.kubernetes import ConflictError
from aftershock.runtime.cluster.runs import Runs
from aftershock.runtime.cluster.world import World


class Launcher:
    """Executors that end as soon as they have begun."""

    def __init__(self) -> None:
        self.started: list[str] = []

    def start(self, run: dict[str, Any]) -> None:
        self.started.append(run["metadata"]["name"])

    def under_way(self, run: dict[str, Any]) -> bool:
        return False

    def close(self) -> None:
        return


class Api:
    """One that knows one Run."""

    def __init__(self, run: dict[str, Any]) -> None:
        self.run = run

    def get(self, *_: object) -> dict[str, Any]:
        return self.run


def run(version: int = 1, executor: str = "") -> dict[str, Any]:
    meta = {"name": "slow-1", "namespace": "here", "uid": "u", "resourceVersion": str(version), "finalizers": []}
    status = {"phase": "Pending", "executor": executor} if executor else {}
    return {"metadata": meta, "spec": {"stack": "shop", "experiment": "slow"}, "status": status}


def looking(api: Api, launcher: Launcher) -> tuple[Runs, World]:
    world = World()
    world.saw_run(run())
    return Runs(api, world, launcher, 20, lambda line: None), world  # type: ignore[arg-type]


def test_a_run_that_was_claimed_while_a_look_went_on_is_not_launched() -> None:
    launcher = Launcher()
    runs, world = looking(Api(run()), launcher)
    world.saw_run(run(2, "elsewhere/7"))
    with pytest.raises(ConflictError):
        runs._start(run())
    assert launcher.started == []


def test_a_run_that_was_launched_is_asked_after_before_it_is_launched_again() -> None:
    """Its executor claimed and ended it faster than the watch told."""
    launcher = Launcher()
    runs, _ = looking(Api(run(2, "elsewhere/7")), launcher)
    runs._start(run())
    with pytest.raises(ConflictError):
        runs._start(run())
    assert launcher.started == ["slow-1"]
