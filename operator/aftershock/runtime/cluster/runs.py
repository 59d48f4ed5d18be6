"""What becomes of the Runs of a Stack: whose turn it is, what the others wait for, and when a Run may be let go.

It has executors started and writes what a Run waits for. From the claim on, a Run's status is its executor's.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from aftershock.adapters.kubernetes import EXPERIMENTS, LEASES, RUNS, Api, ConflictError, MissingError, Tree
from aftershock.core.reconcile import Release, RunFacts, in_line, overdue, release
from aftershock.model.units import Duration, UnitError
from aftershock.runtime.cluster import inputs, objects
from aftershock.runtime.cluster.inputs import Lacking
from aftershock.runtime.cluster.launchers import Launcher
from aftershock.runtime.cluster.tell import event
from aftershock.runtime.cluster.world import World, created, facts, key, left

PATIENCE = 600.0
"""Seconds that a Run waits whose definition doesn't say."""


class Runs:
    """Looks at the Runs of a Stack. At most `most` executors are about at once."""

    def __init__(self, api: Api, world: World, launcher: Launcher, most: int, say: Callable[[str], object]) -> None:
        self._api, self._world, self._launcher, self._most, self._say = api, world, launcher, most, say
        self._turned_away: dict[str, int] = {}

    def waiting(self) -> list[Tree]:
        """Return the Runs that no executor has claimed, and that are not over."""
        return [run for run in self._world.runs() if _waits(facts(run))]

    def look(self, namespace: str, stack: str) -> bool:
        """Bring the Runs of one Stack in line; tell whether that has to be looked at again soon."""
        runs = {run["metadata"]["uid"]: run for run in self._world.runs_on(namespace, stack)}
        known = {uid: facts(run) for uid, run in runs.items()}
        for uid, one in known.items():
            self._let_go(runs[uid], one)
        line = [runs[one.uid] for one in in_line(known.values())]
        going = [one for one in known.values() if one.claimed and not one.finished]
        self._free(namespace, stack, going)
        for place, run in enumerate(line):
            self._consider(run, first=line[0] if place else None)
        return bool(line)

    # Letting go

    def _let_go(self, run: Tree, one: RunFacts) -> None:
        """Take the finalizer off a Run that is clean; say so where somebody insists though it isn't."""
        if not one.held:
            return
        match release(one):
            case Release.ABANDONED:
                reason = run["metadata"]["annotations"][objects.ABANDON]
                what = left((run.get("status") or {}).get("conditions") or []) or "what it may have left"
                event(self._api, run, "Run", "Abandoned", f"let go by request ({reason}): {what}", severity="Warning")
            case Release.KEEP:
                if one.finished:
                    what = left((run.get("status") or {}).get("conditions") or [])
                    event(self._api, run, "Run", "StuckOnCleanup", what, severity="Warning")
                return
        if one.finished:
            self._say_verdict(run)
        self._take_off(run)

    def _say_verdict(self, run: Tree) -> None:
        status = run.get("status") or {}
        severity: Literal["Normal", "Warning"] = "Normal" if status.get("verdict") == "Passed" else "Warning"
        text = f"{status.get('verdict')}: {status.get('because') or 'every claim holds'}"
        event(self._api, run, "Run", "Verdict", text, severity=severity)

    def _take_off(self, run: Tree) -> None:
        meta = run["metadata"]
        others = [each for each in meta.get("finalizers") or [] if each != objects.FINALIZER]
        change = {"metadata": {"resourceVersion": meta["resourceVersion"], "finalizers": others}}
        try:
            self._api.patch(RUNS, meta["name"], change, meta["namespace"])
        except (ConflictError, MissingError):
            return  # the next look sees it as it is

    # Taking turns

    def _free(self, namespace: str, stack: str, going: list[RunFacts]) -> None:
        """Remove the Stack's Lease where its holder is over."""
        if going:
            return
        name = objects.stack_lease_name(stack)
        lease = self._api.find(LEASES, name, namespace)
        if lease is None:
            return
        holder, uid = objects.holder(lease)
        run = self._api.find(RUNS, holder, namespace) if holder else None
        if run is None or run["metadata"]["uid"] != uid or facts(run).finished:
            self._delete_lease(lease)

    def _delete_lease(self, lease: Tree) -> None:
        meta = lease["metadata"]
        try:
            self._api.delete(LEASES, meta["name"], meta["namespace"], uid=meta["uid"])
        except ConflictError:
            return

    def _consider(self, run: Tree, first: Tree | None) -> None:
        """Start a Run whose turn it is, or say what it waits for."""
        try:
            run = self._prepared(run)
            self._check(run)
            if first is not None:
                raise Lacking("WaitingForTarget", _behind(first["metadata"]["name"], run))
            self._take_turn(run)
            self._start(run)
        except Lacking as lacking:
            self._wait(run, lacking)
        except (ConflictError, MissingError):
            return  # changed meanwhile: the watch tells

    def _prepared(self, run: Tree) -> Tree:
        """Give a Run that was made by hand what the operator gives: the finalizer first, and the definition."""
        meta, spec = run["metadata"], run["spec"]
        change: Tree = {}
        if objects.FINALIZER not in (meta.get("finalizers") or []):
            change["metadata"] = {"finalizers": [*(meta.get("finalizers") or []), objects.FINALIZER]}
        if not spec.get("definition"):
            change["spec"] = self._definition(run)
        if not change:
            return run
        change.setdefault("metadata", {})["resourceVersion"] = meta["resourceVersion"]
        return self._api.patch(RUNS, meta["name"], change, meta["namespace"])

    def _definition(self, run: Tree) -> Tree:
        name, namespace = run["spec"]["experiment"], run["metadata"]["namespace"]
        experiment = self._api.find(EXPERIMENTS, name, namespace)
        if experiment is None:
            raise Lacking("WaitingForExperiment", f"there is no Experiment {name} in the namespace {namespace}")
        return {"definition": experiment["spec"], "generation": experiment["metadata"]["generation"]}

    def _check(self, run: Tree) -> None:
        if run["spec"].get("abort"):
            raise Lacking("Aborted", "its `abort` was set before it began", final=True)
        inputs.check(self._api, run)

    def _take_turn(self, run: Tree) -> None:
        """Get hold of the Stack for the Run; raise Lacking where another has it."""
        try:
            self._api.create(LEASES, objects.stack_lease(run))
        except ConflictError:
            namespace, stack = run["metadata"]["namespace"], run["spec"]["stack"]
            lease = self._api.find(LEASES, objects.stack_lease_name(stack), namespace)
            holder, uid = objects.holder(lease) if lease is not None else ("another Run", "")
            if uid != run["metadata"]["uid"]:
                raise Lacking("WaitingForTarget", _behind(holder, run)) from None

    def _start(self, run: Tree) -> None:
        about = [each for each in self._world.runs() if self._launcher.under_way(each)]
        if len(about) >= self._most and not self._launcher.under_way(run):
            raise Lacking("WaitingForRoom", f"{len(about)} runs go on already; --max-runs allows no more")
        if not self._launcher.under_way(run):
            self._launcher.start(run)
            self._say(f"{'/'.join(key(run))}: started")

    def _wait(self, run: Tree, lacking: Lacking) -> None:
        """Write what the Run waits for, or that it has waited for too long."""
        if lacking.final or overdue(created(run), datetime.now(UTC), _patience(run)):
            self._give_up(run, lacking)
            return
        before = (run.get("status") or {}).get("conditions") or []
        after = _not_started(before, lacking.reason, lacking.message, run)
        if after != list(before):
            self._patch(run, {"phase": "Pending", "conditions": after})
            event(self._api, run, "Run", lacking.reason, lacking.message)

    def _give_up(self, run: Tree, lacking: Lacking) -> None:
        reason = lacking.reason if lacking.final else "DeadlineExceeded"
        waited = f"{lacking.message} (waited for {Duration(_patience(run))})"
        message = lacking.message if lacking.final else waited
        before = (run.get("status") or {}).get("conditions") or []
        conditions = _not_started(before, reason, message, run)
        conditions = objects.set_condition(
            conditions, "CleanedUp", "True", reason="NothingInjected", message="Nothing was begun, so nothing is left."
        )
        verdict = "Aborted" if lacking.reason == "Aborted" else "Error"
        ended = {"phase": "Finished", "verdict": verdict, "because": message, "finished": objects.now()}
        self._patch(run, {**ended, "conditions": conditions})

    def _patch(self, run: Tree, status: Mapping[str, Any]) -> None:
        """Write to the status of a Run that nobody has claimed since it was read."""
        meta = run["metadata"]
        change = {"metadata": {"resourceVersion": meta["resourceVersion"]}, "status": status}
        self._api.patch(RUNS, meta["name"], change, meta["namespace"], subresource="status")


def _waits(one: RunFacts) -> bool:
    return not (one.claimed or one.finished or one.deleting)


def _behind(holder: str, run: Mapping[str, Any]) -> str:
    return f"the Run {holder} holds the Stack {run['spec']['stack']}; it starts when that is over"


def _not_started(before: Any, reason: str, message: str, run: Mapping[str, Any]) -> list[Tree]:
    generation = run["metadata"].get("generation")
    return objects.set_condition(before, "Started", "False", reason=reason, message=message, generation=generation)


def _patience(run: Mapping[str, Any]) -> float:
    """Return how long the Run may wait, in seconds."""
    written = (run["spec"].get("definition") or {}).get("waitFor")
    try:
        return float(Duration.parse(written)) if written else PATIENCE
    except UnitError:
        return PATIENCE
