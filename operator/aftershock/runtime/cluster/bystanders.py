"""What looks on while the operator works: metrics, notifications, retention. Whatever becomes of them, runs go on.

The operator tells of every Run that its watch shows (`saw`, `gone`), and now and then that time has passed (`round`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aftershock.adapters.kubernetes import Api
from aftershock.core.notice import Format
from aftershock.core.retention import Limits
from aftershock.errors import AftershockError
from aftershock.runtime.cluster import metrics, retention
from aftershock.runtime.cluster.metrics import Metrics, Served
from aftershock.runtime.cluster.notify import Notifier, notifier
from aftershock.runtime.cluster.tally import RunTally

Say = Callable[[str], object]
Run = Mapping[str, Any]
ROUND = 60.0
"""Seconds between two rounds."""


@dataclass(frozen=True)
class Wanted:
    """`metrics_port`: None is none. `keep_runs`: seconds that a finished Run is kept; None is for ever."""

    metrics_port: int | None = None
    notify: Format = "cloudevents"
    keep_runs: float | None = None


class Bystanders:
    """All of them, as one. Nothing here raises but the first start, on a port that is taken."""

    def __init__(self, api: Api, wanted: Wanted, say: Say) -> None:
        self._api, self._wanted, self._say = api, wanted, say
        self.metrics = Metrics("operator")
        self._tally = RunTally(self.metrics)
        self._served: Served | None = None
        if wanted.metrics_port is not None:
            self._served = self.metrics.serve(wanted.metrics_port)
        self._notifier: Notifier | None = notifier(api, wanted.notify, self._sent, say)
        self._runs: dict[str, Run] = {}

    def saw(self, run: Run) -> None:
        """Take in a Run as the API has it, however often."""
        self._runs[run["metadata"]["uid"]] = run
        for look in (self._tally.saw, self._notifier.saw if self._notifier is not None else None):
            self._safely(look, run)

    def gone(self, run: Run) -> None:
        """A Run was deleted."""
        self._runs.pop(run["metadata"]["uid"], None)
        for look in (self._tally.gone, self._notifier.gone if self._notifier is not None else None):
            self._safely(look, run)

    def _safely(self, look: Callable[[Run], object] | None, run: Run) -> None:
        try:
            if look is not None:
                look(run)
        except Exception as error:  # noqa: BLE001 - whoever only looks on must not stop the work
            self._say(f"{run['metadata'].get('name')}: can't be counted or told: {type(error).__name__}: {error}")

    def round(self, now: float) -> None:
        """Throw away finished Runs that are too old; `now` in seconds since the epoch. Blocks while the API is asked."""
        if self._wanted.keep_runs is None:
            return
        try:
            limits = Limits(age=self._wanted.keep_runs)
            for name in retention.throw_away_runs(self._api, list(self._runs.values()), limits, now):
                self._say(f"run {name} finished long ago: deleted (--keep-runs)")
        except AftershockError as error:
            self._say(f"old runs can't be deleted: {error.problem}")

    def end(self) -> None:
        """Serve and send nothing more."""
        if self._notifier is not None:
            self._notifier.end()
        if self._served is not None:
            self._served()

    def _sent(self, result: str) -> None:
        self.metrics.count(metrics.NOTICES, result=result)
