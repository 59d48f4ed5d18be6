"""A server of a database that fails over, as its pod runs it: who makes the database is settled by what etcd holds, and by what
the other server says.
"""

import base64
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

from aftershock.adapters import etcd
from aftershock.errors import StackError, TargetError
from aftershock.stacks import installed, member, patroni, postgres, replication
from component.conftest import free_port, until

MEMBERS = ("db-a", "db-b")
SAID = {
    "NAME": "db", "MEMBERS": " ".join(MEMBERS), "DATABASE": "meetings", "OWNER": "meetings", "OWNER_PASSWORD": "one",
    "SUPERUSER_PASSWORD": "two", "REPLICATION_PASSWORD": "three", "MERGES": "another", "LISTEN": "127.0.0.1",
    "THROUGH": "way:5432", "OTHER": "127.0.0.1:1",
}  # fmt: skip
ONE, ANOTHER = "7300000000000000001", "7300000000000000002"
"""Databases, as PostgreSQL numbers them."""


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
        return etcd.value("127.0.0.1", port, "anything") is None
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
    monkeypatch.setattr(member, "MANAGER", free_port())
    return statements


class Manager(BaseHTTPRequestHandler):
    """The other server's manager, which says which database that has."""

    database: str | None = None

    def do_GET(self) -> None:
        assert self.path == "/patroni"
        said = {"state": "running", **({"database_system_identifier": self.database} if self.database else {})}
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Manager]]:
    """The other server runs, and has no database yet."""

    class Other(Manager):
        pass

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setitem(SAID, "OTHER", f"127.0.0.1:{server.server_port}")
        yield Other
        server.shutdown()
        thread.join()


def start(own: str, store: int, folder: Path) -> Path:
    """Start one as its pod would; return where its data are to be."""
    (folder / own).mkdir(exist_ok=True)
    data = folder / own / "cluster"
    agreed = folder / own / "agreed.json"
    agreed.write_text(json.dumps({"settings": {"wal_level": "logical"}, "env": {}}))
    ways = {"STORE": f"127.0.0.1:{store}", "DATA": str(data), "AGREED": str(agreed)}
    member.main({**SAID, "MEMBER": own, **ways})
    return data


def agree(store: int, database: str = ONE) -> None:
    """Have etcd hold what Patroni puts there when it has a database."""
    value = base64.b64encode(database.encode()).decode()
    body = json.dumps({"key": "L3NlcnZpY2UvZGIvaW5pdGlhbGl6ZQ==", "value": value}).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{store}/v3/kv/put", body, timeout=5) as answer:
        assert answer.status == 200


@pytest.mark.usefixtures("other")
def test_the_first_makes_the_database_where_nobody_has_one(store: int, tmp_path: Path, made: list[str]) -> None:
    data = start("db-a", store, tmp_path)
    assert len(made) == 1 and "GRANT pg_create_subscription" in made[0]
    assert "host replication replication all scram-sha-256" in (data / "pg_hba.conf").read_text()
    told = data.with_name(patroni.CONFIG)
    assert told.stat().st_mode & 0o777 == 0o600, "there are passwords in it"
    assert "wal_level: logical" in told.read_text()


def test_the_first_makes_none_where_etcd_has_forgotten_the_one_that_the_other_has(
    store: int, tmp_path: Path, made: list[str], other: type[Manager]
) -> None:
    other.database = ONE
    with pytest.raises(StackError, match="to copy: the other server has one, and has not told etcd"):
        start("db-a", store, tmp_path)
    assert made == []


def test_it_copies_that_once_etcd_knows_of_it_again(
    store: int, tmp_path: Path, made: list[str], other: type[Manager], monkeypatch: pytest.MonkeyPatch
) -> None:
    other.database = ONE
    monkeypatch.setattr(member, "PATIENCE", 30.0)
    waits = Thread(target=start, args=("db-a", store, tmp_path))
    waits.start()
    agree(store)
    waits.join()
    assert (tmp_path / "db-a" / patroni.CONFIG).exists(), "it has gone on"
    assert made == []


def test_the_first_makes_none_where_the_other_one_says_nothing(store: int, tmp_path: Path, made: list[str]) -> None:
    """It may have the database all the same."""
    with pytest.raises(StackError, match=r"the manager at http://127\.0\.0\.1:1 does not answer"):
        start("db-a", store, tmp_path)
    assert made == []


def test_the_other_one_waits_for_one_to_copy(store: int, tmp_path: Path, made: list[str]) -> None:
    with pytest.raises(StackError, match="there is no database db to copy: the other server has not made it"):
        start("db-b", store, tmp_path)
    assert made == []


def test_of_two_that_start_for_the_first_time_the_first_makes_it_whoever_is_sooner(
    store: int, tmp_path: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(member, "PATIENCE", 30.0)
    monkeypatch.setitem(SAID, "OTHER", f"127.0.0.1:{member.MANAGER}")
    both = [Thread(target=start, args=(each, store, tmp_path)) for each in MEMBERS]
    for each in both:
        each.start()
    both[0].join()
    assert len(made) == 1 and (tmp_path / "db-a" / "cluster").exists()
    url = f"http://127.0.0.1:{member.MANAGER}/readiness"
    with pytest.raises(urllib.error.HTTPError, match="503"):  # one that waits is not ready
        urllib.request.urlopen(url, timeout=5)
    agree(store)
    both[1].join()
    assert len(made) == 1 and not (tmp_path / "db-b" / "cluster").exists(), "Patroni copies it"
    with pytest.raises(urllib.error.URLError, match="refused"):  # its manager's port is free for that
        urllib.request.urlopen(url, timeout=5)


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


def has(folder: Path, own: str, database: str | None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have a server have a database, None for half a copy of one."""

    def identity(_: Path) -> str:
        if database is None:
            raise StackError("it says of no cluster which it is", "")
        return database

    monkeypatch.setattr(replication, "identity", identity)
    data = folder / own / "cluster"
    data.mkdir(parents=True)
    (data / "pg_hba.conf").touch()
    return data


def test_one_that_has_the_database_goes_on_with_it(
    store: int, tmp_path: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = has(tmp_path, "db-b", ONE, monkeypatch)
    start("db-b", store, tmp_path)  # where etcd has forgotten it, Patroni tells it again
    agree(store)
    assert start("db-b", store, tmp_path) == data and data.exists()
    assert made == []


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize(("database", "called"), [(ANOTHER, ANOTHER), (None, "none")], ids=["another", "half-a-copy"])
def test_one_that_has_another_than_etcd_holds_sets_it_aside_and_is_copied(
    database: str | None, called: str, store: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agree(store)
    for what in ("first", "second"):  # one set aside earlier is in nobody's way
        data = has(tmp_path, "db-a", database, monkeypatch)
        (data / what).touch()
        assert not start("db-a", store, tmp_path).exists()
        assert [each.name for each in data.with_name(f"cluster.other-{called}").glob("*[td]")] == [what]


def test_patroni_makes_none_by_itself(store: int, tmp_path: Path, made: list[str]) -> None:
    """As it would where etcd forgets what it held while a copy is made."""
    agree(store)
    told = yaml.safe_load(start("db-b", store, tmp_path).with_name(patroni.CONFIG).read_text())["bootstrap"]
    assert subprocess.run([told[told["method"]]["command"]], check=False).returncode != 0
    assert made == []
