"""Before Aftershock leaves a cluster: every run is ended and clean, and nothing of ours keeps anything from being deleted.

It asks, and waits: healing is the executors', the operator's and the reaper's, who are all still there. It never lets go of
a Run that left something at a target.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from aftershock.adapters.kubernetes import RUNS, Api, ApiAwayError, ConflictError, MissingError
from aftershock.errors import ResidueError
from aftershock.runtime.cluster.objects import FINALIZER, condition

Say = Callable[[str], object]
AGAIN = 1.0
"""Seconds between two looks at the Runs."""


def farewell(api: Api, namespaces: Sequence[str | None], patience: float, say: Say) -> None:
    """Abort every Run that goes on, wait until all are finished, and let go of those that are clean.

    `namespaces`: where; None is everywhere. ResidueError after `patience` seconds, or if a Run left something; it names them.
    """
    deadline = time.monotonic() + patience
    told: set[str] = set()
    while going := [run for run in _runs(api, namespaces) if not _finished(run)]:
        for run in going:
            _abort(api, run, told, say)
        if time.monotonic() > deadline:
            raise ResidueError(
                f"still going on after {patience:g} s: {_names(going)}",
                "see `kubectl describe run` for what they wait for, then uninstall again",
            )
        time.sleep(AGAIN)
    _let_go(api, _runs(api, namespaces), say)


def _runs(api: Api, namespaces: Sequence[str | None]) -> list[dict[str, Any]]:
    """Return all Runs, also after a moment in which the API could not be asked."""
    while True:
        with suppress(ApiAwayError):
            return [run for namespace in namespaces for run in api.list(RUNS, namespace)]
        time.sleep(AGAIN)


def _abort(api: Api, run: Mapping[str, Any], told: set[str], say: Say) -> None:
    meta = run["metadata"]
    if meta["uid"] in told or run["spec"].get("abort"):
        return
    with suppress(ApiAwayError, ConflictError, MissingError):  # then the next look finds it as it is
        api.patch(RUNS, meta["name"], {"metadata": {"uid": meta["uid"]}, "spec": {"abort": True}}, meta["namespace"])
        told.add(meta["uid"])
        say(f"{meta['namespace']}/{meta['name']}: told to end")


def _let_go(api: Api, runs: Sequence[Mapping[str, Any]], say: Say) -> None:
    held = [run for run in runs if FINALIZER in (run["metadata"].get("finalizers") or [])]
    for run in held:
        if not _left(run):
            _take_off(api, run["metadata"])
            say(f"{run['metadata']['namespace']}/{run['metadata']['name']}: clean, let go")
    if left := [run for run in held if _left(run)]:
        raise ResidueError(
            f"something is left of {_names(left)}: " + "; ".join(_left(run) for run in left),
            "put that right, or annotate those Runs with aftershock.dev/abandon=REASON, then uninstall again",
        )


def _take_off(api: Api, meta: Mapping[str, Any]) -> None:
    """Take our finalizer off, and nobody else's. Changed meanwhile: read again."""
    while FINALIZER in (meta.get("finalizers") or []):
        others = [each for each in meta["finalizers"] if each != FINALIZER]
        change = {"metadata": {"resourceVersion": meta["resourceVersion"], "finalizers": others}}
        try:
            api.patch(RUNS, meta["name"], change, meta["namespace"])
        except ConflictError:
            found = next(
                (run for run in api.list(RUNS, meta["namespace"], fields=f"metadata.name={meta['name']}")), None
            )
            meta = found["metadata"] if found is not None else {}
        except MissingError:
            return
        else:
            return


def _finished(run: Mapping[str, Any]) -> bool:
    return bool((run.get("status") or {}).get("phase") == "Finished")


def _left(run: Mapping[str, Any]) -> str:
    """Return what a finished run left behind, as its conditions say; nothing if it is clean."""
    conditions = (run.get("status") or {}).get("conditions") or []
    stuck, clean = condition(conditions, "StuckOnCleanup"), condition(conditions, "CleanedUp")
    if stuck is not None and stuck.get("status") == "True":
        return str(stuck.get("message") or stuck.get("reason") or "something")
    if clean is not None and clean.get("status") == "False":
        return str(clean.get("message") or clean.get("reason") or "something")
    return ""


def _names(runs: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{run['metadata']['namespace']}/{run['metadata']['name']}" for run in runs)
