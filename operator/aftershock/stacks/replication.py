"""A streaming replica of PostgreSQL: copied from its primary by pg_basebackup, with a slot that keeps what it needs.

The password of the role that replicates stands in a file beside the replica's data, never on a command line.
"""

import re
import secrets
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aftershock.errors import StackError
from aftershock.stacks import postgres
from aftershock.stacks.account import give, unprivileged
from aftershock.stacks.place import write

PASSWORDS = "pgpass"
"""The file, beside the folder with the replica's data."""


def slot(replica: str) -> str:
    """Return what a replica's slot on its primary is called.

    >>> slot("replica-2")
    'replica_2'
    """
    return replica.replace("-", "_")


@dataclass(frozen=True)
class Source:
    """A primary that runs, with the passwords of the role that replicates and of the superuser."""

    host: str
    port: int
    replicating: str
    superuser: str


def follow(data: Path, replica: str, source: Source, environment: Mapping[str, str]) -> None:
    """Make `data` a replica's, whole or not at all. A slot that an interrupted copy left is cleared first.

    StackError where it can't be done; a folder `new.*` beside `data` is then left.
    """
    passwords = write_passwords(data.parent, source.replicating)
    _drop_slot(source, slot(replica), environment)
    where = f"host={source.host} port={source.port} user={postgres.REPLICATION} dbname={postgres.SUPERUSER}"
    with postgres.scratch(data.parent) as scratch:
        made = scratch / "data"
        postgres.run(
            [postgres.programs() / "pg_basebackup", "-D", made, "-d", f"{where} passfile={passwords}", "--no-password",
             "-C", "-S", slot(replica), "-X", "stream", "-c", "fast", "--no-sync"],
            environment,
        )  # fmt: skip
        standby = made / "standby.signal"
        standby.touch(mode=0o600)
        give(standby, unprivileged())
        made.rename(data)


def double(data: Path, to: Path, environment: Mapping[str, str]) -> None:
    """Make `to` the same cluster as `data`, whole or not at all. No server of it may run, nor have been killed."""
    with postgres.scratch(to.parent) as scratch:
        made = scratch / "data"
        postgres.run(["cp", "-a", data, made], environment)
        made.rename(to)


def following(data: Path, replica: str, host: str, port: int) -> dict[str, str]:
    """Return the settings of a replica's server that follows the primary at `host`:`port`."""
    return {
        "primary_conninfo": f"host={host} port={port} user={postgres.REPLICATION} application_name={replica} "
        f"passfile={data.parent / PASSWORDS}",
        "primary_slot_name": slot(replica),
    }


def write_passwords(folder: Path, password: str) -> Path:
    """Write down how the replica logs in at its primary, for its own account alone."""
    path = folder / PASSWORDS
    write(path, f"*:*:*:{postgres.REPLICATION}:{password}\n")  # never through what the account has put there
    give(path, unprivileged())
    return path


@contextmanager
def awake(data: Path, settings: Mapping[str, str], log: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Run the server of a cluster for a while, behind a socket that is no file; yields that as a host.

    It takes no port: nobody but this machine's PostgreSQL clients can reach it, and none by chance. `settings` are those that
    it will have: a replica has to have room for as much as its primary says it has.
    """
    host = f"@aftershock-{secrets.token_hex(8)}"
    fixed = {"listen_addresses": "", "unix_socket_directories": host, "dynamic_shared_memory_type": "mmap"}
    options = shlex.join(f"--{name}={value}" for name, value in {**settings, **fixed}.items())
    control = postgres.programs() / "pg_ctl"
    log.touch(mode=0o600)
    give(log, unprivileged())
    postgres.run([control, "start", "-w", "-s", "-D", data, "-l", log, "-o", options], environment)
    try:
        yield host
    finally:
        postgres.run([control, "stop", "-w", "-s", "-D", data, "-m", "fast"], environment)


def identity(data: Path) -> str:
    """Return the number that tells a cluster and its copies from all others. StackError where it can't be read."""
    said = postgres.run([postgres.programs() / "pg_controldata", "-D", data], {})
    found = re.search(r"^Database system identifier:\s+(\d+)$", said, re.MULTILINE)
    if found is None:
        raise StackError(f"{data} says of no cluster which it is", "remove it: it is made anew")
    return found[1]


def identity_of(source: Source) -> str:
    """Return the same of a server that runs. StackError where it doesn't answer."""
    return _asked(source, "SELECT system_identifier FROM pg_control_system()", {})


def _drop_slot(source: Source, name: str, environment: Mapping[str, str]) -> None:
    query = (  # the name is of our own making: a-z, 0-9 and _
        f"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{name}' AND NOT active"  # noqa: S608
    )
    _asked(source, query, environment)


def _asked(source: Source, query: str, environment: Mapping[str, str]) -> str:
    """Ask a primary as its superuser, and return what it says."""
    where = f"host={source.host} port={source.port} user={postgres.SUPERUSER} dbname={postgres.SUPERUSER}"
    line: list[str | Path] = [postgres.programs() / "psql", "-X", "-q", "-w", "-A", "-t", "-d", where, "-c", query]
    return postgres.run(line, {**environment, "PGPASSWORD": source.superuser}).strip()
