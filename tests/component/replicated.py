"""A primary and its replica, as pods run them, on this machine."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

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

    def follow(self, through: int | None = None) -> None:
        """Start the replica; `through`: the port of a link that leads to the primary."""
        primary = self.ports["primary"]
        where = {"PRIMARY": f"127.0.0.1:{primary}", "THROUGH": f"127.0.0.1:{through or primary}"}
        self.start("replica", REPLICA="replica", **where)

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
        """Ask it as its superuser; nothing where it does not answer, or does not have yet what is asked."""
        login = postgres.dsn(self.ports[name], postgres.SUPERUSER, WORDS["SUPERUSER_PASSWORD"])
        try:
            with psycopg.connect(login, autocommit=True, connect_timeout=5) as connection:
                answer = connection.execute(query.encode())
                return answer.fetchall() if answer.description else []
        except psycopg.Error:
            return []


PRIMARY = {"DATABASE": "meetings", "OWNER": "meetings"}


@contextmanager
def pods() -> Iterator[Pods]:
    with own_home() as home, ExitStack() as ending:
        yield Pods(home, ending)


@contextmanager
def pair(through: int | None = None) -> Iterator[Pods]:
    """A primary and a replica that follows it; `through`: the port of a link that leads to the primary."""
    with pods() as made:
        made.start("primary", **PRIMARY)
        made.follow(through)
        yield made
