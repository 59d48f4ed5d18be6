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
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol

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


@dataclass(frozen=True)
class Found:
    """What a query came to: `kind` is None when it was good; `took` its latency in nanoseconds, where it measured one."""

    kind: str | None
    took: int | None = None


class Line(Protocol):
    """What a session asks through: a connection, or several that belong together."""

    @property
    def broken(self) -> bool:
        """Tell whether it is of no more use."""

    def cut(self) -> None:
        """Break it under whoever waits for it; from another thread."""

    def close(self) -> None:
        """Close it."""


class Wire:
    """One connection."""

    def __init__(self, connection: "psycopg.Connection[tuple[object, ...]]") -> None:
        self.connection = connection

    @property
    def broken(self) -> bool:
        """Tell whether it is of no more use."""
        return self.connection.broken

    def cut(self) -> None:
        """Shut its socket down: whoever waits for an answer has an error at once."""
        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(self.connection.pgconn.socket)) as sock:
            sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it."""
        with suppress(psycopg.Error):
            self.connection.close()


class Desk(Protocol):
    """What sessions work for. All but `done` may take as long as they do: sessions are threads of their own."""

    def connect(self) -> Any:
        """Open a Line; psycopg.Error where that fails."""

    def ask(self, line: Any) -> Found:
        """Run what is to be run; psycopg.Error where that fails."""

    def explain(self, text: str) -> None:
        """Put on record what no kind of failure tells."""

    def done(self, session: "Session", request: Request, found: Found) -> None:
        """Take what became of a request."""


class Session:
    """A thread with a line. The loop gives it one request at a time; `done` gets what became of each."""

    def __init__(self, desk: Desk) -> None:
        self.used = 0.0
        self._desk = desk
        self._jobs: SimpleQueue[Request | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._line: Line | None = None
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
        """Break the line under a query that hangs, if it still does."""
        with self._lock:
            if self._carries is request and self._line is not None:
                self._line.cut()

    def _work(self) -> None:
        while (request := self._jobs.get()) is not None:
            found = self._outcome()
            with self._lock:
                self._carries = None
            self._desk.done(self, request, found)
        self._hang_up()

    def _outcome(self) -> Found:
        """Run the query, a second time where a reused connection was dead."""
        reused = self._line is not None
        found = self._attempt()
        return self._attempt() if reused and found.kind is not None and self._line is None else found

    def _attempt(self) -> Found:
        try:
            if self._line is None:
                line = self._desk.connect()
                with self._lock:
                    self._line = line
            return self._desk.ask(self._line)
        except psycopg.Error as error:
            if self._line is not None and self._line.broken:
                self._hang_up()
            kind = failure(error)
            if kind == "error":
                self._desk.explain(str(error))
            return Found(kind)
        except (
            ValueError,
            OverflowError,
            OSError,
        ) as error:  # a value that Python can't hold; a thread must outlive it
            self._desk.explain(repr(error))
            return Found("error")

    def _hang_up(self) -> None:
        with self._lock:
            line, self._line = self._line, None
            if line is not None:
                line.close()


class Sessions:
    """The sessions of one indicator, at most SESSIONS: hands queries out, takes in what became of them."""

    def __init__(self, pulse: Pulse, means: Means, desk: Desk) -> None:
        self._pulse, self._note, self._desk = pulse, means.note, desk
        self._idle: list[Session] = []
        self._count = 0
        self._results: deque[tuple[Session, Request, Found]] = deque()
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
            session = Session(self._desk)
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
            session, request, found = self._results.popleft()
            session.used = time.monotonic()
            self._idle.append(session)
            self._pulse.settle(request, found.kind, found.took)

    # What sessions call, from their threads.

    def explain(self, text: str) -> None:
        """Put on record what no kind of failure tells."""
        self._said.append(f"a query failed: {text.partition(chr(10))[0]}")

    def done(self, session: Session, request: Request, found: Found) -> None:
        """Hand back what became of a request."""
        self._results.append((session, request, found))
        os.eventfd_write(self._bell, 1)


class Sql:
    """Runs one query as `SqlProbe` says. Good: it answers, and its first value is what was expected."""

    def __init__(self, pulse: Pulse, wanted: SqlProbe, means: Means, *, database: Database, timeout: float) -> None:
        self._query = wanted.query.encode("utf-8")
        self._expect = wanted.expect
        self._dsn = limited(database, means.folder, timeout)
        sessions = Sessions(pulse, means, self)
        self.send, self.abandon = sessions.send, sessions.abandon
        self.explain, self.done = sessions.explain, sessions.done

    def connect(self) -> Wire:
        """Open a connection; psycopg.Error where that fails."""
        return Wire(psycopg.connect(self._dsn, autocommit=True))

    def ask(self, line: Wire) -> Found:
        """Run the query."""
        cursor = line.connection.execute(self._query)
        if self._expect is None:
            return Found(None)
        row = cursor.fetchone() if cursor.description else None
        return Found(None if row and str(row[0]) == self._expect else "body")


def limited(database: Database, folder: Path, timeout: float) -> str:
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
