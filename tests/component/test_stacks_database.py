"""The databases of a stack as pods run them, with real servers: a primary, and a replica that follows it."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from aftershock.errors import StackError
from aftershock.stacks import database, postgres
from aftershock.stacks.account import give, switch, unprivileged
from component.conftest import free_port, until
from own_home import own_home

WORDS = {"OWNER_PASSWORD": "one", "SUPERUSER_PASSWORD": "two", "REPLICATION_PASSWORD": "three"}
SETTINGS = ["max_connections=20", "io_method=sync", "shared_buffers=16MB"]


@dataclass
class Pods:
    """Starts databases as pods do: `python -m aftershock.stacks.database` prepares a server, and becomes it."""

    folder: Path
    ending: ExitStack
    going: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    def start(self, name: str, **environment: str) -> None:
        """Start one, and wait until it answers."""
        room = self.folder / name
        if not room.exists():
            room.mkdir(parents=True)
            give(room, unprivileged())
        self.ports.setdefault(name, free_port())
        told = {**WORDS, "DATA": str(room / "cluster"), "PORT": str(self.ports[name]), **environment}
        self.going[name] = self._become(name, told)
        self.ending.callback(self.stop, name)
        until(lambda: self.asked(name, "SELECT 1") == [(1,)])

    def _become(self, name: str, told: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        """As root, a process of ours can't become a server: another one is, as the servers' account."""
        lines: list[list[str]] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "execv", lambda _program, line: lines.append(line))
            database.main(SETTINGS, told)
        (line,) = lines
        how: dict[str, object] = switch(unprivileged())
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(line, stdout=log, stderr=log, cwd="/", **how)  # type: ignore[call-overload,no-any-return]

    def stop(self, name: str) -> None:
        """End it as its pod would."""
        if (process := self.going.pop(name, None)) is not None:
            process.send_signal(signal.SIGINT)
            process.wait(30)

    def asked(self, name: str, query: str) -> list[tuple[object, ...]]:
        """Ask it as its superuser; nothing where it does not answer."""
        login = postgres.dsn(self.ports[name], postgres.SUPERUSER, WORDS["SUPERUSER_PASSWORD"])
        try:
            with psycopg.connect(login, autocommit=True, connect_timeout=5) as connection:
                answer = connection.execute(query.encode())
                return answer.fetchall() if answer.description else []
        except psycopg.OperationalError:
            return []


@pytest.fixture
def pods() -> Iterator[Pods]:
    with own_home() as home, ExitStack() as ending:
        yield Pods(home, ending)


def test_a_replica_is_copied_follows_and_is_copied_anew_from_another_primary(pods: Pods) -> None:
    primary = {"DATABASE": "meetings", "OWNER": "meetings"}
    pods.start("primary", **primary)
    where = f"127.0.0.1:{pods.ports['primary']}"
    follows = {"REPLICA": "replica", "PRIMARY": where, "THROUGH": where}
    pods.asked("primary", "CREATE TABLE told AS SELECT 'before' AS what")
    pods.start("replica", **follows)
    assert pods.asked("replica", "SELECT pg_is_in_recovery()") == [(True,)]
    assert pods.asked("replica", "SELECT what FROM told") == [("before",)]
    pods.asked("primary", "INSERT INTO told VALUES ('while')")
    until(lambda: pods.asked("replica", "SELECT count(*) FROM told") == [(2,)])
    pods.stop("replica")
    pods.asked("primary", "INSERT INTO told VALUES ('away')")
    pods.start("replica", **follows)
    until(lambda: pods.asked("replica", "SELECT count(*) FROM told") == [(3,)])
    for name in ("replica", "primary"):
        pods.stop(name)
    (pods.folder / "primary").rename(pods.folder / "lost")
    pods.start("primary", **primary)
    pods.asked("primary", "CREATE TABLE anew AS SELECT 1 AS one")
    pods.start("replica", **follows)
    assert pods.asked("replica", "SELECT one FROM anew") == [(1,)]


def test_a_replica_whose_primary_is_not_there_waits_and_then_says_so(
    pods: Pods, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PATIENCE", 0.0)
    nobody = f"127.0.0.1:{free_port()}"
    with pytest.raises(StackError, match="psql failed"):
        pods.start("replica", REPLICA="replica", PRIMARY=nobody, THROUGH=nobody)
