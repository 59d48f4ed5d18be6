"""The DNS server of a stack as a pod runs it, with a real gdnsd: clients are led to the first region that is well."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aftershock.errors import InputError, StackError
from aftershock.probes.names import resolve_at
from aftershock.stacks import installed, nameserver
from aftershock.stacks.account import give, switch, unprivileged
from component.conftest import free_port, until
from own_home import own_home
from planted import response, serving

EAST, WEST = "127.0.1.1", "127.0.2.1"
SAID = {"ZONE": "meetings.test", "HEALTH": "/serves", "LIVES": "1", "LISTEN": "127.0.0.1"}


@pytest.fixture
def home() -> Iterator[Path]:
    if installed.found("gdnsd") is None:
        pytest.skip("no gdnsd on this machine: `make setup` installs it")
    with own_home() as made:
        made.mkdir()
        yield made


@contextmanager
def answering(ways: list[str], folder: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The server, as its pod becomes it; another process does, as an account without rights. Lends its address."""
    lines: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _program, line: lines.append(line))
    nameserver.main(ways, {**SAID, "PORT": str(port), "FOLDER": str(folder)})
    for each in [folder, *folder.rglob("*")]:
        give(each, unprivileged())
    how: dict[str, object] = switch(unprivileged())
    with (folder.parent / "gdnsd.log").open("ab") as log:
        server = subprocess.Popen(lines[-1], stdout=log, stderr=log, cwd="/", **how)  # type: ignore[call-overload]
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


def leads(server: str) -> str:
    try:
        ((_, address),), _ = resolve_at(server, "meetings.test", 80)
    except OSError:
        return ""
    return address[0]


def test_it_leads_to_the_first_region_that_is_well_whose_address_it_asked_for(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = {"client-to-east": EAST, "client-to-west": WEST}
    monkeypatch.setattr(nameserver, "_address", addresses.get)
    port = free_port()
    ways = [f"{host.removeprefix('client-to-')}={host}:{port}" for host in addresses]
    with (
        serving(lambda _: response(), host=WEST, port=port) as west,
        answering(ways, home / "dns", free_port(), monkeypatch) as server,
    ):
        until(lambda: leads(server) == WEST, 30)
        assert west.asked
        with serving(lambda _: response(), host=EAST, port=port):
            until(lambda: leads(server) == EAST, 30)


def test_a_way_without_an_address_is_waited_for_and_then_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nameserver, "PATIENCE", 0.0)
    monkeypatch.setattr(nameserver, "_address", {"client-to-east": EAST}.get)
    said = {**SAID, "PORT": "5353", "FOLDER": str(tmp_path)}
    with pytest.raises(StackError, match="the way into west, client-to-west, has no IPv4 address"):
        nameserver.main(["east=client-to-east:80", "west=client-to-west:80"], said)


def test_a_name_of_the_system_is_asked_for() -> None:
    assert nameserver._address("127.0.2.1") == "127.0.2.1"
    assert nameserver._address("") is None


@pytest.mark.parametrize("missing", ["ZONE", "HEALTH", "LIVES", "LISTEN", "PORT", "FOLDER"])
def test_what_was_not_said_is_named(tmp_path: Path, missing: str) -> None:
    said = {**SAID, "PORT": "5353", "FOLDER": str(tmp_path)}
    with pytest.raises(InputError, match=f"{missing} is not set"):
        nameserver.main(["east=127.0.1.1:80"], {name: value for name, value in said.items() if name != missing})
