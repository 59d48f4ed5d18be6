"""How far a replica is behind its primary, by a heartbeat of our own.

Each sample writes a heartbeat into the primary's WAL (`pg_logical_emit_message`: a transaction that needs no table), and then
asks the replica how far it has replayed. The lag is the age of the oldest heartbeat that the replica doesn't have; if it has
all, it is 0. So an idle replica that is caught up is not behind, as `now() - pg_last_xact_replay_timestamp()` would have it.
It is right to within one interval, and at the start it can't be more than the time since the first heartbeat. If the primary
takes none, nothing is known of the replica, and the sample is a failure.
"""

import time
from threading import Lock

import psycopg

from aftershock.core.heartbeats import Heartbeat, Heartbeats
from aftershock.errors import InputError
from aftershock.model.stack import Database, ReplicaLagProbe, Stack
from aftershock.probes.http import Means
from aftershock.probes.pulse import Pulse
from aftershock.probes.schedule import nanoseconds
from aftershock.probes.sql import Found, Sessions, Wire, limited

BEHIND = "behind"
"""The kind of failure of a lag that is not below its bound."""

BEAT = "SELECT pg_logical_emit_message(true, 'aftershock', 'heartbeat')"
WRITTEN = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint"
REPLAYED = "SELECT pg_is_in_recovery(), (coalesce(pg_last_wal_replay_lsn(), '0/0') - '0/0')::bigint"
"""Places in the WAL, in bytes from its beginning."""


class Pair:
    """A connection to a primary and one to its replica: of no more use when either is not."""

    def __init__(self, primary: Wire, replica: Wire) -> None:
        self.primary, self.replica = primary, replica

    @property
    def broken(self) -> bool:
        """Tell whether it is of no more use."""
        return self.primary.broken or self.replica.broken

    def cut(self) -> None:
        """Break both."""
        self.primary.cut()
        self.replica.cut()

    def close(self) -> None:
        """Close both."""
        self.primary.close()
        self.replica.close()


class ReplicaLag:
    """Measures as `ReplicaLagProbe` says; the latency of a sample is the lag, also where it is out of its bound."""

    def __init__(self, pulse: Pulse, wanted: ReplicaLagProbe, means: Means, *, stack: Stack, timeout: float) -> None:
        primary, replica = _both(stack, wanted.database)
        self._primary, self._replica = (limited(each, means.folder, timeout) for each in (primary, replica))
        self._below = wanted.below
        self._name = wanted.database
        self._beats, self._lock = Heartbeats(), Lock()
        sessions = Sessions(pulse, means, self)
        self.send, self.abandon = sessions.send, sessions.abandon
        self.explain, self.done = sessions.explain, sessions.done

    def connect(self) -> Pair:
        """Open both connections; psycopg.Error where that fails."""
        primary = Wire(psycopg.connect(self._primary, autocommit=True))
        try:
            return Pair(primary, Wire(psycopg.connect(self._replica, autocommit=True)))
        except psycopg.Error:
            primary.close()
            raise

    def ask(self, line: Pair) -> Found:
        """Write a heartbeat, and look how far the replica is."""
        line.primary.connection.execute(BEAT)
        beat = Heartbeat(_number(line.primary, WRITTEN), time.monotonic())
        with self._lock:
            self._beats.wrote(beat)
        row = line.replica.connection.execute(REPLAYED).fetchone()
        if row is None or not row[0]:
            self.explain(f"the database {self._name} is no replica any more")
            return Found("body")
        with self._lock:
            lag = self._beats.lag(int(str(row[1])), time.monotonic())
        kind = None if self._below is None or lag < self._below else BEHIND
        return Found(kind, nanoseconds(lag))


def _number(wire: Wire, query: str) -> int:
    row = wire.connection.execute(query.encode()).fetchone()
    return int(str(row[0])) if row else 0


def _both(stack: Stack, name: str) -> tuple[Database, Database]:
    """Return the primary that a replica follows, and the replica. InputError where the stack has no such."""
    databases = {each.name: each for each in stack.spec.databases}
    replica = databases.get(name)
    primary = databases.get(replica.of or "") if replica else None
    if replica is None or primary is None:
        raise InputError(
            f"the stack has no replica {name}", "name one under `databases:`, with `role: replica` and `of:`"
        )
    return primary, replica
