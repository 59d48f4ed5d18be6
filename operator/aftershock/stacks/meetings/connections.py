"""Connections to the database: a new one for every request, as the service began, or from a small pool.

Every wait ends: opening has a timeout, and a query that gets no answer loses its socket. (Cancelling a psycopg call asks
the server to cancel and waits for it, which helps nobody when the way to the server is what is broken.)
"""

import asyncio
import select
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import psycopg

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
MARGIN = 1.0
"""Seconds after the server's own statement timeout at which the socket is cut."""


class Unavailable(Exception):
    """The database can't be used now; the message is the reason."""


class Connections:
    """`size` 0: no pool. Otherwise at most `size` connections, kept open, handed out in turn.

    `borrow()` is the one way in; after `close()` there is none.
    """

    def __init__(self, dsn: str, size: int, connect_timeout: float, statement_timeout: float) -> None:
        self._dsn = dsn
        self._size = size
        self._connect_timeout = connect_timeout
        self._statement_timeout = statement_timeout
        self._slots = asyncio.Semaphore(size) if size else None
        self._idle: list[Connection] = []
        self._used: set[Connection] = set()
        self._closed = False

    @asynccontextmanager
    async def borrow(self) -> AsyncIterator[Connection]:
        """Lend a connection for one unit of work; what fails in it closes it. Unavailable if there is none."""
        async with self._slot():
            connection = await self._take()
            self._used.add(connection)
            watchdog = asyncio.get_running_loop().call_later(self._statement_timeout + MARGIN, cut, connection)
            fine = False
            try:
                yield connection
                fine = True
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                raise Unavailable(reason(error)) from error
            finally:
                watchdog.cancel()
                self._used.discard(connection)
                await self._give_back(connection, fine)

    async def close(self, grace: float = 0.0) -> None:
        """Lend nothing more and close what is idle; what is still in use after `grace` seconds is cut."""
        self._closed = True
        asyncio.get_running_loop().call_later(grace, self._cut)
        while self._idle:
            await self._idle.pop().close()

    def _cut(self) -> None:
        for connection in self._used:
            cut(connection)

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        if self._slots is None:
            yield
            return
        try:
            async with asyncio.timeout(self._connect_timeout):
                await self._slots.acquire()
        except TimeoutError:
            raise Unavailable(f"all {self._size} connections of the pool are in use") from None
        try:
            yield
        finally:
            self._slots.release()

    async def _take(self) -> Connection:
        if self._closed:
            raise Unavailable("the service is shutting down")
        while self._idle:
            connection = self._idle.pop()
            if not hung_up(connection):
                return connection
            await connection.close()
        return await self._open()

    async def _open(self) -> Connection:
        try:
            async with asyncio.timeout(self._connect_timeout):
                return await psycopg.AsyncConnection.connect(
                    self._dsn,
                    autocommit=True,
                    prepare_threshold=None,
                    application_name="meetings",
                    options=f"-c statement_timeout={self._statement_timeout * 1000:.0f}",
                )
        except TimeoutError:
            raise Unavailable(f"no connection within {self._connect_timeout:g} s") from None
        except psycopg.OperationalError as error:
            raise Unavailable(reason(error)) from error

    async def _give_back(self, connection: Connection, fine: bool) -> None:  # noqa: FBT001
        if self._size and fine and not self._closed and not connection.closed:
            self._idle.append(connection)
        else:
            await connection.close()


def cut(connection: Connection) -> None:
    """Shut the connection's socket down under it: the wait for an answer ends with an error at once."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=socket.dup(connection.fileno())) as wire:
        wire.shutdown(socket.SHUT_RDWR)


def hung_up(connection: Connection) -> bool:
    """Tell whether an idle connection is dead: the server has nothing to say to an idle client but goodbye."""
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def reason(error: psycopg.Error) -> str:
    """Return what the server, or the system, gave as the reason: the last sentence of libpq's long one."""
    return str(error).strip().splitlines()[-1].rpartition("FATAL:  ")[2].strip() if str(error).strip() else "no reason"
