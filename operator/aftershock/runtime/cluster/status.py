"""The status of a Run in the API, kept in step with its record on disk, from a thread of its own.

The run never waits for it: only the newest state is written, and while the API is away it is kept until the API answers.
It writes only to a Run that is still this executor's: one that somebody else has ended is left as it is.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from aftershock.adapters.kubernetes import RUNS, Api, ConflictError, MissingError, Tree
from aftershock.errors import AftershockError
from aftershock.model.run import RunStatus
from aftershock.model.write import to_tree
from aftershock.runtime.cluster import objects

AGAIN = 0.5
"""Seconds before a write that failed is tried again."""

UNTIL_WRITTEN = 900.0
"""Seconds for which an executor goes on trying to write its verdict while the API is away."""


class Mirror:
    """Writes the status of `run`, which has just been claimed. `say` is told once of whatever keeps it from writing."""

    def __init__(self, api: Api, run: Mapping[str, Any], say: Callable[[str], object]) -> None:
        self._api, self._say = api, say
        self._executor = run["status"]["executor"]
        self._take(run)
        self._wanted: RunStatus | None = None
        self._closing = threading.Event()
        self._changed = threading.Condition()
        self._refused = ""
        self._thread = threading.Thread(target=self._write_on, name="aftershock-status", daemon=True)
        self._thread.start()

    def publish(self, status: RunStatus) -> None:
        """Take the newest state; it is written soon."""
        with self._changed:
            self._wanted = status
            self._changed.notify()

    def close(self, patience: float) -> bool:
        """Wait until the last state is written, at most so many seconds; tell whether it is."""
        self._closing.set()
        with self._changed:
            self._changed.notify()
        self._thread.join(patience)
        return not self._thread.is_alive() and self._wanted is None

    def _write_on(self) -> None:
        while (status := self._next()) is not None:
            if self._write(status):
                with self._changed:
                    if self._wanted is status:
                        self._wanted = None
            else:
                time.sleep(AGAIN)

    def _next(self) -> RunStatus | None:
        """Wait for something to write; None once it is over."""
        with self._changed:
            while self._wanted is None:
                if self._closing.is_set():
                    return None
                self._changed.wait()
            return self._wanted

    def _write(self, status: RunStatus, at_once: int = 20) -> bool:
        """Write it, again at once where others write to the Run too; tell whether that is done with, one way or another."""
        try:
            self._patch(status)
        except ConflictError:
            return not self._read_again() or (at_once > 1 and self._write(status, at_once - 1))
        except MissingError:
            return True  # nobody is left who would read it
        except AftershockError as error:
            self._amiss(f"the status of the run can't be written now: {error.problem}")
            return False
        return True

    def _patch(self, status: RunStatus) -> None:
        tree = to_tree(status)
        tree.pop("executor", None)
        conditions = self._conditions(status)
        if conditions is not None:
            tree["conditions"] = conditions
        version = {"resourceVersion": self._meta["resourceVersion"]}
        change = {"metadata": version, "status": {"phase": status.phase, **tree}}
        written = self._api.patch(RUNS, self._meta["name"], change, self._meta["namespace"], subresource="status")
        self._take(written)

    def _conditions(self, status: RunStatus) -> list[Tree] | None:
        """Return all conditions with those of the verdict set; None where there is no verdict yet."""
        if not status.conditions:
            return None
        merged = self._before
        for one in status.conditions:
            merged = objects.set_condition(
                merged,
                one.type,
                one.status,
                reason=one.reason,
                message=one.message,
                generation=self._meta.get("generation"),
            )
        return merged

    def _take(self, run: Mapping[str, Any]) -> None:
        self._meta = dict(run["metadata"])
        self._before = list((run.get("status") or {}).get("conditions") or [])

    def _read_again(self) -> bool:
        """After a conflict: read the Run; tell whether it is still ours to write to."""
        try:
            run = self._api.get(RUNS, self._meta["name"], self._meta["namespace"])
        except MissingError:
            return False
        except AftershockError as error:
            self._amiss(f"the run can't be read now: {error.problem}")
            return True
        status = run.get("status") or {}
        mine = run["metadata"]["uid"] == self._meta["uid"] and status.get("executor") == self._executor
        if not mine or status.get("phase") == "Finished":
            self._amiss("the run was ended by somebody else; its status stays what it is")
            return False
        self._take(run)
        return True

    def _amiss(self, line: str) -> None:
        if line != self._refused:
            self._refused = line
            self._say(line)
