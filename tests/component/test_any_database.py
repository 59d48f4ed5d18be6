"""docs/how-to/any-database.md, word for word: a PostgreSQL with tables that pgbench has made, and no Toxiproxy."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import shown
from aftershock.stacks import postgres as pg
from component.conftest import Postgres, until
from own_home import own_home

PAGE = shown.ROOT / "docs" / "how-to" / "any-database.md"
OURS = b"""
SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'aftershock%'
UNION ALL SELECT locktype FROM pg_locks JOIN pg_database AS d ON d.oid = database WHERE datname = 'bank'
"""


@pytest.fixture
def superuser(postgres: Postgres) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    """The superuser of a server with the database `bank`, which belongs to the application's role."""
    with psycopg.connect(postgres.superuser, autocommit=True) as connection:
        connection.execute("CREATE DATABASE bank OWNER app")
        try:
            yield connection
        finally:
            connection.execute("DROP DATABASE bank WITH (FORCE)")


@pytest.fixture
def place(postgres: Postgres) -> Iterator[dict[str, str]]:
    with own_home():
        yield {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{pg.programs()}:{os.environ['PATH']}",
            "PYTHONPATH": str(shown.ROOT / "operator"),
            "BANK_DSN": pg.dsn(postgres.port, "app", "appword", "bank"),
        }


def test_what_the_page_says_is_so(
    superuser: "psycopg.Connection[tuple[object, ...]]", place: dict[str, str], tmp_path: Path
) -> None:
    files = shown.files(PAGE)
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert len(files["bank.yaml"].splitlines()) == 10
    said = {
        line: shown.type_line(line, tmp_path, place) for line in shown.typed(PAGE) if not line.startswith("export ")
    }

    assert "note:" not in said["aftershock plan branch-locked.yaml --stack bank.yaml"]
    locked = said["aftershock run branch-locked.yaml --stack bank.yaml"]
    assert "✔ Passed: branch-locked on bank\n  All 5 claims are true; uptime came closest" in locked, locked
    assert "fault there, says a canary, and pg_locks" in locked, locked
    waited = until_said(tmp_path / "pgbench.log", "number of transactions actually processed")
    assert " 0.0 tps" in waited, waited
    assert "number of failed transactions: 0 " in waited, waited

    no_slots = said["aftershock run no-slots.yaml --stack bank.yaml"]
    assert "✔ Passed: no-slots on bank" in no_slots, no_slots
    assert "a new login as app: refused" in no_slots, no_slots
    until_said(tmp_path / "refused.log", "aborted while establishing connection")

    refused = said["aftershock plan far-bank.yaml --stack bank.yaml # exits 4"]
    assert f"```\n{refused}```\n" in PAGE.read_text(encoding="utf-8"), refused

    assert "nothing to heal" in shown.type_line("aftershock reap --stack bank.yaml", tmp_path, place)
    until(lambda: superuser.execute(OURS).fetchall() == [])


def until_said(log: Path, words: str) -> str:
    """Wait until somebody has written these words; return all that is there."""
    until(lambda: words in log.read_text(encoding="utf-8"), 60)
    return log.read_text(encoding="utf-8")
