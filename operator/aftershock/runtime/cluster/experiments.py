"""What becomes of an Experiment: is it sound, is a Run due, which finished Runs go. It makes Runs, and starts none."""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from aftershock.adapters.kubernetes import (
    EXPERIMENTS,
    RUNS,
    Api,
    ConflictError,
    ForbiddenError,
    MissingError,
    RefusedError,
    Tree,
)
from aftershock.core.reconcile import Concurrency, concurrency, due, meaningless, surplus
from aftershock.model.experiment import Experiment, Schedule
from aftershock.model.problem import Invalid
from aftershock.runtime.cluster import objects
from aftershock.runtime.cluster.tell import event
from aftershock.runtime.cluster.world import World, created, facts, key, when

LONGEST = 1000
"""Characters of a condition's message."""

LEFT = "orphan"
"""Kubernetes' finalizer on what was deleted with --cascade=orphan, until nothing says any more that it owns it."""


class _InTheWay(Exception):
    """A Run can't be made yet: another one has its name."""


class Experiments:
    """Looks at Experiments."""

    def __init__(self, api: Api, world: World, say: Callable[[str], object]) -> None:
        self._api, self._world, self._say = api, world, say

    def scheduled(self) -> list[tuple[str, str]]:
        """Return the Experiments whose time may have come."""
        return [key(each) for each in self._world.experiments() if each["spec"].get("trigger") == "Schedule"]

    def look(self, namespace: str, name: str) -> bool:
        """Bring one Experiment in line; tell whether it is to be looked at again soon."""
        tree = self._world.experiment((namespace, name))
        if tree is None or tree["metadata"].get("deletionTimestamp"):
            self._orphans(namespace, name, tree)
            return False
        self._orphans(namespace, name, tree)
        try:
            sound = objects.document(tree, Experiment).object
        except Invalid as invalid:
            self._invalid(tree, str(invalid))
            return False
        schedule = sound.spec.schedule
        if schedule and (why := meaningless(schedule.cron, schedule.time_zone, datetime.now(UTC))):
            self._invalid(tree, why)
            return False
        try:
            self._make(tree, sound)
        except _InTheWay as other:
            self._write(tree, "False", "WaitingForDeletion", str(other), {})
            return True
        self._limit(namespace, name, sound)
        return False

    # Runs

    def _make(self, tree: Tree, sound: Experiment) -> None:
        meta, seen = tree["metadata"], _seen(tree)
        news: Tree = {}
        if sound.spec.trigger == "OnApply" and not seen:
            if not self._unseen(tree):
                return
            news["lastRun"] = self._run(tree, objects.run_name(meta["name"], meta["generation"]), {})
        elif sound.spec.trigger == "Schedule" and sound.spec.schedule is not None:
            news.update(self._scheduled(tree, sound.spec.schedule, seen=seen))
        self._write(tree, "True", "Valid", "It can be run", news)

    def _scheduled(self, tree: Tree, schedule: Schedule, *, seen: bool) -> Tree:
        """Make the run that is due. A definition that is new has missed nothing before it was seen."""
        status, meta, now = tree.get("status") or {}, tree["metadata"], datetime.now(UTC)
        last = when(status.get("lastScheduled"))
        if not seen or last is None:
            since = last or created(tree)
            return {"lastScheduled": _text(max(since, now))} if not seen else {"lastScheduled": _text(since)}
        at = due(schedule.cron, schedule.time_zone, last, now, float(schedule.starting_deadline))
        if at is None:
            return {}
        going = [one for one in map(facts, self._world.runs_of(*key(tree))) if not one.finished]
        decided = concurrency(schedule.concurrency, going)
        if decided is Concurrency.SKIP:
            event(self._api, tree, "Experiment", "Skipped", f"{at:%F %R} UTC: {going[0].name} is still going on")
            return {"lastScheduled": _text(at)}
        if decided is Concurrency.REPLACE:
            for one in going:
                self._api.patch(RUNS, one.name, {"spec": {"abort": True}}, key(tree)[0])
        name = objects.run_name(meta["name"], meta["generation"], str(int(at.timestamp() // 60)))
        return {"lastScheduled": _text(at), "lastRun": self._run(tree, name, {objects.SCHEDULED: _text(at)})}

    def _unseen(self, tree: Tree) -> bool:
        """Ask whether no Run was made of this version. It may have been, and be gone: the status tells, if it is read anew."""
        meta = tree["metadata"]
        there = self._api.find(EXPERIMENTS, meta["name"], meta["namespace"])
        if there is None or any(there["metadata"][one] != meta[one] for one in ("uid", "generation")):
            return False  # the watch tells what it is now
        return not _seen(there)

    def _run(self, tree: Tree, name: str, annotations: Mapping[str, str]) -> str:
        try:
            self._api.create(RUNS, objects.run_tree(tree, name, annotations))
        except ConflictError:
            self._must_be_ours(tree, name)
            return name  # it is there: that was done before
        except (ForbiddenError, RefusedError) as refused:
            self._refused(tree, f"the Run {name} can't be made: {refused.problem}")
            raise  # the operator's log says it too, and it is tried again
        event(self._api, tree, "Experiment", "RunCreated", f"made the Run {name}")
        self._say(f"{'/'.join(key(tree))}: made the Run {name}")
        return name

    def _must_be_ours(self, tree: Tree, name: str) -> None:
        """Raise _InTheWay where a Run of that name is another's: of an Experiment that is gone, or of nobody."""
        run = self._api.find(RUNS, name, tree["metadata"]["namespace"])
        owners = objects.owners(run) if run is not None else set()
        if run is None or (owners and tree["metadata"]["uid"] not in owners):
            raise _InTheWay(f"the Run {name} of an Experiment of this name that is gone has to go first")
        if not owners:
            raise _InTheWay(
                f"a Run {name} that belongs to no Experiment has the name of the one that is due: it was made by hand, or "
                f"left behind by --cascade=orphan; this one begins when it is gone: kubectl delete run {name}"
            )

    def _limit(self, namespace: str, name: str, sound: Experiment) -> None:
        limit = sound.spec.history_limit
        runs = map(facts, self._world.runs_of(namespace, name))
        for one in surplus(runs, limit.passed, limit.others):
            self._delete(namespace, one.name, one.uid)

    def _orphans(self, namespace: str, name: str, tree: Tree | None) -> None:
        """Delete the Runs of an Experiment that is gone, also where no garbage collector does: they heal first."""
        alive = tree["metadata"]["uid"] if tree is not None and not tree["metadata"].get("deletionTimestamp") else None
        for run in self._world.runs_of(namespace, name):
            owners = objects.owners(run)
            if not owners or alive in owners or run["metadata"].get("deletionTimestamp"):
                continue
            there = self._api.find(EXPERIMENTS, name, namespace)
            if _gone(there, owners) and self._still_owned(run):
                self._delete(namespace, run["metadata"]["name"], run["metadata"]["uid"])

    def _still_owned(self, run: Tree) -> bool:
        """Ask whether a Run whose Experiment is gone was its own to the last: one that is left behind is not."""
        there = self._api.find(RUNS, run["metadata"]["name"], run["metadata"]["namespace"])
        return there is not None and bool(objects.owners(there))

    def _delete(self, namespace: str, name: str, uid: str) -> None:
        try:
            self._api.delete(RUNS, name, namespace, uid=uid)
        except ConflictError:
            return

    # Status

    def _invalid(self, tree: Tree, problem: str) -> None:
        self._write(tree, "False", "Invalid", problem[:LONGEST], {})
        event(self._api, tree, "Experiment", "Invalid", problem, severity="Warning")

    def _refused(self, tree: Tree, problem: str) -> None:
        """Say that a Run was not let in: by a policy, by a quota, or as a right is missing."""
        self._write(tree, "False", "RunRefused", problem[:LONGEST], {})
        event(self._api, tree, "Experiment", "RunRefused", problem, severity="Warning")

    def _write(self, tree: Tree, status: Any, reason: str, message: str, news: Mapping[str, Any]) -> None:
        """Write the status, if it says anything new."""
        meta, before = tree["metadata"], tree.get("status") or {}
        runs = self._world.runs_of(*key(tree))
        last = news.get("lastRun") or before.get("lastRun")
        verdicts = [(run.get("status") or {}).get("verdict") for run in runs if run["metadata"]["name"] == last]
        after: Tree = {
            "observedGeneration": meta["generation"],
            "conditions": objects.set_condition(
                before.get("conditions") or [],
                "Ready",
                status,
                reason=reason,
                message=message,
                generation=meta["generation"],
            ),
            "active": sorted(one.name for one in map(facts, runs) if not one.finished),
            **news,
        }
        if verdicts:
            after["lastVerdict"] = verdicts[0]
        if all(before.get(field) == value for field, value in after.items()):
            return
        try:
            self._api.patch(EXPERIMENTS, meta["name"], {"status": after}, meta["namespace"], subresource="status")
        except MissingError:
            return


def _gone(there: Tree | None, owners: Collection[str]) -> bool:
    """Tell whether an Experiment that owns Runs is gone, or goes with them and leaves none (--cascade=orphan)."""
    if there is None or there["metadata"]["uid"] not in owners:
        return True
    return bool(there["metadata"].get("deletionTimestamp")) and LEFT not in (there["metadata"].get("finalizers") or [])


def _seen(tree: Tree) -> bool:
    """Tell whether this version was found sound, and what was to be made of it at once has been made."""
    status = tree.get("status") or {}
    ready = objects.condition(status.get("conditions") or [], "Ready") or {}
    return status.get("observedGeneration") == tree["metadata"]["generation"] and ready.get("status") == "True"


def _text(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
