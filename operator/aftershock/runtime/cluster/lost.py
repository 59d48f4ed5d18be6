"""Runs whose executor is dead: ended in the API as Aborted/ExecutorLost once their targets are clean, and never run again.

An executor that can't be seen is not dead. While the API is away, and for a while after, nothing is concluded: a run has
to be found without its executor again and again, with no failure of the API in between, before it is ended.
"""

import os
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from aftershock.adapters import store
from aftershock.adapters.kubernetes import RUNS, Api, ApiAwayError, ConflictError, MissingError, Tree
from aftershock.adapters.threads import within
from aftershock.core.lease import Lease
from aftershock.errors import AftershockError, JournalError
from aftershock.faults import created
from aftershock.model.run import RunCondition, RunStatus
from aftershock.model.stack import Stack
from aftershock.model.write import to_tree
from aftershock.runtime import leftovers, lost, reaper
from aftershock.runtime.cluster import kept, objects
from aftershock.runtime.folders import RunFolder

SETTLED = 10.0
"""Seconds for which a run has to be seen without its executor, each time it is looked at, before it counts as lost."""

PATIENCE = 20.0
"""Seconds that one question to the API may take."""

UNKNOWN: tuple[Literal["FaultLanded", "ObjectivesHeld", "Recovered"], ...] = (
    "FaultLanded",
    "ObjectivesHeld",
    "Recovered",
)
"""Conditions of which nothing can be said without a journal."""


class Alive(Protocol):
    """What is asked of a launcher here."""

    def alive(self, run: Mapping[str, Any]) -> bool:
        """Tell whether the run's executor lives. ApiAwayError where that can't be told."""


@dataclass(frozen=True)
class Found:
    """What was found at a run's targets: `amiss` needs somebody's hands, `waiting` ends with its lease. `known`: where the
    Stack could be read that says where they are.
    """

    amiss: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)


class Coroner:
    """Looks for lost runs, round after round, and ends them. `namespaces`: where; empty for everywhere."""

    def __init__(
        self,
        api: Api,
        launcher: Alive,
        namespaces: Sequence[str],
        say: Callable[[str], object],
        settled: float = SETTLED,
    ) -> None:
        self._api, self._launcher, self._namespaces = api, launcher, namespaces
        self._say, self._settled = say, settled
        self._suspected: dict[str, float] = {}

    async def round(self) -> None:
        """Look at every run once. Any failure of the API clears all suspicion: what was seen before it proves nothing."""
        try:
            runs = await self._listed()
            suspected = [run for run in runs if _claimed(run) and not await self._lives(run)]
        except ApiAwayError:
            self._suspected = {}
            raise
        now = time.monotonic()
        self._suspected = {uid: self._suspected.get(uid, now) for uid in map(_uid, suspected)}
        for run in suspected:
            if now - self._suspected[_uid(run)] >= self._settled:
                await self._end(run)
        for run in filter(_stuck, runs):
            await self._end(run, self._cleared)

    async def _listed(self) -> list[Tree]:
        runs: list[Tree] = []
        everywhere: Sequence[str | None] = [None]
        for namespace in self._namespaces or everywhere:
            runs += await within(PATIENCE, self._api.list, RUNS, namespace)
        return runs

    async def _lives(self, run: Tree) -> bool:
        return await within(PATIENCE, self._launcher.alive, run)

    async def _end(self, run: Tree, how: Callable[[Tree], Awaitable[str | None]] | None = None) -> None:
        """End one lost run, or say what is in the way. Somebody who was faster, or a run that is gone, is as good."""
        where = f"run {run['metadata']['namespace']}/{run['metadata']['name']}"
        try:
            if line := await (how or self._conclude)(run):
                self._say(f"{where} {line}")
        except (ConflictError, MissingError):
            self._suspected.pop(_uid(run), None)
        except ApiAwayError:
            raise
        except AftershockError as error:
            self._say(f"{where} can't be ended: {error.problem}: {error.advice}")

    async def _cleared(self, run: Tree) -> str | None:
        """Ask the targets of a run that is over and was not clean; say on it that it is, once it is."""
        token = _status(run).get("token") or objects.token(_uid(run))
        found = await self._ask(run, token, RunFolder(objects.run_folder(run["metadata"]["name"], token)))
        if found.amiss or found.waiting:
            return None
        await self._patch(
            run, {"conditions": self._condition(run, _conditions(run), "False", "Clean", "Nothing is left")}
        )
        return "is over, and now clean: nothing of it is left"

    async def _conclude(self, run: Tree) -> str | None:
        token = _status(run).get("token") or objects.token(_uid(run))
        folder = RunFolder(objects.run_folder(run["metadata"]["name"], token))
        lock = folder.lock() if folder.path.is_dir() else -1
        if lock is None:
            return None  # it lives, whatever the launcher says
        try:
            found = await self._ask(run, token, folder)
            if found.amiss:
                return await self._stuck(run, found.amiss)
            if found.waiting:
                return None
            status = _verdict(run, folder)
            await self._finish(run, token, status)
            shutil.rmtree(kept.executing() / folder.name, ignore_errors=True)
            return f"lost its executor (ExecutorLost); its targets are clean, it ends as {status.verdict}"
        finally:
            if lock >= 0:
                os.close(lock)

    async def _ask(self, run: Tree, token: str, folder: RunFolder) -> Found:
        """Heal what is past its lease, then ask every place what of the run is there."""
        found = Found()
        for file in _files(run, folder):
            try:
                stack = reaper.read_stack(file)
            except AftershockError:
                continue
            await _heal_and_ask(stack, file.parent, token, folder, found)
            found.known.append(str(file))
        if not found.known:
            found.amiss.append(f"the Stack {run['spec']['stack']} is not there to say where to look: apply it again")
        return found

    async def _stuck(self, run: Tree, amiss: Sequence[str]) -> str | None:
        """Say on the Run what is left; nothing where it says so already."""
        message = f"Left by a lost executor: {'; '.join(amiss)}"[:1000]
        before = objects.condition(_conditions(run), "StuckOnCleanup") or {}
        if (before.get("status"), before.get("message")) == ("True", message):
            return None
        conditions = self._condition(run, _conditions(run), "True", "ResidueLeft", message)
        await self._patch(run, {"conditions": conditions})
        return f"lost its executor and is StuckOnCleanup: {'; '.join(amiss)}"

    async def _finish(self, run: Tree, token: str, status: RunStatus) -> None:
        tree = to_tree(status)
        conditions = _conditions(run)
        if objects.condition(conditions, "StuckOnCleanup"):
            conditions = self._condition(run, conditions, "False", "Clean", "Nothing is left")
        for one in status.conditions:
            conditions = objects.set_condition(
                conditions,
                one.type,
                one.status,
                reason=one.reason,
                message=one.message,
                generation=run["metadata"].get("generation"),
            )
        await self._patch(run, {**tree, "phase": "Finished", "token": token, "conditions": conditions})

    def _condition(
        self, run: Tree, conditions: Sequence[Mapping[str, Any]], status: Any, reason: str, message: str
    ) -> list[Tree]:
        generation = run["metadata"].get("generation")
        return objects.set_condition(
            conditions, "StuckOnCleanup", status, reason=reason, message=message, generation=generation
        )

    async def _patch(self, run: Tree, status: Tree) -> None:
        """Write to the status, if the Run is still what was read: an executor that lives after all comes first."""
        meta = run["metadata"]
        change = {"metadata": {"resourceVersion": meta["resourceVersion"]}, "status": status}
        await within(PATIENCE, self._api.patch, RUNS, meta["name"], change, meta["namespace"], subresource="status")


def _status(run: Mapping[str, Any]) -> Mapping[str, Any]:
    return run.get("status") or {}


def _claimed(run: Mapping[str, Any]) -> bool:
    return bool(_status(run).get("executor")) and _status(run).get("phase") != "Finished"


def _stuck(run: Mapping[str, Any]) -> bool:
    """Tell whether a run is over and was found not to be clean."""
    said = objects.condition(_conditions(run), "StuckOnCleanup") or {}
    return _status(run).get("phase") == "Finished" and said.get("status") == "True"


def _conditions(run: Mapping[str, Any]) -> list[Tree]:
    return list(_status(run).get("conditions") or [])


def _uid(run: Mapping[str, Any]) -> str:
    return str(run["metadata"]["uid"])


def _files(run: Mapping[str, Any], folder: RunFolder) -> list[Path]:
    """Return where the Stack may stand: in the reaper's list, and where the executor had it."""
    kept_at = kept.folder_of(run["metadata"]["namespace"], run["spec"]["stack"])
    return [kept_at / kept.FILE, kept.executing() / folder.name / kept.FILE]


async def _heal_and_ask(stack: Stack, place: Path, token: str, folder: RunFolder, found: Found) -> None:
    swept = await reaper.sweep(stack, place, run=token)
    found.amiss.extend([*swept.left, *swept.unreachable])
    if not found.amiss:
        await _remove_links(folder, stack, token, swept.held)
        left = await leftovers.ask(stack, place, token)
        found.waiting.extend([*left.left, *left.unasked])


async def _remove_links(folder: RunFolder, stack: Stack, token: str, held: Sequence[Lease]) -> None:
    """Remove what was created for the run once its last fault is over: by its journal, or, without one, by what is held."""
    try:
        history = store.read(folder.journal)
    except JournalError:
        if not any(lease.run == token and lease.fault != created.FAULT for lease in held):
            await lost.take_links(stack, token)
    else:
        await lost.remove_links(history, stack)


def _verdict(run: Mapping[str, Any], folder: RunFolder) -> RunStatus:
    """Return the finished status: by the journal, or what little can be said without one."""
    started = _status(run).get("started")
    try:
        history = store.read(folder.journal)
        status = lost.concluded(folder, history, started)
    except AftershockError as error:
        return _unjudged(started, error.problem)
    record = folder.read()
    if record is not None:
        folder.write(lost.finished(record, status))
    return status


def _unjudged(started: str | None, why: str) -> RunStatus:
    """Return how a run ends whose journal nobody can read: aborted; that it is clean is all that is known of it."""
    unknown = [
        RunCondition(
            type=kind, status="Unknown", reason="NoJournal", message=f"There is no journal to judge by: {why}."
        )
        for kind in UNKNOWN
    ]
    clean = RunCondition(
        type="CleanedUp", status="True", reason="Clean", message="Every target was asked, and nothing is left."
    )
    return RunStatus(
        phase="Finished",
        verdict="Aborted",
        because=f"The executor was lost (ExecutorLost), and there is no journal to judge by: {why}.",
        conditions=[*unknown, clean],
        started=started,
        finished=objects.now(),
    )
