"""The run's memory: every event goes to the journal first, then to whoever watches, and is kept for the live decisions."""

from collections.abc import Callable

from aftershock.adapters.store import Journal
from aftershock.core.history import Any_, Errored, History
from aftershock.errors import AftershockError

Watcher = Callable[[Any_], None]


class Recorder:
    """Writes the journal. A failed write raises JournalError once; from then on events are kept in memory only.

    What heals must go on though the disk is full, so the second failure is silent: the first one has ended the run. It
    stands in `failure` and, as an error, among the events: such a run can't be judged to have passed.
    """

    def __init__(self, journal: Journal, watchers: list[Watcher]) -> None:
        self._journal = journal
        self._watchers = list(watchers)
        self._broken = False
        self.failure: AftershockError | None = None
        self.events: list[Any_] = []

    def record(self, event: Any_, *, durable: bool = False) -> None:
        """Append, tell the watchers, keep."""
        self.events.append(event)
        if not self._broken:
            try:
                self._journal.append(event, durable=durable)
            except BaseException as error:
                self._broken = True
                self._failed(event.at, error)
                raise
        for watcher in list(self._watchers):
            self._tell(watcher, event)

    def _failed(self, at: float, error: BaseException) -> None:
        if isinstance(error, AftershockError) and self.failure is None:
            self.failure = error
            self.record(Errored(at=at, problem=error.problem, advice=error.advice))

    def _tell(self, watcher: Watcher, event: Any_) -> None:
        """A watcher that can't go on (its terminal is gone) is told no more: it must never keep a fault from being healed."""
        try:
            watcher(event)
        except Exception as error:
            self._watchers.remove(watcher)
            if isinstance(error, AftershockError):  # the run's own record: that counts
                self._failed(event.at, error)
                raise

    @property
    def broken(self) -> bool:
        """Tell whether the journal could not be written."""
        return self._broken

    def history(self) -> History:
        """Return all that is on record so far."""
        return History(self.events)
