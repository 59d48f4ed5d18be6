"""What `helm uninstall` does first: runs end, targets are clean, and nothing of ours is in the way."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from aftershock.adapters import kubernetes as k8s
from aftershock.errors import ResidueError
from aftershock.runtime.cluster import farewell as leaving
from aftershock.runtime.cluster.objects import FINALIZER
from control_plane.conftest import until

pytestmark = pytest.mark.usefixtures("applied_crds")
OTHERS = "example.org/theirs"


@pytest.fixture
def make(api: k8s.Api, namespace: str) -> Callable[..., str]:
    def call(name: str, **status: Any) -> str:
        meta = {"name": name, "namespace": namespace, "finalizers": [FINALIZER, OTHERS]}
        spec = {"experiment": "slow", "stack": "shop"}
        api.create(k8s.RUNS, {"apiVersion": k8s.OURS, "kind": "Run", "metadata": meta, "spec": spec}, namespace)
        if status:
            api.patch(k8s.RUNS, name, {"status": status}, namespace, subresource="status")
        return name

    return call


def finalizers(api: k8s.Api, name: str, namespace: str) -> list[str]:
    return list(api.get(k8s.RUNS, name, namespace)["metadata"].get("finalizers") or [])


def test_runs_that_go_on_are_ended_and_clean_ones_let_go(
    api: k8s.Api, namespace: str, make: Callable[..., str]
) -> None:
    make("over", phase="Finished", verdict="Passed")
    make("going", phase="Active")
    make("waiting")
    said: list[str] = []

    def executor() -> None:
        """Stands for executor and operator: a run that is told to end ends."""
        for name in ("going", "waiting"):
            until(lambda name=name: api.get(k8s.RUNS, name, namespace)["spec"].get("abort"))
            assert FINALIZER in finalizers(api, name, namespace)
            api.patch(
                k8s.RUNS, name, {"status": {"phase": "Finished", "verdict": "Aborted"}}, namespace, subresource="status"
            )

    ending = threading.Thread(target=executor)
    ending.start()
    leaving.farewell(api, [namespace], 120, said.append)
    ending.join()
    for name in ("over", "going", "waiting"):
        assert finalizers(api, name, namespace) == [OTHERS]
    assert sorted(line for line in said if "told to end" in line) == [
        f"{namespace}/going: told to end", f"{namespace}/waiting: told to end",
    ]  # fmt: skip
    assert not api.get(k8s.RUNS, "over", namespace)["spec"].get("abort")


def test_a_run_that_left_something_keeps_us_here(api: k8s.Api, namespace: str, make: Callable[..., str]) -> None:
    left = {"type": "StuckOnCleanup", "status": "True", "reason": "ResidueLeft", "message": "the toxic x"}
    unclean = {"type": "CleanedUp", "status": "False", "reason": "ResidueLeft", "message": "the session y"}
    make("clean", phase="Finished", verdict="Passed")
    make("stuck", phase="Finished", verdict="Error", conditions=[left])
    make("dirty", phase="Finished", verdict="Error", conditions=[unclean])
    with pytest.raises(ResidueError, match=r"dirty.*stuck.*the session y; the toxic x") as caught:
        leaving.farewell(api, [namespace], 60, lambda _: None)
    assert "aftershock.dev/abandon" in caught.value.advice
    assert finalizers(api, "clean", namespace) == [OTHERS]
    assert FINALIZER in finalizers(api, "stuck", namespace) and FINALIZER in finalizers(api, "dirty", namespace)


def test_a_run_that_does_not_end_is_named(api: k8s.Api, namespace: str, make: Callable[..., str]) -> None:
    make("endless", phase="Active")
    with pytest.raises(ResidueError, match=f"{namespace}/endless"):
        leaving.farewell(api, [namespace], 0, lambda _: None)
    assert api.get(k8s.RUNS, "endless", namespace)["spec"]["abort"] is True
    assert FINALIZER in finalizers(api, "endless", namespace)
