"""A store of a local stack, made by real etcd: closed before anybody can reach it, or not made at all."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from aftershock.adapters import etcd
from aftershock.errors import StackError, TargetError
from aftershock.stacks import installed, layout, patroni, processes, stores, values
from aftershock.stacks.place import Place, place
from component.conftest import answers, free_port, until
from component.test_stacks_local import quiet

WANTED = values.load("1m")
STORE = "etcd-us-west"
PUT = {"key": "YQ==", "value": "YQ=="}


@pytest.fixture
def program() -> str:
    if installed.found("etcd") is None:
        pytest.skip("no etcd on this machine: `make setup` installs it")
    return str(installed.program("etcd"))


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A place whose path is longer than that of a socket may be."""
    monkeypatch.setenv("AFTERSHOCK_HOME", str(tmp_path / ("long" * 30)))
    ground = place("meetings-1m")
    ground.make(None)
    return ground


def make(ground: Place, program: str) -> None:
    words = dict.fromkeys(layout.wanted_passwords(WANTED), "word")
    told = layout.Layout("meetings-1m", ground.folder, ground.logs, "", {}, words, "i1")
    stores.make(WANTED, ground, told, {"etcd": program}, quiet)


@dataclass(frozen=True)
class Kept:
    port: int
    server: subprocess.Popen[bytes]

    def ask(self, path: str, body: Mapping[str, Any], **headers: str) -> tuple[int, Any]:
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=5)) as wire:
            wire.request("POST", path, json.dumps(body), headers)
            answer = wire.getresponse()
            return answer.status, json.loads(answer.read())


@pytest.fixture
def kept(ground: Place, program: str) -> Iterator[Kept]:
    """A store that was made, as supervisord keeps it."""
    make(ground, program)
    port, data = free_port(), ground.store(STORE)
    server = subprocess.Popen(patroni.store(STORE, program, str(data), f"http://127.0.0.1:{port}"), cwd=data.parent)
    try:
        until(lambda: answers(port))
        yield Kept(port, server)
    finally:
        server.kill()
        server.wait()


def test_who_has_no_password_is_refused_and_who_has_it_is_served(kept: Kept) -> None:
    for path in ("/v3/kv/put", "/v3/kv/range", "/v3/auth/disable", "/v3/cluster/member/add"):
        assert kept.ask(path, {**PUT, "peerURLs": ["http://127.0.0.1:1"]} if "add" in path else PUT)[0] == 400
    assert kept.ask("/v3/auth/authenticate", {"name": "root", "password": "guessed"})[0] == 400
    _, told = kept.ask("/v3/auth/authenticate", {"name": "root", "password": "word"})
    assert kept.ask("/v3/kv/put", PUT, Authorization=told["token"])[0] == 200


def test_peers_find_no_port(kept: Kept, ground: Place) -> None:
    """Whoever speaks to it as a peer does is asked for no password."""
    assert (ground.store(STORE).parent / "peers:0").is_socket()
    own = {
        f"socket:[{line.split()[9]}]" for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if " 0A " in line
    }
    opened = [str(each.readlink()) for each in Path(f"/proc/{kept.server.pid}/fd").iterdir()]
    assert len(own & set(opened)) == 1, "that of clients"


def test_one_that_was_made_stays(ground: Place, program: str) -> None:
    make(ground, program)
    before = ground.store(STORE).stat().st_ino
    make(ground, program)
    assert ground.store(STORE).stat().st_ino == before
    assert [each.name for each in ground.store(STORE).parent.iterdir()] == ["data"]


def test_one_that_could_not_be_closed_is_none(ground: Place, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_path: Path, _password: str) -> None:
        raise TargetError("it does not answer", "see whether it runs")

    with monkeypatch.context() as patched:
        patched.setattr(etcd, "close", fail)
        with pytest.raises(StackError, match="can't be closed to others: it does not answer"):
            make(ground, program)
    assert not ground.store(STORE).exists()
    assert processes.of(ground.folder) == []
    make(ground, program)
    assert ground.store(STORE).exists()


def test_an_etcd_that_does_not_start_is_told_with_its_log(ground: Place) -> None:
    with pytest.raises(StackError) as caught:
        make(ground, "/bin/false")
    assert str(ground.logs / f"{STORE}.log") in caught.value.advice
