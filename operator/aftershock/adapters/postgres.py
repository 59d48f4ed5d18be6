"""PostgreSQL, through psycopg: sessions that bear a name, the server's clock, and who is connected.

Every call has a deadline. A refusal becomes a TargetError that says what to do; the DSN's password is never in it. Sessions
are in autocommit, so that one that does nothing is idle, and never idle in a transaction.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, LiteralString, TypeAlias

import msgspec

from aftershock.adapters.lazily import lazily
from aftershock.errors import TargetError

if TYPE_CHECKING:
    import psycopg
    import psycopg.conninfo
    import psycopg.sql
else:
    psycopg = lazily("psycopg")

DEADLINE = 4.0
"""Seconds for a login, or for a query."""

OLDEST = 140000
"""The first version whose server ends idle sessions by itself (`idle_session_timeout`)."""

OBSERVER = "aftershock-observer"
Session: TypeAlias = "psycopg.AsyncConnection[tuple[Any, ...]]"


class SlotsTakenError(TargetError):
    """Every connection slot that the role may use is taken (SQLSTATE 53300)."""


class Activity(msgspec.Struct, frozen=True):
    """One client session, as the server sees it."""

    pid: int
    name: str
    role: str


class Login(msgspec.Struct, frozen=True):
    """How to log in to one database of the stack: `database` is its name there, `dsn` the secret."""

    database: str
    dsn: str
    role: str | None = None

    @property
    def user(self) -> str:
        """The role that logs in."""
        return self.role or str(_parameters(self).get("user") or "")


async def connect(login: Login, name: str, settings: Mapping[str, str] | None = None) -> Session:
    """Open a session with `name` as its application_name and `settings` as its options."""
    parameters = _parameters(login)
    options = [parameters.get("options"), *(f"-c {key}={value}" for key, value in (settings or {}).items())]
    parameters |= {"application_name": name, "options": " ".join(str(each) for each in options if each)}
    if login.role:
        parameters["user"] = login.role
    try:
        async with asyncio.timeout(DEADLINE):
            return await psycopg.AsyncConnection.connect(psycopg.conninfo.make_conninfo(**parameters), autocommit=True)
    except TimeoutError:
        raise _refusal(login, f"no login within {DEADLINE:g} s", parameters) from None
    except psycopg.Error as error:
        raise _refusal(login, str(error), parameters) from None


@asynccontextmanager
async def session(login: Login, name: str) -> AsyncIterator[Session]:
    """Open a session for a while."""
    opened = await connect(login, name)
    try:
        yield opened
    finally:
        await close(opened)


async def close(opened: Session) -> None:
    """End the session. Never raises."""
    with suppress(psycopg.Error, OSError):
        await opened.close()


async def query(opened: Session, sql: LiteralString, *values: object) -> list[tuple[Any, ...]]:
    """Return the rows."""
    try:
        async with asyncio.timeout(DEADLINE):
            return await (await opened.execute(sql, values or None)).fetchall()
    except TimeoutError:
        raise TargetError(
            f"the database did not answer within {DEADLINE:g} s", "see whether it is overloaded"
        ) from None
    except psycopg.Error as error:
        raise TargetError(f"the database refused a query: {_first(str(error))}", "see the server's log") from error


async def now(opened: Session) -> float:
    """Return the server's clock, seconds since the epoch."""
    ((told,),) = await query(opened, "SELECT extract(epoch FROM clock_timestamp())::float8")
    return float(told)


async def verify(opened: Session, login: Login, timeout_ms: int | None = None) -> None:
    """Refuse a server that is too old, and whatever stands between it and us: a pooler lends us other people's sessions.

    `timeout_ms`: the `idle_session_timeout` that the session was opened with; no multiple of 1000.
    """
    if opened.info.server_version < OLDEST:
        raise TargetError(
            f"the database {login.database} is PostgreSQL {opened.info.server_version // 10000}, which can't end idle"
            " sessions by itself",
            "faults need PostgreSQL 14 or later",
        )
    ((pid, timeout),) = await query(opened, "SELECT pg_backend_pid(), current_setting('idle_session_timeout')")
    if pid != opened.info.backend_pid or (timeout_ms is not None and timeout != f"{timeout_ms}ms"):
        raise _pooler(login, "the session's process id or settings read back are not the ones that it was opened with")


async def activity(opened: Session) -> list[Activity]:
    """Return all client sessions that the session's role may see; what it may not see has no name."""
    rows = await query(
        opened,
        "SELECT pid, coalesce(application_name, ''), coalesce(usename, '') FROM pg_stat_activity"
        " WHERE backend_type = 'client backend'",
    )
    return [Activity(*row) for row in rows]


async def room(opened: Session, role: str) -> int:
    """Return how many more sessions `role` could have now, at the most: what is kept for superusers is no room for others."""
    ((free,),) = await query(
        opened,
        "SELECT current_setting('max_connections')::int"
        " - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::int"
        " - CASE WHEN (SELECT rolsuper FROM pg_roles WHERE rolname = %s) THEN 0"
        " ELSE current_setting('superuser_reserved_connections')::int END",
        role,
    )
    return int(free)


async def superusers(opened: Session) -> set[str]:
    """Return the roles that `superuser_reserved_connections` are kept for."""
    return {str(name) for (name,) in await query(opened, "SELECT rolname FROM pg_roles WHERE rolsuper")}


async def sees(opened: Session, role: str) -> bool:
    """Tell whether the session's role may see what sessions of `role` are called."""
    rows = await query(
        opened,
        "SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') OR pg_has_role(current_user, oid, 'USAGE')"
        " FROM pg_roles WHERE rolname = %s",
        role,
    )
    return bool(rows and rows[0][0])


async def terminate(opened: Session, pids: Iterable[int]) -> None:
    """End those sessions."""
    await query(opened, "SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", list(pids))


async def resume_replay(opened: Session) -> None:
    """Have a replica go on with what its primary has written; on a server that is no replica nothing happens."""
    await query(opened, "SELECT pg_wal_replay_resume() WHERE pg_is_in_recovery()")


async def replay_state(opened: Session) -> str:
    """Return whether a replica's replay is `not paused`, `pause requested` or `paused`."""
    ((state,),) = await query(opened, "SELECT pg_get_wal_replay_pause_state()")
    return str(state)


LOCK_NOT_AVAILABLE, QUERY_CANCELED, DISK_FULL = "55P03", "57014", "53100"


async def perform(
    opened: Session, statement: LiteralString, table: Sequence[str] = (), number: int | None = None
) -> None:
    """Carry out a statement. `{}` in it is the table, by its schema and name, or a tablespace; a second one is the number.

    TargetError where it fails.
    """
    try:
        async with asyncio.timeout(DEADLINE):
            await opened.execute(_about(statement, table, number))
    except TimeoutError:
        raise TargetError(
            f"the database did not answer within {DEADLINE:g} s", "see whether it is overloaded"
        ) from None
    except psycopg.Error as error:
        raise TargetError(f"the database refused a statement: {_first(str(error))}", "see the server's log") from error


async def turned_away(
    opened: Session, statement: LiteralString, table: Sequence[str], number: int | None = None
) -> bool:
    """Tell whether a statement is refused since somebody else has a lock. TargetError where it fails in another way."""
    try:
        await perform(opened, statement, table, number)
    except TargetError as error:
        if sqlstate(error) == LOCK_NOT_AVAILABLE:
            return True
        raise
    return False


def sqlstate(error: TargetError) -> str | None:
    """Return the server's code for what it refused, None where it was not the server that did."""
    cause = error.__cause__
    return cause.sqlstate if isinstance(cause, psycopg.Error) else None


async def work(opened: Session, most: float) -> float:
    """Have the server do a fixed piece of work for its processor; return the seconds that it took, by its own clock.

    `most`: the session's `statement_timeout`, in seconds, returned where the work was not done by then.
    """
    try:
        ((took,),) = await query(
            opened,
            "SELECT extract(epoch FROM clock_timestamp() - began)::float8 FROM"
            " (SELECT began, count(md5(n::text)) AS done FROM (SELECT clock_timestamp() AS began OFFSET 0) AS start,"
            " generate_series(1, 50000) AS n GROUP BY began) AS worked WHERE done > 0",
        )
    except TargetError as error:
        if sqlstate(error) == QUERY_CANCELED:
            return most
        raise
    return float(took)


async def has_room(opened: Session, tablespace: str) -> bool:
    """Tell whether a row of 16 kB finds room in a tablespace. TargetError where it fails in another way."""
    await perform(opened, "BEGIN")
    try:
        await perform(opened, "CREATE TEMP TABLE aftershock_canary (text text) TABLESPACE {}", (tablespace,))
        await perform(
            opened,
            "INSERT INTO pg_temp.aftershock_canary SELECT string_agg(md5(n::text), '') FROM generate_series(1, 500) AS n",
        )
    except TargetError as error:
        if sqlstate(error) == DISK_FULL:
            return False
        raise
    finally:
        await perform(opened, "ROLLBACK")
    return True


async def may_fill(opened: Session, tablespace: str) -> bool:
    """Tell whether the session may have a table of its own in a tablespace for a while."""
    ((may,),) = await query(
        opened,
        "SELECT has_tablespace_privilege(%s, 'CREATE') AND has_database_privilege(current_database(), 'TEMP')",
        tablespace,
    )
    return bool(may)


async def tablespaces(opened: Session) -> dict[str, str]:
    """Return the tablespaces that somebody has made, by name: each one's folder on the server."""
    rows = await query(
        opened,
        "SELECT spcname, pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname !~ '^pg_' ORDER BY spcname",
    )
    return {str(name): str(folder) for name, folder in rows}


async def data_folder(opened: Session) -> str | None:
    """Return the server's folder with its data and its log; None where the session's role may not know."""
    rows = await query(opened, "SELECT setting FROM pg_settings WHERE name = 'data_directory'")
    return str(rows[0][0]) if rows else None


def here(login: Login) -> bool:
    """Tell whether the server is on this machine, by its address."""
    host = str(_parameters(login).get("host") or "")
    return host.startswith("/") or host in {"", "localhost", "127.0.0.1", "::1"}


async def count(opened: Session, table: Sequence[str], most: int) -> int:
    """Return how many rows a table has, if there are not more than `most`."""
    statement: LiteralString = "SELECT count(*) FROM (SELECT 1 FROM {} LIMIT {}) AS first_ones"
    try:
        row = await (await opened.execute(_about(statement, table, most))).fetchone()
    except psycopg.Error as error:
        raise TargetError(f"the database refused a query: {_first(str(error))}", "see the server's log") from None
    return int(row[0]) if row else 0


def _about(
    statement: LiteralString, table: Sequence[str], number: int | None
) -> "psycopg.sql.SQL | psycopg.sql.Composed":
    sql = psycopg.sql.SQL(statement)
    if not table:
        return sql
    named = psycopg.sql.Identifier(*table)
    return sql.format(named) if number is None else sql.format(named, psycopg.sql.Literal(number))


async def execute(opened: Session, statement: str) -> None:
    """Carry out one statement that takes as long as it takes, and has no rows. TargetError where the server ends it."""
    try:
        await opened.execute(statement.encode())
    except psycopg.Error as error:
        raise TargetError(f"the database ended a statement: {_first(str(error))}", "see the server's log") from error


def _parameters(login: Login) -> dict[str, Any]:
    try:
        return dict(psycopg.conninfo.conninfo_to_dict(login.dsn))
    except psycopg.Error:
        raise TargetError(
            f"the DSN of the database {login.database} can't be read",
            "write it like `host=… port=… user=… password=… dbname=…`, or postgresql://user:password@host:port/dbname",
        ) from None


def _refusal(login: Login, said: str, parameters: Mapping[str, Any]) -> TargetError:
    """Say why a login failed. libpq tells no SQLSTATE for it, so the (English) words have to do."""
    where = f"the database {login.database} at {parameters.get('host', 'localhost')}:{parameters.get('port', 5432)}"
    said = _first(said)
    if secret := parameters.get("password"):
        said = said.replace(str(secret), "…")
    if any(words in said for words in ("too many clients", "too many connections", "connection slots are reserved")):
        return SlotsTakenError(f"{where} has no slot left: {said}", "wait, or name an `observer:` with reserved slots")
    if "unsupported startup parameter" in said:
        return _pooler(login, said)
    if any(words in said for words in ("authentication failed", "no password supplied", "no pg_hba.conf entry")):
        lent = "; `role:` logs in with the DSN's password" if login.role else ""
        return TargetError(f"{where} refuses the login: {said}", f"correct user and password in the DSN{lent}")
    if "does not exist" in said:
        return TargetError(f"{where} refuses the login: {said}", "correct the DSN")
    return TargetError(f"{where} can't be reached: {said}", "see whether it runs, and compare host and port in the DSN")


def _pooler(login: Login, said: str) -> TargetError:
    return TargetError(
        f"a pooler seems to stand before the database {login.database}: {said}",
        "give the Stack the DSN of PostgreSQL itself, not of the pooler",
    )


def _first(said: str) -> str:
    """Return what matters of libpq's several lines."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return (
        lines[0].removeprefix("connection failed: ").rpartition("FATAL: ")[2].strip() if lines else "it doesn't say why"
    )
