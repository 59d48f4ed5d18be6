"""A stack's database as a pod runs it: `python -m aftershock.stacks.database NAME=VALUE…`, the arguments PostgreSQL's settings.

The first start makes the database, every start becomes its server. Names and passwords come from the environment: DATA
(a folder to be), DATABASE, OWNER, OWNER_PASSWORD, SUPERUSER_PASSWORD, and PORT. It is reached from everywhere, with SCRAM.

With REPLICATION_PASSWORD others may follow it; with MERGES, the name of another region's database, its owner may have it take
over what is written there. With REPLICA, which is its own name, it is copied from the server at PRIMARY, and then gets what
changes there through the link THROUGH (both `host` or `host:port`). One whose primary is another one than it was copied from is
copied anew.
"""

import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from aftershock.errors import AftershockError, InputError, StackError
from aftershock.stacks import postgres, replication

PORT = "5432"
PATIENCE = 100.0
"""Seconds that a replica waits for its primary before it gives up, and its pod is started again."""

_REMOTE = "host all all all scram-sha-256"
_REPLICAS = f"host replication {postgres.REPLICATION} all scram-sha-256"


def main(arguments: list[str], environment: Mapping[str, str]) -> None:
    """Become the server. InputError where something that it needs was not said."""
    data = Path(said(environment, "DATA"))
    settings = dict(argument.split("=", 1) for argument in arguments)
    if environment.get("REPLICA"):
        settings |= _follow(data, environment)
    elif not data.exists():
        postgres.create(data, word(environment, "SUPERUSER_PASSWORD"), statements(environment))
    open_to_all(data / "pg_hba.conf", environment)
    (data / "postmaster.pid").unlink(missing_ok=True)  # nothing of an earlier pod lives
    line = postgres.command(data, int(environment.get("PORT", PORT)), settings, listen="*")
    os.execv(line[0], line)  # noqa: S606  # no shell is wanted


def _follow(data: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Make it a copy of its primary if it is none; return the settings by which it follows that. StackError if it can't."""
    replica, passwords = said(environment, "REPLICA"), ("REPLICATION_PASSWORD", "SUPERUSER_PASSWORD")
    source = replication.Source(*address(environment, "PRIMARY"), *(word(environment, name) for name in passwords))
    end = time.monotonic() + PATIENCE
    while True:
        try:
            if data.exists() and replication.identity(data) != replication.identity_of(source):
                shutil.rmtree(data)
            if not data.exists():
                replication.follow(data, replica, source, {})
            break
        except StackError:
            if time.monotonic() > end:
                raise
            time.sleep(1.0)  # the primary's pod may be on its way
    replication.write_passwords(data.parent, source.replicating)
    return replication.following(data, replica, *address(environment, "THROUGH"))


def statements(environment: Mapping[str, str]) -> str:
    """Return what makes the application's role and database, and the role by which others follow it."""
    owner, database = word(environment, "OWNER"), word(environment, "DATABASE")
    lines = [f"CREATE ROLE \"{owner}\" LOGIN PASSWORD '{word(environment, 'OWNER_PASSWORD')}'"]
    if environment.get("REPLICATION_PASSWORD"):
        password = word(environment, "REPLICATION_PASSWORD")
        lines.append(f"CREATE ROLE {postgres.REPLICATION} LOGIN REPLICATION PASSWORD '{password}'")
    if environment.get("MERGES"):
        lines.append(f'GRANT pg_create_subscription TO "{owner}"')
    return "".join(f"{line};\n\n" for line in [*lines, f'CREATE DATABASE "{database}" OWNER "{owner}"'])


def open_to_all(rules: Path, environment: Mapping[str, str]) -> None:
    """Let every address log in, and where somebody may follow it, follow."""
    wanted = [_REMOTE, *([_REPLICAS] if environment.get("REPLICATION_PASSWORD") else [])]
    text = rules.read_text(encoding="utf-8")
    if missing := [line for line in wanted if line not in text.splitlines()]:
        rules.write_text("\n".join([text, *missing, ""]), encoding="utf-8")


def address(environment: Mapping[str, str], name: str) -> tuple[str, int]:
    """Return a `host` or `host:port` that was said."""
    host, _, port = said(environment, name).partition(":")
    return host, int(port or PORT)


def word(environment: Mapping[str, str], name: str) -> str:
    """Return what becomes part of a statement: nothing that could end it."""
    found = said(environment, name)
    if not found.isascii() or not found.replace("_", "").replace("-", "").isalnum():
        raise InputError(f"{name} is not made of letters, digits, `-` and `_`", "choose another")
    return found


def said(environment: Mapping[str, str], name: str) -> str:
    """Return what was said; InputError where it wasn't."""
    if not (found := environment.get(name)):
        raise InputError(f"{name} is not set", "the chart era-stack sets it")
    return found


if __name__ == "__main__":
    try:
        main(sys.argv[1:], os.environ)
    except AftershockError as error:
        sys.exit(f"database: {error.problem}; {error.advice}")
