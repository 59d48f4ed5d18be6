"""What a database that fails over goes by can change while it runs: with a real Patroni, of which the pod's sidecar is told."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aftershock.adapters import patroni as managers
from aftershock.errors import TargetError
from aftershock.stacks import agreeing, member, patroni, postgres
from aftershock.stacks import database as single
from aftershock.stacks.account import give, switch, unprivileged
from component.conftest import free_port, until
from component.test_stacks_member import SAID, Manager, other, store

__all__ = ["other", "store"]  # fixtures

SETTINGS = {"max_connections": "110", "work_mem": "4MB", "wal_level": "logical", "io_method": "sync"}


@dataclass(frozen=True)
class Server:
    """A server that runs, and where what it goes by is said."""

    environment: dict[str, str]
    url: str
    port: int

    def say(self, settings: dict[str, str], **env: str) -> None:
        Path(self.environment["AGREED"]).write_text(json.dumps({"settings": settings, "env": env}))

    def told(self) -> dict[str, Any]:
        try:
            return managers.config(self.url)
        except TargetError:
            return {}

    def shows(self, name: str) -> str:
        login = postgres.dsn(self.port, postgres.SUPERUSER, "two")
        try:
            with psycopg.connect(login, connect_timeout=2) as one:
                (found,) = one.execute("SELECT current_setting(%s)", (name,)).fetchone() or ("",)
        except psycopg.Error:
            return ""
        return str(found)


@pytest.fixture
def server(store: int, other: type[Manager], monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The first of two runs; the other one is on its way."""
    assert other.database is None
    ports = {"server": free_port(), "manager": free_port()}
    monkeypatch.setattr(single, "PORT", str(ports["server"]))
    monkeypatch.setattr(member, "MANAGER", ports["manager"])
    monkeypatch.setattr(agreeing, "MANAGER", ports["manager"])
    monkeypatch.setattr(os, "execv", lambda *_: None)
    account = unprivileged()
    home = Path(tempfile.mkdtemp(prefix="aftershock-pair."))
    home.chmod(0o755)
    try:
        folder = home / "db-a"
        folder.mkdir()
        give(folder, account)
        said = {**SAID, "MEMBER": "db-a", "STORE": f"127.0.0.1:{store}", "THROUGH": f"127.0.0.1:{ports['server']}"}
        said |= {"AGREED": str(home / "agreed.json"), "DATA": str(folder / "cluster")}
        found = Server(said, f"http://127.0.0.1:{ports['manager']}", ports["server"])
        found.say(SETTINGS)
        member.main(said)
        config = folder / patroni.CONFIG
        give(config, account)
        give(folder / "cluster" / "pg_hba.conf", account)
        for name, text in patroni.programs().items():
            (folder / name).write_text(text)
            give(folder / name, account)
        before, _ = patroni.lent(sys.executable, account)
        line = [*before, *patroni.kept(sys.executable, folder)]
        with (home / "log").open("ab") as log:
            runs = subprocess.Popen(line, stdout=log, stderr=log, cwd="/", **({} if before else switch(account)))
        try:
            until(lambda: found.told() and found.shows("max_connections") == "110", 60)
            yield found
        finally:
            runs.terminate()
            runs.wait()
    finally:
        shutil.rmtree(home)


def test_what_is_said_later_is_what_it_goes_by(server: Server) -> None:
    """Settings that take effect at once, those that need a server started anew, and the switch; nothing else changes."""
    managers.tell(server.url, None, {"tags": {"mine": True}})
    server.say({**SETTINGS, "max_connections": "120"} | {"log_min_messages": "error"}, SYNCHRONOUS="on")
    port = server.url.rpartition(":")[2]
    code = f"import os; from aftershock.stacks import agreeing; agreeing.MANAGER = {port}; agreeing.main(os.environ)"
    line = [sys.executable, "-c", code]
    beside = subprocess.Popen(line, env={**os.environ, **server.environment, "PYTHONPATH": os.pathsep.join(sys.path)})
    try:
        until(lambda: server.shows("log_min_messages") == "error", 60)
        until(lambda: server.shows("max_connections") == "120", 60)
        assert managers.agreed(server.url).synchronous and server.told()["tags"] == {"mine": True}
        server.say({**SETTINGS, "max_connections": "120"})  # one is left out again
        until(lambda: server.shows("log_min_messages") == "warning", 60)
        until(lambda: not managers.agreed(server.url).synchronous)
        assert not managers.status(server.url).pending_restart
    finally:
        beside.kill()
        beside.wait()


def test_where_it_goes_by_that_already_nothing_is_told_and_no_server_is_started_anew(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(managers, "tell", lambda *what: told.append(what))
    monkeypatch.setattr(managers, "restart", lambda *what: told.append(what))
    patroni.settle(server.url, None, agreeing.wanted(server.environment))
    assert told == []
    server.say(SETTINGS, SYNCHRONOUS="on")
    patroni.settle(server.url, None, agreeing.wanted(server.environment))
    assert told == [(server.url, None, {"synchronous_mode": True})]
