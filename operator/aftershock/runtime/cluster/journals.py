"""Where a Run's journal is kept when its executor is gone: its own folder, a volume, or S3-compatible object storage.

The journal is written to the executor's disk in any case. A store gets copies, from a thread of its own: whenever the run
moves, when an intent is on record, and at the end. The run never waits for it, but for the last copy, and not for long.
"""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aftershock.adapters import bucket, home, store
from aftershock.adapters.bucket import Place
from aftershock.adapters.kubernetes import RUNS, Api
from aftershock.core.history import Any_, Begun, Cleaned, Entered, History, Intended
from aftershock.errors import AftershockError, InputError, JournalError
from aftershock.runtime.cluster import fetching, objects

PLACE = "AFTERSHOCK_JOURNAL"
"""Environment: `s3://bucket/prefix`, or `pvc://claim` where the runs' folder is a volume. Unset: the executor's own disk."""

CLAIM = "pvc://"
LAST = 60.0
"""Seconds for which an executor goes on trying to write the last copy."""

AGAIN = 0.5
"""Seconds before a copy that could not be written is tried again."""


def check(place: str) -> None:
    """Raise InputError for a place that is none."""
    if place and not place.startswith(CLAIM):
        Place.parse(place)


class Keeper:
    """Keeps one journal where it lies: on the executor's disk, or on a volume that outlives it."""

    def __init__(self, journal: Path, place: str = "") -> None:
        self._journal = journal
        claim = place.removeprefix(CLAIM)
        self.where = f"{CLAIM}{claim}/{journal.parent.name}/{journal.name}" if place else str(journal)

    def follow(self, event: Any_) -> None:
        """Take in that something was written."""

    def finish(self) -> str:
        """Return where the whole journal is."""
        return self.where


class Copier(Keeper):
    """Keeps copies of a journal in object storage. Only the newest counts: what is written in between is not sent."""

    def __init__(
        self, journal: Path, place: str, folder: str, say: Callable[[str], object], patience: float = LAST
    ) -> None:
        super().__init__(journal)
        self._place, self._name = Place.parse(place), f"{folder}/{journal.name}"
        self._say, self._patience = say, patience
        self._due = threading.Event()
        self._ending = threading.Event()
        self._amiss = ""
        self._thread = threading.Thread(target=self._copy_on, name="aftershock-journal", daemon=True)
        self._thread.start()
        self.where = self._place.url(self._name)

    def follow(self, event: Any_) -> None:
        """Have a copy made when the run moves, and of each intent before anything is injected by it."""
        if isinstance(event, Begun | Entered | Intended | Cleaned):
            self._due.set()

    def finish(self) -> str:
        """Have the last copy made; return where the whole journal is, which is here if the store does not take it."""
        self._ending.set()
        self._due.set()
        self._thread.join(self._patience + bucket.TIMEOUT)
        if not self._amiss and not self._thread.is_alive():
            return self.where
        return f"{self._journal} (not at {self.where}: {self._amiss or 'it does not answer'})"

    def _copy_on(self) -> None:
        end = float("inf")
        while True:
            self._due.wait()
            self._due.clear()
            last = self._ending.is_set()
            end = min(end, time.monotonic() + self._patience) if last else end
            if self._copied():
                if last:
                    return
                continue
            if time.monotonic() >= end:
                return
            self._ending.wait(AGAIN) if not last else time.sleep(AGAIN)
            self._due.set()

    def _copied(self) -> bool:
        try:
            bucket.put(self._place, self._name, self._journal.read_bytes())
        except OSError:
            return True  # there is nothing to copy yet
        except AftershockError as error:
            if not self._amiss:
                self._say(f"the journal can't be copied now: {error.problem}")
            self._amiss = error.problem
            return False
        self._amiss = ""
        return True


def keeper(journal: Path, place: str, namespace: str, say: Callable[[str], object]) -> Keeper:
    """Return what keeps a journal at a place."""
    if place.startswith(bucket.SCHEME):
        return Copier(journal, place, f"{namespace}/{journal.parent.name}", say)
    return Keeper(journal, place)


# Reading one


def find(api: Api, namespace: str, name: str) -> Path:
    """Return the journal of a Run that is named, as `of` does. MissingError where there is no such Run."""
    return of(api, api.get(RUNS, name, namespace))


def history(api: Api, run: Mapping[str, Any]) -> History:
    """Return what a Run's journal holds; errors are those of `of`."""
    return store.read(of(api, run))


def of(api: Api, run: Mapping[str, Any]) -> Path:
    """Return a Run's journal as a file of this machine: where it lies, or copied from object storage or a volume claim.

    InputError or JournalError where it can't be had from here.
    """
    meta = run["metadata"]
    where = (run.get("status") or {}).get("journal") or ""
    folder = objects.run_folder(meta["name"], objects.token(meta["uid"]))
    if where.startswith(bucket.SCHEME):
        return _kept(bucket.get(where), meta["namespace"], folder.name)
    for path in (Path(where), folder / "journal.jsonl") if where else ():
        if path.is_file():
            return path
    if where.startswith(CLAIM):
        claim, _, rest = where.removeprefix(CLAIM).partition("/")
        return _kept(_from_claim(api, run, claim, rest), meta["namespace"], folder.name)
    raise _elsewhere(run, where)


def _from_claim(api: Api, run: Mapping[str, Any], claim: str, path: str) -> bytes:
    try:
        return fetching.fetch(api, run, claim, path)
    except AftershockError as error:
        called = f"{run['metadata']['namespace']}/{run['metadata']['name']}"
        raise JournalError(
            f"the journal of the Run {called} lies on the volume claim {claim}, as {path}, and can't be read: {error.problem}",
            f"{error.advice}; or do the same in a pod that mounts {claim} at /var/lib/aftershock/runs",
        ) from None


def _kept(content: bytes, namespace: str, run: str) -> Path:
    path = home.state() / "fetched" / namespace / run / "journal.jsonl"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise JournalError(
            f"can't write {path}: {error.strerror}", "point AFTERSHOCK_HOME at a folder of yours"
        ) from None
    return path


def _elsewhere(run: Mapping[str, Any], where: str) -> AftershockError:
    meta, status = run["metadata"], run.get("status") or {}
    called = f"the Run {meta['namespace']}/{meta['name']}"
    if not where:
        return InputError(f"{called} has no journal yet: {status.get('phase') or 'Pending'}", "wait until it has begun")
    return JournalError(
        f"the journal of {called} lies with its executor {status.get('executor')}: {where}",
        "do the same on that machine; with `journals.store` s3 or pvc the next ones are kept",
    )
