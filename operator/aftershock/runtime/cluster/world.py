"""What the operator knows of the cluster: the newest tree of each object that the watch has shown. It asks nobody.

Written from the event loop alone; read from threads, which get lists of their own. What it says may be old: whoever acts on
it acts so that the API server has the last word.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from threading import Lock
from typing import Any

from aftershock.adapters.kubernetes import Tree
from aftershock.core.reconcile import RunFacts
from aftershock.runtime.cluster import objects

Key = tuple[str, str]
"""Namespace and name."""


def key(tree: Mapping[str, Any]) -> Key:
    """Return an object's namespace and name."""
    meta = tree["metadata"]
    return str(meta.get("namespace") or ""), str(meta["name"])


REMEMBERED = 10_000
"""Objects that went, of which an older list may still tell: a uid never comes back."""


class World:
    """Experiments and Runs by namespace and name; of two trees of one object, the newer."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._experiments: dict[Key, Tree] = {}
        self._runs: dict[Key, Tree] = {}
        self._gone: dict[str, None] = {}

    def saw_experiment(self, tree: Tree, *, gone: bool = False) -> bool:
        """Take in an Experiment; tell whether that is news."""
        return self._take(self._experiments, tree, gone=gone)

    def saw_run(self, tree: Tree, *, gone: bool = False) -> bool:
        """Take in a Run; tell whether that is news."""
        return self._take(self._runs, tree, gone=gone)

    def _take(self, known: dict[Key, Tree], tree: Tree, *, gone: bool) -> bool:
        uid = tree["metadata"]["uid"]
        with self._lock:
            before = known.get(key(tree))
            same = before is not None and before["metadata"]["uid"] == uid
            if gone:
                self._gone[uid] = None
                while len(self._gone) > REMEMBERED:
                    del self._gone[next(iter(self._gone))]
                return same and known.pop(key(tree), None) is not None
            if uid in self._gone or (same and before is not None and _version(before) >= _version(tree)):
                return False
            known[key(tree)] = tree
        return True

    def experiment(self, at: Key) -> Tree | None:
        """Return an Experiment as it was seen last."""
        return self._experiments.get(at)

    def run(self, at: Key) -> Tree | None:
        """Return a Run as it was seen last."""
        return self._runs.get(at)

    def experiments(self) -> list[Tree]:
        """Return all Experiments."""
        with self._lock:
            return list(self._experiments.values())

    def runs(self) -> list[Tree]:
        """Return all Runs."""
        with self._lock:
            return list(self._runs.values())

    def runs_on(self, namespace: str, stack: str) -> list[Tree]:
        """Return the Runs of one Stack."""
        return [run for run in self.runs() if key(run)[0] == namespace and run["spec"]["stack"] == stack]

    def runs_of(self, namespace: str, experiment: str) -> list[Tree]:
        """Return the Runs of one Experiment."""
        return [run for run in self.runs() if key(run)[0] == namespace and run["spec"]["experiment"] == experiment]


def absent(known: Iterable[Tree], listed: Iterable[Tree]) -> list[Tree]:
    """Return what was known before a list was asked for, and isn't on it: it went without being seen to go."""
    there = {each["metadata"]["uid"] for each in listed}
    return [each for each in known if each["metadata"]["uid"] not in there]


def _version(tree: Mapping[str, Any]) -> int:
    return int(tree["metadata"]["resourceVersion"])


def facts(run: Mapping[str, Any]) -> RunFacts:
    """Return what there is to know of a Run's tree for deciding about it."""
    meta, spec, status = run["metadata"], run["spec"], run.get("status") or {}
    conditions = status.get("conditions") or []
    finished = status.get("phase") == "Finished"
    return RunFacts(
        name=meta["name"],
        uid=meta["uid"],
        created=meta.get("creationTimestamp") or "",
        stack=spec["stack"],
        finished=finished,
        verdict=status.get("verdict"),
        claimed=bool(status.get("executor")),
        deleting=bool(meta.get("deletionTimestamp")),
        held=objects.FINALIZER in (meta.get("finalizers") or []),
        abort=bool(spec.get("abort")),
        clean=finished and not left(conditions),
        abandoned=bool((meta.get("annotations") or {}).get(objects.ABANDON)),
    )


def left(conditions: Iterable[Mapping[str, Any]]) -> str:
    """Return what a run may have left behind, as its conditions say; nothing if it is clean, or was never begun.

    `StuckOnCleanup` is newer than the verdict: where it says False, the reaper has seen since that nothing is left.
    """
    said = {one.get("type"): one for one in conditions}
    stuck, cleaned = said.get("StuckOnCleanup"), said.get("CleanedUp")
    told = stuck if stuck is not None else cleaned
    if told is None or (told.get("type"), told.get("status")) in {("StuckOnCleanup", "False"), ("CleanedUp", "True")}:
        return ""
    return str(told.get("message") or told.get("reason") or "something")


def created(tree: Mapping[str, Any]) -> datetime:
    """Return when an object was made."""
    return when(tree["metadata"].get("creationTimestamp")) or datetime.now(UTC)


def when(text: object) -> datetime | None:
    """Read a time as the API writes it; None for anything else."""
    try:
        read = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)
