"""How far a replica is behind its primary, by heartbeats written there. Pure: whoever asks the servers brings what they said.

The lag is the age of the oldest heartbeat that the replica doesn't have; if it has all, it is 0. So an idle replica that is
caught up is not behind, as `now() - pg_last_xact_replay_timestamp()` would have it.
"""

from collections import deque

import msgspec


class Heartbeat(msgspec.Struct, frozen=True):
    """`place`: where it ends in the WAL, in bytes from the beginning; `when`: seconds on any steady clock; `transaction`: its
    number, where that is of interest.
    """

    place: int
    when: float
    transaction: int = 0


class Heartbeats:
    """The heartbeats that a replica may lack yet, the oldest first."""

    def __init__(self) -> None:
        self._missing: deque[Heartbeat] = deque()
        self._newest = 0

    def wrote(self, beat: Heartbeat) -> None:
        """Take down a heartbeat."""
        self._missing.append(beat)
        self._newest = max(self._newest, beat.place)

    def oldest(self, replayed: int) -> Heartbeat | None:
        """Return the oldest heartbeat that a replica lacks which has replayed up to a place; None if it has all."""
        while self._missing and self._missing[0].place <= replayed:
            self._missing.popleft()
        return self._missing[0] if self._missing else None

    def lag(self, replayed: int, now: float) -> float:
        """Return how far behind it is, in seconds.

        >>> beats = Heartbeats()
        >>> for place, when in ((100, 1.0), (200, 2.0), (300, 3.0)):
        ...     beats.wrote(Heartbeat(place, when))
        >>> beats.lag(150, 5.0), beats.lag(300, 5.0)
        (3.0, 0.0)
        """
        beat = self.oldest(replayed)
        return max(0.0, now - beat.when) if beat else 0.0

    def behind(self, replayed: int) -> int:
        """Return how far behind it is, in bytes of WAL."""
        return max(0, self._newest - replayed)


def visible(transaction: int, snapshot: str) -> bool:
    """Tell whether whoever reads with a snapshot sees a transaction that has committed: `xmin:xmax:running,…`, as PostgreSQL
    writes it (txid_current_snapshot).

    >>> visible(7, "5:9:"), visible(7, "5:9:7"), visible(9, "5:9:")
    (True, False, False)
    """
    _, end, running = snapshot.split(":")
    return transaction < int(end) and str(transaction) not in running.split(",")
