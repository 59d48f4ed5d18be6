"""What becomes of the Runs of a Stack: whose turn it is, what the others wait for, and when a Run may be let go.

It has executors started and writes what a Run waits for. From the claim on, a Run's status is its executor's.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from threading import Lock
from typing import Any, Literal

from aftershock.adapters.kubernetes import EXPERIMENTS, LEASES, RUNS, Api, ConflictError, MissingError, Tree
from aftershock.core.reconcile import Release, RunFacts, in_line, overdue, release
from aftershock.model.units import Duration, UnitError
from aftershock.runtime.cluster import inputs, objects
from aftershock.runtime.cluster.inputs import Lacking, Places
from aftershock.runtime.cluster.launchers import Launcher
from aftershock.runtime.cluster.tell import event
from aftershock.runtime.cluster.world import World, created, facts, key, left

PATIENCE = 600.0
"""Seconds that a Run waits whose definition doesn't say."""


LONGEST_PAUSE = 10.0
"""Seconds before a Run whose executor gave it back is launched again, at most."""

ESCAPE = f'to let go of it as it is, annotate it with {objects.ABANDON}="<reason>"'


class Runs:
    """Looks at the Runs of a Stack. At most `most` executors are about at once."""

    def __init__(self, api: Api, world: World, launcher: Launcher, most: int, say: Callable[[str], object]) -> None:
        self._api, self._world, self._launcher, self._most, self._say = api, world, launcher, most, say
        self._places: dict[str, Places] = {}  # by uid: what a Run that goes on, or is about to, holds
        self._tries: dict[str, tuple[int, float]] = {}  # by uid: how often it was launched, and when it may be again
        self._turns = Lock()

    def waiting(self) -> list[Tree]:
        """Return the Runs that no executor has claimed, and that are not over."""
        return [run for run in self._world.runs() if _waits(facts(run))]

    def look(self, namespace: str, stack: str) -> bool:
        """Bring the Runs of one Stack in line; tell whether that has to be looked at again soon."""
        runs = {run["metadata"]["uid"]: run for run in self._world.runs_on(namespace, stack)}
        known = {uid: facts(run) for uid, run in runs.items()}
        for uid, one in known.items():
            self._let_go(runs[uid], one)
        going = [one for one in known.values() if one.claimed and not one.finished]
        holder = self._free(namespace, stack, going)
        line = [runs[one.uid] for one in in_line(known.values(), holder)]
        ahead = _behind(going[0].name, line[0]) if going and line else ""
        for run in line:
            if self._consider(run, ahead) and not ahead:
                ahead = _later(run["metadata"]["name"], run)
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
                self._stuck(run, finished=one.finished)
                return
        if one.finished:
            self._say_verdict(run)
        self._take_off(run)

    def _stuck(self, run: Tree, *, finished: bool) -> None:
        """Say on a Run that is over that it isn't clean. The reaper says so of lost ones, and takes it back once it is."""
        before = (run.get("status") or {}).get("conditions") or []
        said = objects.condition(before, "StuckOnCleanup")
        if said is not None and said["status"] == "True":
            told = f"{said['message'].rstrip('.')}; {ESCAPE}"
            event(self._api, run, "Run", "StuckOnCleanup", told, severity="Warning")
        if said is not None or not finished:
            return
        message = f"{left(before)} The reaper goes on asking."
        generation = run["metadata"].get("generation")
        after = objects.set_condition(
            before, "StuckOnCleanup", "True", reason="ResidueLeft", message=message, generation=generation
        )
        with suppress(ConflictError, MissingError):  # changed meanwhile: the watch tells
            self._patch(run, {"conditions": after})

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

    def _free(self, namespace: str, stack: str, going: list[RunFacts]) -> str:
        """Remove the Stack's Lease where its holder is over. Return the uid of one that is not, and does not go on either."""
        if going:
            return ""
        name = objects.stack_lease_name(stack)
        lease = self._api.find(LEASES, name, namespace)
        if lease is None:
            return ""
        holder, uid = objects.holder(lease)
        run = self._api.find(RUNS, holder, namespace) if holder else None
        if run is None or run["metadata"]["uid"] != uid or facts(run).finished:
            self._delete_lease(lease)
            return ""
        return uid

    def _delete_lease(self, lease: Tree) -> None:
        meta = lease["metadata"]
        try:
            self._api.delete(LEASES, meta["name"], meta["namespace"], uid=meta["uid"])
        except ConflictError:
            return

    def _consider(self, run: Tree, ahead: str) -> bool:
        """Start a Run whose turn it is, or say what it waits for. Tell whether the Stack is all that it needs.

        `ahead`: what it waits for if it is not its turn; nothing if it is.
        """
        complete = False
        try:
            run = self._prepared(run)
            places = self._check(run)
            complete = True
            if ahead:
                raise Lacking("WaitingForTarget", ahead)
            with self._turns:
                self._hold_apart(run, places)
                self._hold(run)
                self._start(run)
                self._places[run["metadata"]["uid"]] = places
        except Lacking as lacking:
            with suppress(ConflictError, MissingError):
                self._wait(run, lacking)
        except (ConflictError, MissingError):
            pass  # changed meanwhile: the watch tells
        return complete

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
            raise Lacking(
                "WaitingForExperiment",
                f"there is no Experiment {name} in the namespace {namespace}{inputs.STARTS}there is",
            )
        return {"definition": experiment["spec"], "generation": experiment["metadata"]["generation"]}

    def _check(self, run: Tree) -> Places:
        if run["spec"].get("abort"):
            raise Lacking("Aborted", "its `abort` was set before it began", final=True)
        return inputs.check(self._api, run)

    def _hold_apart(self, run: Tree, places: Places) -> None:
        """Raise Lacking where a Run that goes on has one of the places, by whatever Stack."""
        going = {one["metadata"]["uid"]: one for one in self._world.runs() if self._holds(one)}
        self._places = {uid: held for uid, held in self._places.items() if uid in going}
        for uid, other in going.items():
            if uid == run["metadata"]["uid"]:
                continue
            if uid not in self._places:
                self._places[uid] = inputs.places(self._api, other)
            if shared := sorted(places[one] for one in places.keys() & self._places[uid].keys()):
                message = f"the Run {_called(other, run)} holds {shared[0]}{inputs.STARTS}that is over"
                raise Lacking("WaitingForTarget", message)

    def _holds(self, run: Tree) -> bool:
        """Tell whether a Run goes on, or is about to."""
        one = facts(run)
        return not one.finished and (one.claimed or self._launcher.under_way(run))

    def _hold(self, run: Tree) -> None:
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
        if self._launcher.under_way(run):
            return
        going = sum(map(self._holds, self._world.runs()))
        if going >= self._most:
            raise Lacking(
                "WaitingForRoom", f"{going} runs go on already, and --max-runs allows no more{inputs.STARTS}one is over"
            )
        self._not_too_often(run)
        self._launcher.start(run)
        self._say(f"{'/'.join(key(run))}: started")

    def _not_too_often(self, run: Tree) -> None:
        """Raise Lacking where an executor has just given the Run back, or ended before it claimed it."""
        uid, now = run["metadata"]["uid"], time.monotonic()
        tries, again = self._tries.get(uid, (0, 0.0))
        self._still_waits(run, launched=bool(tries))
        if tries and (now < again or overdue(created(run), datetime.now(UTC), _patience(run))):
            said = objects.condition((run.get("status") or {}).get("conditions") or [], "Started")
            if said is not None and said["status"] == "False":
                raise Lacking(said["reason"], said["message"])
            raise Lacking("ExecutorEnded", "its executor ended before it began; the operator's log may say why")
        waiting = {each["metadata"]["uid"] for each in self.waiting()}
        self._tries = {each: tried for each, tried in self._tries.items() if each in waiting}
        self._tries[uid] = (tries + 1, now + min(2.0**tries, LONGEST_PAUSE))

    def _still_waits(self, run: Tree, *, launched: bool) -> None:
        """Raise ConflictError where an executor has had the Run since this look began; one that was launched, the API tells."""
        meta = run["metadata"]
        found = self._api.get(RUNS, meta["name"], meta["namespace"]) if launched else self._world.run(key(run))
        if found is None or found["metadata"]["uid"] != meta["uid"] or not _waits(facts(found)):
            raise ConflictError(f"the Run {meta['name']} was claimed meanwhile", "look again")

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
        message = lacking.message if lacking.final else _waited(lacking.message, run)
        before = (run.get("status") or {}).get("conditions") or []
        conditions = _not_started(before, reason, message, run)
        conditions = objects.set_condition(
            conditions,
            "CleanedUp",
            "True",
            reason="NothingInjected",
            message="Nothing was begun, so nothing is left.",
            generation=run["metadata"].get("generation"),
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


def _called(other: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    """Name a Run to another: with its namespace, where that is another's."""
    (namespace, name), own = key(other), key(run)[0]
    return name if namespace == own else f"{namespace}/{name}"


def _behind(holder: str, run: Mapping[str, Any]) -> str:
    return f"the Run {holder} holds the Stack {run['spec']['stack']}{inputs.STARTS}that is over"


def _later(first: str, run: Mapping[str, Any]) -> str:
    return f"the Run {first} comes before it at the Stack {run['spec']['stack']}{inputs.STARTS}that is over"


def _waited(message: str, run: Mapping[str, Any]) -> str:
    """Say that a Run has waited for long enough: what it needed, and how it is run again, as it won't start any more."""
    needed, again = message.partition(inputs.STARTS)[0], f"kubectl aftershock run {run['spec']['experiment']}"
    return f"{needed}; it waited for {Duration(_patience(run))} (`waitFor`) and was given up. Put that right, then: {again}"


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
