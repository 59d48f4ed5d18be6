"""Verdicts, told to a webhook: each finished Run once, from a thread of its own, with bounded retries.

Off unless a URL is given. What was told stands on the Run (annotation `aftershock.dev/notified`), so that a restarted operator
tells what finished while it was away, and nothing twice. Nobody waits for it, and nothing hangs on it: a Run has its
verdict whether or not anybody was told.
"""

import os
import queue
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from aftershock.adapters import secrets, webhook
from aftershock.adapters.kubernetes import RUNS, Api
from aftershock.adapters.webhook import BusyError
from aftershock.core.notice import FORMATS, Format
from aftershock.errors import AftershockError

URL = "AFTERSHOCK_NOTIFY_URL"
NOTIFIED = "aftershock.dev/notified"
NEWS = timedelta(hours=1)
"""What finished longer ago is no news: nobody is told of a whole history when notifications are switched on."""

WAITING = 1000
"""Notices that may wait; those beyond are dropped, and said so."""


@dataclass(frozen=True)
class Retries:
    """`attempts` in all; before each but the first, twice the time of the one before, from `first`, at the most `longest`."""

    attempts: int = 6
    first: float = 1.0
    longest: float = 60.0

    def pause(self, attempt: int, asked: float | None = None) -> float:
        """Return the seconds before attempt n (from 1); `asked` is what the other side asked for. With jitter, never more."""
        planned = min(self.longest, self.first * 2.0 ** (attempt - 1))
        if asked is not None:
            return min(self.longest, max(planned, asked))
        return planned * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing


Told = Callable[[Mapping[str, Any], str], object]
Count = Callable[[str], object]


class Notifier:
    """Tells a webhook of finished Runs. `told` is called with the Run and what came of it; `count` with the result's name."""

    def __init__(
        self,
        url: str,
        form: Format,
        *,
        told: Told,
        count: Count,
        say: Callable[[str], object],
        retries: Retries | None = None,
    ) -> None:
        self._url, self._told, self._count, self._say = url, told, count, say
        self._retries = retries or Retries()
        self._kind, self._body = FORMATS[form]
        self._queue: queue.Queue[Mapping[str, Any] | None] = queue.Queue(WAITING)
        self._taken: set[str] = set()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="notifier", daemon=True)
        self._thread.start()
        secrets.remember(url)

    def saw(self, run: Mapping[str, Any]) -> None:
        """Take in a Run as the API has it, however often. Returns at once."""
        uid = str(run["metadata"]["uid"])
        if uid in self._taken or not is_news(run, datetime.now(UTC)):
            return
        try:
            self._queue.put_nowait(run)
            self._taken.add(uid)
        except queue.Full:
            self._say(f"{WAITING} notifications wait already; that of {run['metadata']['name']} is dropped")

    def gone(self, run: Mapping[str, Any]) -> None:
        """A Run was deleted: its uid never comes again."""
        self._taken.discard(str(run["metadata"]["uid"]))

    def end(self) -> None:
        """Send nothing more; what waits is told by the next operator."""
        self._ending.set()
        with self._queue.mutex:
            self._queue.queue.clear()
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (run := self._queue.get()) is not None:
            try:
                self._tell(run)
            except Exception as error:  # noqa: BLE001 - one that can't be told must not keep the others from being told
                self._say(f"notification of {run['metadata']['name']}: {type(error).__name__}: {error}")

    def _tell(self, run: Mapping[str, Any]) -> None:
        problem = self._send(self._body(run))
        if self._ending.is_set() and problem:
            return
        self._count("given-up" if problem else "sent")
        if problem:
            self._say(f"notification of {run['metadata']['name']} given up: {problem}")
        self._told(run, f"given up: {problem}" if problem else datetime.now(UTC).isoformat(timespec="seconds"))

    def _send(self, body: Mapping[str, Any]) -> str:
        """Return nothing, or what went wrong at last."""
        problem = ""
        for attempt in range(1, self._retries.attempts + 1):
            try:
                webhook.post(self._url, body, self._kind)
            except BusyError as busy:
                problem = busy.problem
                last = attempt == self._retries.attempts
                if last or self._ending.wait(self._retries.pause(attempt, busy.after)):
                    break
            except AftershockError as error:
                return error.problem
            else:
                return ""
        return problem


def is_news(run: Mapping[str, Any], now: datetime) -> bool:
    """Tell whether somebody is to be told: finished with a verdict, not long ago, and not told yet."""
    status = run.get("status") or {}
    told = NOTIFIED in (run["metadata"].get("annotations") or {})
    if told or status.get("phase") != "Finished" or not status.get("verdict"):
        return False
    try:
        finished = datetime.fromisoformat(str(status.get("finished")))
    except ValueError:
        return False
    return now - (finished if finished.tzinfo else finished.replace(tzinfo=UTC)) < NEWS


def notifier(api: Api, form: Format, count: Count, say: Callable[[str], object]) -> Notifier | None:
    """Return a notifier for the URL in the environment, which marks on each Run that it was told; None without a URL."""
    url = os.environ.get(URL)
    if not url:
        return None

    def told(run: Mapping[str, Any], what: str) -> None:
        meta = run["metadata"]
        change = {"metadata": {"uid": meta["uid"], "annotations": {NOTIFIED: what}}}
        api.patch(RUNS, meta["name"], change, meta["namespace"])

    return Notifier(url, form, told=told, count=count, say=say)
