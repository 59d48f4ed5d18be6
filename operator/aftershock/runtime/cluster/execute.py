"""The executor in a cluster: takes one Run, claims it, carries it out as the command line would, and says what came of it.

A Run is claimed by at most one executor, ever: by a write to its status that succeeds only where nobody has been before.
Whoever comes second (a pod that was started again, an operator that launched twice) ends quietly.
"""

import asyncio
import os
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from msgspec import structs

from aftershock.adapters import home
from aftershock.adapters.kubernetes import LEASES, RUNS, Api, ApiAwayError, ConflictError, MissingError, Tree
from aftershock.adapters.threads import within
from aftershock.core.history import Aborting
from aftershock.errors import AftershockError, HeldError
from aftershock.model.run import Run, RunStatus
from aftershock.runtime import launch
from aftershock.runtime.cluster import inputs, journals, objects, retention, sharding
from aftershock.runtime.cluster.inputs import Lacking
from aftershock.runtime.cluster.journals import Keeper
from aftershock.runtime.cluster.status import UNTIL_WRITTEN, Mirror
from aftershock.runtime.executor import Executor
from aftershock.runtime.folders import RunFolder
from aftershock.runtime.launch import Audience, Identity, Outcome

ASKING = 1.0
"""Seconds between two looks whether the Run is to be aborted."""

DEADLINE = 10.0
"""Seconds that one such look may take."""

PATIENCE = 120.0
"""Seconds for which an executor that starts waits for the API to answer, with each of its calls."""

AGAIN = 0.5

CLAIMS = 50
"""Times that claiming is tried while somebody else writes to the Run: its labels, say."""

Say = Callable[[str], object]
T = TypeVar("T")


def execute(api: Api, namespace: str, name: str, say: Say, place: str | None = None) -> int:
    """Carry out a Run; return 0 whatever its verdict, and also where there was nothing to do. AftershockError otherwise.

    `place` is where its journal is kept, as `journals.PLACE` says it; None is what that says in the environment.
    """
    place = os.environ.get(journals.PLACE, "") if place is None else place
    journals.check(place)
    found = _patiently(say, lambda: api.find(RUNS, name, namespace))
    if found is None:
        say(f"there is no Run {namespace}/{name}; nothing was done")
        return 0
    run = found
    if why := _taken(run) or _patiently(say, lambda: _not_its_turn(api, run)):
        say(f"Run {namespace}/{name}: {why}; nothing was done")
        return 0
    try:
        run = _patiently(say, Claim(api, run))
    except (ConflictError, MissingError):
        say(f"Run {namespace}/{name}: somebody else was faster; nothing was done")
        return 0
    try:
        return _carry_out(api, run, say, place)
    finally:
        retention.tidy(api, namespace, place, say)


def _patiently(say: Say, call: Callable[[], T]) -> T:
    """Make a call before anything is begun; again and again while the API is away, as an executor that fails is not replaced.

    An answer may have been lost on its way: whatever the call does, it must be no harm to do it twice.
    """
    end, said = time.monotonic() + PATIENCE, False
    while True:
        try:
            return call()
        except ApiAwayError as error:
            if time.monotonic() > end:
                raise
            if not said:
                say(f"trying on for {PATIENCE:g} s: {error.problem}")
            said = True
            time.sleep(AGAIN)


def _taken(run: Mapping[str, Any]) -> str:
    """Say why a Run is not to be carried out; nothing if it is."""
    status = run.get("status") or {}
    if status.get("phase") == "Finished":
        return "it is finished"
    if status.get("executor"):
        return f"{status['executor']} carries it out"
    if run["metadata"].get("deletionTimestamp"):
        return "it is being deleted"
    return ""


def _not_its_turn(api: Api, run: Mapping[str, Any]) -> str:
    """Say who holds the stack, if it isn't this Run. Without an operator nobody has made a Lease: then it is taken here."""
    meta, stack = run["metadata"], run["spec"]["stack"]
    lease = api.find(LEASES, objects.stack_lease_name(stack), meta["namespace"])
    if lease is None:
        try:
            lease = api.create(LEASES, objects.stack_lease(run))
        except ConflictError:
            return f"the Stack {stack} was taken meanwhile"
    holder, uid = objects.holder(lease)
    return "" if uid == meta["uid"] else f"the Stack {stack} is held by the Run {holder}"


def name_of_executor() -> str:
    """Return what `status.executor` says: the pod's name (AFTERSHOCK_POD), or host and process."""
    return os.environ.get("AFTERSHOCK_POD") or f"{socket.gethostname()}/{os.getpid()}"


class Claim:
    """Makes a Run this executor's, when called; called again after an answer was lost, it knows what it has claimed already."""

    def __init__(self, api: Api, run: Tree) -> None:
        self._api, self._run, self._lost = api, run, False

    def __call__(self) -> Tree:
        """Return the Run as it is now. ConflictError where another executor was faster, or it changes all the time."""
        try:
            return self._claim(self._run, CLAIMS)
        except ApiAwayError:
            self._lost = True
            raise

    def _claim(self, run: Tree, tries: int) -> Tree:
        try:
            return _claim_once(self._api, run)
        except ConflictError:
            again = self._api.get(RUNS, run["metadata"]["name"], run["metadata"]["namespace"])
            same = again["metadata"]["uid"] == run["metadata"]["uid"]
            if same and self._lost and (again.get("status") or {}).get("executor") == name_of_executor():
                return again
            if tries <= 1 or _taken(again) or not same:
                raise
            return self._claim(again, tries - 1)


def _claim_once(api: Api, run: Tree) -> Tree:
    """Write to it, if it is still what was read."""
    meta = run["metadata"]
    conditions = objects.set_condition(
        (run.get("status") or {}).get("conditions") or [],
        "Started",
        "True",
        reason="Claimed",
        message=f"{name_of_executor()} carries it out",
        generation=meta.get("generation"),
    )
    status = {
        "phase": "Pending",
        "executor": name_of_executor(),
        "token": objects.token(meta["uid"]),
        "conditions": conditions,
    }
    change = {"metadata": {"resourceVersion": meta["resourceVersion"]}, "status": status}
    return api.patch(RUNS, meta["name"], change, meta["namespace"], subresource="status")


def _carry_out(api: Api, run: Tree, say: Say, place: str) -> int:
    folder = RunFolder(folder_of(run))
    places = home.state() / "execute" / folder.name
    mirror = Mirror(api, run, say)
    keeper = journals.keeper(folder.journal, place, run["metadata"]["namespace"], say)
    told = _Told(mirror, keeper)
    try:
        request = _patiently(say, lambda: inputs.gather(api, run, places))
        audience = Audience(
            [keeper.follow],
            say,
            told.published,
            lambda executor: _heed(api, run, executor),
            sharding.generators(api, run, os.environ, say),
        )
        outcome = launch.launch_as(_identity(run, folder), request, audience)
        if isinstance(outcome.failure, HeldError):
            raise outcome.failure
        told.all()
        _say_verdicts(run, outcome, say)
    except Lacking as lacking:
        _give_back(api, run, folder, lacking, say)
    except HeldError as held:
        _give_back(api, run, folder, Lacking("WaitingForTarget", held.problem), say)
    except AftershockError as error:
        told.all(_failed(error))
        raise
    finally:
        mirror.close(UNTIL_WRITTEN)
        shutil.rmtree(places, ignore_errors=True)
    return 0


class _Told:
    """Hands a run's record on to the API. What ends before its baseline is kept back: it may have to wait for its turn."""

    def __init__(self, mirror: Mirror, keeper: Keeper) -> None:
        self._mirror, self._keeper = mirror, keeper
        self._begun = False
        self._kept: Run | None = None

    def published(self, run: Run) -> None:
        """Take the run's record."""
        self._begun = self._begun or run.status.phase == "Baseline"
        over = run.status.phase == "Finished"  # said when the whole journal is where it is said to be
        where = self._keeper.finish() if over else self._keeper.where
        self._kept = structs.replace(run, status=structs.replace(run.status, journal=where))
        if self._begun:
            self.all()

    def all(self, instead: RunStatus | None = None) -> None:
        """Hand on what was kept back, or another end in its place."""
        if instead is not None:
            self._mirror.publish(instead)
        elif self._kept is not None:
            self._mirror.publish(self._kept.status)


def _failed(error: AftershockError) -> RunStatus:
    return RunStatus(
        phase="Finished", verdict="Error", because=f"{error.problem}: {error.advice}", finished=objects.now()
    )


def _identity(run: Mapping[str, Any], folder: RunFolder) -> Identity:
    meta = run["metadata"]
    return Identity(objects.token(meta["uid"]), folder, f"{meta['namespace']}.{run['spec']['stack']}")


async def _heed(api: Api, run: Mapping[str, Any], executor: Executor) -> None:
    """Abort the run when its Run says so, or is gone. An API that is away says nothing."""
    meta = run["metadata"]
    while True:
        await asyncio.sleep(ASKING)
        try:
            found = await within(DEADLINE, api.find, RUNS, meta["name"], meta["namespace"])
        except AftershockError:
            continue
        if why := _asked_to_end(found, meta["uid"]):
            executor.abort(Aborting(at=executor.clock.now(), reason="User", message=why))
            return


def _asked_to_end(run: Tree | None, uid: str) -> str:
    if run is None or run["metadata"]["uid"] != uid:
        return "its Run is gone"
    if run["metadata"].get("deletionTimestamp"):
        return "its Run is being deleted"
    return "its Run says `abort: true`" if run["spec"].get("abort") else ""


def _say_verdicts(run: Tree, outcome: Outcome, say: Say) -> None:
    verdicts = ", ".join(f"{one.era} {one.verdict.value}" for one in outcome.judgements)
    say(f"Run {run['metadata']['namespace']}/{run['metadata']['name']}: {verdicts or 'no era judged it'}")


def _give_back(api: Api, run: Tree, folder: RunFolder, lacking: Lacking, say: Say) -> None:
    """Let go of a Run of which nothing was begun: it waits again, and says for what."""
    meta = run["metadata"]
    shutil.rmtree(folder.path, ignore_errors=True)
    conditions = objects.set_condition(
        (run.get("status") or {}).get("conditions") or [],
        "Started",
        "False",
        reason=lacking.reason,
        message=lacking.message,
        generation=meta.get("generation"),
    )
    change: Tree = {"status": {"phase": "Pending", "executor": None, "started": None, "conditions": conditions}}
    api.patch(RUNS, meta["name"], change, meta["namespace"], subresource="status")
    say(f"Run {meta['namespace']}/{meta['name']}: {lacking.reason}: {lacking.message}")


def folder_of(run: Mapping[str, Any]) -> Path:
    """Return where the Run's journal lies on the machine that carries it out."""
    meta = run["metadata"]
    return objects.run_folder(meta["name"], objects.token(meta["uid"]))
