"""What a person asks of a cluster by hand, with their own rights: find an Experiment or a Run, run again, abort.

Nothing here carries a run out: the operator sees what was asked, as if it had been applied.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aftershock.adapters.kubernetes import EXPERIMENTS, RUNS, Api, ConflictError, MissingError, Resource, Tree
from aftershock.errors import InputError
from aftershock.runtime.cluster import objects

MANY = 10
"""Names that an error lists."""

FIRST = "the chart brings them: `helm install aftershock …`, or by hand: `aftershock crds | kubectl apply -f -`"


@dataclass(frozen=True)
class Place:
    """A namespace of a cluster; `namespace` None is all of them."""

    api: Api
    namespace: str | None

    @property
    def called(self) -> str:
        """What a message calls it."""
        return f"the namespace {self.namespace}" if self.namespace else "the cluster"

    def all(self, resource: Resource, labels: str = "") -> list[Tree]:
        """Return all objects of a kind of ours, the oldest first. InputError where the cluster doesn't know the kind."""
        try:
            found = self.api.list(resource, self.namespace, labels=labels)
        except MissingError:
            raise InputError(f"the cluster {self.api.server} has no kind `{resource.plural}` of ours", FIRST) from None
        return sorted(found, key=lambda tree: (tree["metadata"]["creationTimestamp"], _number(tree)))

    def experiment(self, name: str) -> Tree:
        """Return an Experiment. InputError with the names of those that are there."""
        found = self.all(EXPERIMENTS)
        for tree in found:
            if tree["metadata"]["name"] == name:
                return tree
        raise self._nothing("Experiment", name, found, "apply it first: `kubectl apply -f FILE`")

    def run(self, name: str) -> Tree:
        """Return the Run of that name, or else the latest of the Experiment of that name. InputError if there is neither."""
        found = self.all(RUNS)
        named = [tree for tree in found if tree["metadata"]["name"] == name]
        of_experiment = [tree for tree in found if tree["spec"].get("experiment") == name]
        if named or of_experiment:
            return (named or of_experiment)[-1]
        raise self._nothing("Run", name, found, f"`kubectl aftershock run {name}` makes one of an Experiment")

    def _nothing(self, kind: str, name: str, there: Sequence[Mapping[str, Any]], advice: str) -> InputError:
        names = [tree["metadata"]["name"] for tree in there]
        listed = ", ".join(names[-MANY:]) or "none"
        more = f" and {len(names) - MANY} older" if len(names) > MANY else ""
        return InputError(f"no {kind} {name!r} in {self.called}; there are: {listed}{more}", advice)


def _number(tree: Mapping[str, Any]) -> int:
    """Return what orders Runs of one second: the number of a re-run."""
    number = tree["metadata"]["name"].rpartition("-r")[2]
    return int(number) if number.isdecimal() else 0


def run_again(api: Api, experiment: Mapping[str, Any], eras: Sequence[str] = ()) -> Tree:
    """Create the next Run of an Experiment as it is now, `<experiment>-<generation>-r<n>`; nobody else gets the same."""
    meta = experiment["metadata"]
    start = objects.run_name(meta["name"], meta["generation"], "r")
    labels = f"{objects.EXPERIMENT}={objects.fitting(meta['name'], objects.LONGEST_LABEL)}"
    names = [tree["metadata"]["name"] for tree in api.list(RUNS, meta["namespace"], labels=labels)]
    taken = [int(name[len(start) :]) for name in names if name.startswith(start) and name[len(start) :].isdecimal()]
    number = max(taken, default=0) + 1
    while True:
        tree = objects.run_tree(experiment, f"{start}{number}")
        if eras:
            tree["spec"]["eras"] = list(eras)
        try:
            return api.create(RUNS, tree)
        except ConflictError:
            number += 1  # somebody else was faster


def abort(api: Api, run: Mapping[str, Any], say: Callable[[str], object]) -> None:
    """Tell a Run to end: it heals, cleans up and is judged. One that is finished, or gone, is left as it is."""
    meta = run["metadata"]
    if finished(run) or run["spec"].get("abort"):
        return
    with suppress(MissingError, ConflictError):  # gone, or another of that name
        api.patch(RUNS, meta["name"], {"metadata": {"uid": meta["uid"]}, "spec": {"abort": True}}, meta["namespace"])
        say(f"{meta['name']}: told to end")


def finished(run: Mapping[str, Any]) -> bool:
    """Tell whether a Run is over; something of it may still be left."""
    return (run.get("status") or {}).get("phase") == "Finished"


def clean(run: Mapping[str, Any]) -> bool:
    """Tell whether a Run is over and nothing of it is at a target: it was asked, it was let go, or it never began."""
    if not finished(run):
        return False
    status = run.get("status") or {}
    asked = objects.condition(status.get("conditions") or [], "CleanedUp")
    if asked is not None and asked["status"] == "True":
        return True
    held = objects.FINALIZER in (run["metadata"].get("finalizers") or [])
    return not held or not status.get("executor")


def stuck(run: Mapping[str, Any]) -> str:
    """Return what is left of a Run that needs somebody's hands; nothing if nothing does."""
    found = objects.condition((run.get("status") or {}).get("conditions") or [], "StuckOnCleanup")
    return str(found.get("message") or found["reason"]) if found is not None and found["status"] == "True" else ""


def residue(run: Mapping[str, Any]) -> str:
    """Return what a finished Run left at a target, as it says itself; nothing if it is clean."""
    found = objects.condition((run.get("status") or {}).get("conditions") or [], "CleanedUp")
    left = str(found.get("message") or found["reason"]) if found is not None and found["status"] == "False" else ""
    return left if finished(run) else ""
