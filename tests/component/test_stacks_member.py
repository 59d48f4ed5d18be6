"""A server of a database that fails over, as its pod runs it: who makes the database is settled by what etcd holds."""

import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from aftershock.adapters import etcd
from aftershock.errors import StackError, TargetError
from aftershock.stacks import installed, member, postgres
from component.conftest import free_port, until

MEMBERS = ("db-a", "db-b")
SAID = {
    "NAME": "db", "MEMBERS": " ".join(MEMBERS), "DATABASE": "meetings", "OWNER": "meetings", "OWNER_PASSWORD": "one",
    "SUPERUSER_PASSWORD": "two", "REPLICATION_PASSWORD": "three", "MERGES": "another", "LISTEN": "127.0.0.1",
    "THROUGH": "way:5432",
}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[int]:
    """An etcd that nothing is agreed on in; its port."""
    if installed.found("etcd") is None:
        pytest.skip("no etcd on this machine: `make setup` installs it")
    port, peers = free_port(), free_port()
    urls = [f"http://127.0.0.1:{each}" for each in (port, peers)]
    line = [
        str(installed.program("etcd")), "--data-dir", str(tmp_path / "etcd"), "--listen-client-urls", urls[0],
        "--advertise-client-urls", urls[0], "--listen-peer-urls", urls[1], "--initial-advertise-peer-urls", urls[1],
        "--initial-cluster", f"default={urls[1]}",
    ]  # fmt: skip
    with (tmp_path / "etcd.log").open("ab") as log:
        server = subprocess.Popen(line, stdout=log, stderr=log)
    try:
        until(lambda: answers(port))
        yield port
    finally:
        server.kill()
        server.wait()


def answers(port: int) -> bool:
    try:
        return not etcd.holds("127.0.0.1", port, "anything")
    except TargetError:
        return False


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements by which databases were made; none is, and no Patroni is started."""
    statements: list[str] = []

    def create(data: Path, _password: str, text: str) -> None:
        statements.append(text)
        data.mkdir()
        (data / "pg_hba.conf").touch()

    monkeypatch.setattr(postgres, "create", create)
    monkeypatch.setattr(postgres, "programs", lambda: Path("/bin"))
    monkeypatch.setattr(member.os, "execv", lambda *_: None)
    monkeypatch.setattr(member, "PATIENCE", 0.0)
    return statements


def start(own: str, store: int, folder: Path) -> Path:
    """Start one as its pod would; return where its data are to be."""
    (folder / own).mkdir()
    data = folder / own / "cluster"
    member.main(["wal_level=logical"], {**SAID, "MEMBER": own, "STORE": f"127.0.0.1:{store}", "DATA": str(data)})
    return data


def agree(store: int) -> None:
    """Have etcd hold what Patroni puts there when it has a database."""
    body = b'{"key": "L3NlcnZpY2UvZGIvaW5pdGlhbGl6ZQ==", "value": "MQ=="}'
    with urllib.request.urlopen(f"http://127.0.0.1:{store}/v3/kv/put", body, timeout=5) as answer:
        assert answer.status == 200


def test_the_first_makes_the_database_where_nothing_is_agreed_on(store: int, tmp_path: Path, made: list[str]) -> None:
    data = start("db-a", store, tmp_path)
    assert len(made) == 1 and "GRANT pg_create_subscription" in made[0]
    assert "host replication replication all scram-sha-256" in (data / "pg_hba.conf").read_text()
    told = data.with_name("patroni.yaml")
    assert told.stat().st_mode & 0o777 == 0o600, "there are passwords in it"
    assert "wal_level: logical" in told.read_text()


def test_the_other_one_waits_for_one_to_copy(store: int, tmp_path: Path, made: list[str]) -> None:
    with pytest.raises(StackError, match="there is no database db to copy: the other server has not made it"):
        start("db-b", store, tmp_path)
    assert made == []


@pytest.mark.parametrize("own", MEMBERS)
def test_one_that_has_lost_its_data_makes_no_other_database(
    store: int, tmp_path: Path, made: list[str], own: str
) -> None:
    agree(store)
    assert not start(own, store, tmp_path).exists()
    assert made == []


def test_without_etcd_nothing_is_made(tmp_path: Path, made: list[str]) -> None:
    with pytest.raises(StackError, match=r"etcd at 127\.0\.0\.1:1 does not answer"):
        start("db-a", 1, tmp_path)
    assert made == []
