"""Finished Runs and journals that are old enough to be thrown away, and no others.

A Run that is stuck on cleanup stays whatever its age: it says what is left. A journal stays as long as its run's executor
lives, and in object storage as long as its Run is not finished. Experiments have their `historyLimit` besides, which is
`core/reconcile.py`'s.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from aftershock.adapters import bucket
from aftershock.adapters.bucket import Place
from aftershock.adapters.kubernetes import RUNS, Api, ConflictError
from aftershock.adapters.store import NAME
from aftershock.core.retention import Kept, Limits, outdated
from aftershock.errors import AftershockError, InputError
from aftershock.model.units import Duration
from aftershock.runtime import folders
from aftershock.runtime.cluster import objects
from aftershock.runtime.folders import RunFolder


def old_runs(runs: Iterable[Mapping[str, Any]], limits: Limits, now: float) -> list[Mapping[str, Any]]:
    """Return the finished Runs that go, the oldest first."""
    by_uid = {str(run["metadata"]["uid"]): run for run in runs}
    kept = [Kept(uid, when) for uid, run in by_uid.items() if (when := _finished(run)) is not None]
    return [by_uid[uid] for uid in outdated(kept, limits, now)]


def throw_away_runs(api: Api, runs: Iterable[Mapping[str, Any]], limits: Limits, now: float) -> list[str]:
    """Delete the finished Runs that go; return their names. One that was replaced meanwhile by its namesake stays."""
    gone = []
    for run in old_runs(runs, limits, now):
        meta = run["metadata"]
        try:
            api.delete(RUNS, meta["name"], meta["namespace"], uid=meta["uid"])
        except ConflictError:
            continue
        gone.append(str(meta["name"]))
    return gone


def _finished(run: Mapping[str, Any]) -> float | None:
    """Return when a run finished; None for one that has not, or that must stay."""
    status = run.get("status") or {}
    stuck = objects.condition(status.get("conditions") or [], "StuckOnCleanup")
    going = run["metadata"].get("deletionTimestamp")
    if status.get("phase") != "Finished" or going or (stuck is not None and stuck.get("status") == "True"):
        return None
    return _epoch(status.get("finished"))


def _epoch(text: object) -> float | None:
    try:
        read = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def throw_away_journals(limits: Limits, now: float) -> list[str]:
    """Remove the folders of runs that go from this machine's (or this volume's) state; return their names."""
    there = {folder.name: folder for folder in folders.every()}
    kept = [Kept(name, when) for name, folder in there.items() if (when := _over(folder)) is not None]
    gone = []
    for name in outdated(kept, limits, now):
        shutil.rmtree(there[name].path, ignore_errors=True)
        gone.append(name)
    return gone


def throw_away_copies(api: Api, place: Place, namespace: str, limits: Limits, now: float) -> list[str]:
    """Delete the journals of a namespace's runs that go from object storage; return the runs' names as journals have them.

    Nothing else in the bucket is looked at. The age of one is that of its last copy, which is made when its run ends.
    """
    found = bucket.there(place, f"{namespace}/")
    kept = [Kept(name, when) for name, when in found.items() if _is_journal(name)]
    gone = []
    for name in outdated(kept, limits, now):
        folder = name.split("/")[1]
        if not _goes_on(api, namespace, folder):
            bucket.remove(place, name)
            gone.append(folder)
    return gone


def _is_journal(name: str) -> bool:
    """Tell whether an object is called as the journal of a run is: namespace, run, journal."""
    parts = name.split("/")
    return len(parts) == 3 and parts[2] == NAME


def _goes_on(api: Api, namespace: str, folder: str) -> bool:
    """Tell whether the Run that a folder is named after is there and not finished: its executor may be writing."""
    name, _, token = folder.rpartition("-")
    run = api.find(RUNS, name, namespace) if name else None
    status = (run or {}).get("status") or {}
    return run is not None and status.get("phase") != "Finished" and objects.token(run["metadata"]["uid"]) == token


AGE = "AFTERSHOCK_KEEP_JOURNALS"
"""How long journals are kept, like 90d. The operator hands it on to executors, who see the volume that journals lie on."""

COUNT = "AFTERSHOCK_KEEP_JOURNALS_COUNT"
"""How many are kept."""


def journal_limits(environment: Mapping[str, str]) -> Limits:
    """Return what the environment says; empty and 0 are no limit. InputError for what is none."""
    age, count = environment.get(AGE, ""), environment.get(COUNT, "")
    try:
        return Limits(float(Duration.parse(age)) if age else None, int(count or 0) or None)
    except ValueError:
        raise InputError(
            f"{AGE}={age} {COUNT}={count} says no age and no count", "write them like 90d and 1000"
        ) from None


def tidy(api: Api, namespace: str, place: str, say: Callable[[str], object]) -> None:
    """Throw away the journals that go, as the environment says. Whatever goes wrong is only said.

    Those on this disk or volume, and, where `place` is object storage, those of the namespace there.
    """
    try:
        limits = journal_limits(os.environ)
        gone = throw_away_journals(limits, time.time())
        if place.startswith(bucket.SCHEME) and limits != Limits():
            gone += throw_away_copies(api, Place.parse(place), namespace, limits, time.time())
        for name in dict.fromkeys(gone):
            say(f"the journal of {name} is older than is kept: removed")
    except (AftershockError, OSError) as error:
        say(f"old journals can't be removed: {error}")


def _over(folder: RunFolder) -> float | None:
    """Return when a folder's run was over: as its record says, or, of one that was lost, when it was last written to."""
    try:
        if folder.alive():
            return None
        record = folder.read()
        if record is not None and record.status.phase == "Finished":
            return _epoch(record.status.finished)
        return folder.journal.stat().st_mtime
    except OSError:
        return None
