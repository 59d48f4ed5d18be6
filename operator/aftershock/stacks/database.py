"""A stack's database as a pod runs it: `python -m aftershock.stacks.database NAME=VALUE…`, the arguments PostgreSQL's settings.

The first start makes the database, every start becomes its server. Names and passwords come from the environment: DATA
(a folder to be), DATABASE, OWNER, OWNER_PASSWORD, SUPERUSER_PASSWORD, and PORT. It is reached from everywhere, with SCRAM.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from aftershock.errors import AftershockError, InputError
from aftershock.stacks import postgres

PORT = "5432"
_REMOTE = "host all all all scram-sha-256"


def main(arguments: list[str], environment: Mapping[str, str]) -> None:
    """Become the server. InputError where something that it needs was not said."""
    data = Path(_said(environment, "DATA"))
    if not data.exists():
        postgres.create(data, _word(environment, "SUPERUSER_PASSWORD"), _statements(environment))
    _open(data / "pg_hba.conf")
    (data / "postmaster.pid").unlink(missing_ok=True)  # nothing of an earlier pod lives
    settings = dict(argument.split("=", 1) for argument in arguments)
    line = postgres.command(data, int(environment.get("PORT", PORT)), settings, listen="*")
    os.execv(line[0], line)  # noqa: S606  # no shell is wanted


def _statements(environment: Mapping[str, str]) -> str:
    owner, database = _word(environment, "OWNER"), _word(environment, "DATABASE")
    return (
        f"CREATE ROLE \"{owner}\" LOGIN PASSWORD '{_word(environment, 'OWNER_PASSWORD')}';\n\n"
        f'CREATE DATABASE "{database}" OWNER "{owner}";\n\n'
    )


def _open(rules: Path) -> None:
    """Let every address log in, once."""
    text = rules.read_text(encoding="utf-8")
    if _REMOTE not in text.splitlines():
        rules.write_text(f"{text}\n{_REMOTE}\n", encoding="utf-8")


def _word(environment: Mapping[str, str], name: str) -> str:
    """Return what becomes part of a statement: nothing that could end it."""
    said = _said(environment, name)
    if not said.isascii() or not said.replace("_", "").replace("-", "").isalnum():
        raise InputError(f"{name} is not made of letters, digits, `-` and `_`", "choose another")
    return said


def _said(environment: Mapping[str, str], name: str) -> str:
    if not (said := environment.get(name)):
        raise InputError(f"{name} is not set", "the chart era-stack sets it")
    return said


if __name__ == "__main__":
    try:
        main(sys.argv[1:], os.environ)
    except AftershockError as error:
        sys.exit(f"database: {error.problem}; {error.advice}")
