"""SQL queries as an indicator. psycopg blocks, so queries run in threads; the loop only hands out and takes in.

A query that hangs is counted as `timeout` when its time is over, whatever its thread does; its connection is cut, so that
the thread comes back. There are at most `SESSIONS` threads with a connection each: when all of them are busy, a query is
unsent. As with HTTP, a query is repeated once when its *reused* connection turns out to be dead.
"""

import os
import socket
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from math import ceil
from pathlib import Path
from queue import SimpleQueue

import psycopg
from psycopg import conninfo

from aftershock.adapters import secrets
from aftershock.errors import InputError
from aftershock.model.stack import Database, SqlProbe
from aftershock.probes.http import Means
from aftershock.probes.loop import READ
from aftershock.probes.pulse import Pulse, Request
from aftershock.probes.slices import UNSENT

SESSIONS = 32
SPARE = 10.0
"""Seconds after which a connection that wasn't needed is closed: slots are what is scarce when it matters."""

_SWITCH = 0.0005
"""Seconds after which a thread gives way to the loop, which has a schedule to keep."""

_AFTER = 100
"""Milliseconds after its timeout that the server ends a query by itself: a backend that sleeps doesn't see its client go,
and its slot would be missing where slots are what is measured."""

_REFUSALS = (
    ("too many clients", "sql-53300"),
    ("remaining connection slots", "sql-53300"),
    ("too many connections", "sql-53300"),
    ("starting up", "sql-57P03"),
    ("shutting down", "sql-57P03"),
    ("in recovery mode", "sql-57P03"),
    ("authentication failed", "sql-28P01"),
    ("Connection refused", "refused"),
    ("timeout expired", "timeout"),
    ("Connection reset", "reset"),
    ("closed the connection", "reset"),
    ("could not translate host name", "dns"),
    ("failed to resolve host", "dns"),
)
"""What libpq says when it can't connect; it doesn't tell the SQLSTATE there."""


def failure(error: psycopg.Error) -> str:
    """Return the kind of failure that an error is."""
    if error.sqlstate:
        return f"sql-{error.sqlstate}"
    text = str(error)
    return next((kind for words, kind in _REFUSALS if words in text), "error")


class Session:
    """A thread with a connection. The loop gives it one request at a time; `done` gets what became of each."""

    def __init__(self, sql: "Sql") -> None:
        self.used = 0.0
        self._sql = sql
        self._jobs: SimpleQueue[Request | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None
        self._carries: Request | None = None
        threading.Thread(target=self._work, daemon=True).start()

    def carry(self, request: Request) -> None:
        """Run the query for `request`."""
        self._carries = request
        self._jobs.put(request)

    def retire(self) -> None:
        """End, after what was given before."""
        self._jobs.put(None)

    def cut(self, request: Request) -> None:
        """Break the connection under a query that hangs, if it still does."""
        with self._lock, suppress(OSError, psycopg.Error):
            if self._carries is request and self._connection is not None:
                with socket.socket(fileno=os.dup(self._connection.pgconn.socket)) as sock:
                    sock.shutdown(socket.SHUT_RDWR)

    def _work(self) -> None:
        while (request := self._jobs.get()) is not None:
            kind = self._outcome()
            with self._lock:
                self._carries = None
            self._sql.done(self, request, kind)
        self._hang_up()

    def _outcome(self) -> str | None:
        """Run the query, a second time where a reused connection was dead."""
        reused = self._connection is not None
        kind = self._attempt()
        return self._attempt() if reused and kind is not None and self._connection is None else kind

    def _attempt(self) -> str | None:
        try:
            if self._connection is None:
                connection = self._sql.connect()
                with self._lock:
                    self._connection = connection
            return self._sql.ask(self._connection)
        except psycopg.Error as error:
            if self._connection is not None and self._connection.broken:
                self._hang_up()
            kind = failure(error)
            if kind == "error":
                self._sql.explain(str(error))
            return kind
        except (
            ValueError,
            OverflowError,
            OSError,
        ) as error:  # a value that Python can't hold; a thread must outlive it
            self._sql.explain(repr(error))
            return "error"

    def _hang_up(self) -> None:
        with self._lock, suppress(psycopg.Error):
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()


class Sql:
    """Runs one query as `SqlProbe` says. Good: it answers, and its first value is what was expected."""

    def __init__(self, pulse: Pulse, wanted: SqlProbe, means: Means, *, database: Database, timeout: float) -> None:
        self._pulse = pulse
        self._note = means.note
        self._query = wanted.query.encode("utf-8")
        self._expect = wanted.expect
        self._dsn = _dsn(database, means.folder, timeout)
        self._idle: list[Session] = []
        self._count = 0
        self._results: deque[tuple[Session, Request, str | None]] = deque()
        self._said: deque[str] = deque()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK)
        means.loop.watch(self._bell, READ, self._take)
        sys.setswitchinterval(_SWITCH)

    def send(self, request: Request) -> None:
        """Hand the query to a session; never block."""
        self._retire_spare()
        if self._idle:
            session = self._idle.pop()
        elif self._count < SESSIONS:
            session = Session(self)
            self._count += 1
        else:
            self._pulse.settle(request, UNSENT)
            return
        request.line = session
        session.carry(request)

    def abandon(self, request: Request) -> None:
        """Let go: the request's time is over."""
        request.line.cut(request)

    def _retire_spare(self) -> None:
        """End the session that has been idle for longest, if that is long."""
        if len(self._idle) > 1 and time.monotonic() - self._idle[0].used > SPARE:
            self._idle.pop(0).retire()
            self._count -= 1

    def _take(self, _mask: int) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._bell)
        while self._said:
            self._note(self._said.popleft())
        while self._results:
            session, request, kind = self._results.popleft()
            session.used = time.monotonic()
            self._idle.append(session)
            self._pulse.settle(request, kind)

    # What sessions call, from their threads.

    def connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        """Open a connection; psycopg.Error where that fails."""
        return psycopg.connect(self._dsn, autocommit=True)

    def ask(self, connection: "psycopg.Connection[tuple[object, ...]]") -> str | None:
        """Run the query; return the kind of failure, None when it is good."""
        cursor = connection.execute(self._query)
        if self._expect is None:
            return None
        row = cursor.fetchone() if cursor.description else None
        return None if row and str(row[0]) == self._expect else "body"

    def explain(self, text: str) -> None:
        """Put on record what no kind of failure tells."""
        self._said.append(f"a query failed: {text.partition(chr(10))[0]}")

    def done(self, session: Session, request: Request, kind: str | None) -> None:
        """Hand back what became of a request."""
        self._results.append((session, request, kind))
        os.eventfd_write(self._bell, 1)


def _dsn(database: Database, folder: Path, timeout: float) -> str:
    """Return the connection string with limits; what it holds is never shown, not even when it is wrong."""
    text = secrets.read(database.dsn, folder)
    try:
        fields = conninfo.conninfo_to_dict(text)
    except psycopg.Error:
        raise InputError(
            f"the DSN of the database {database.name} can't be read", "write it like postgresql://user@host:5432/name"
        ) from None
    limits = {"connect_timeout": str(max(2, ceil(timeout))), "application_name": "aftershock-probe"}
    given = {key: str(value) for key, value in fields.items()}
    given["options"] = f"{given.get('options', '')} -c statement_timeout={ceil(timeout * 1000) + _AFTER}".strip()
    return conninfo.make_conninfo("", **{**limits, **given})
