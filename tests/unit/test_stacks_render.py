"""The files of a local stack: what is written is what the readers accept, and nothing secret stands in the open."""

import configparser
import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from aftershock.errors import StackError
from aftershock.model.load import load_text
from aftershock.model.stack import Stack
from aftershock.stacks import render, values

VALUES = values.load("1k")
PORTS = {name: 1000 + number for number, name in enumerate(render.wanted_ports(VALUES))}
LAYOUT = render.Layout(
    name="meetings-1k",
    folder=Path("/state/meetings-1k"),
    logs=Path("/state/meetings-1k/logs"),
    supervisor="unix:///state/meetings-1k/supervisor.sock",
    ports=PORTS,
    passwords={key: f"secret{number}" for number, key in enumerate(render.wanted_passwords(VALUES))},
    instance="i1",
)
PROGRAMS = render.Programs("/bin/py thon", "/bin/toxi%proxy", {"primary": ["/bin/postgres", "-D", "/a b"]}, "nobody")


def stack() -> Stack:
    (document,) = load_text(render.stack(VALUES, LAYOUT), "stack.yaml").sound()
    assert isinstance(document.object, Stack)
    return document.object


def test_the_stack_file_is_a_sound_stack() -> None:
    spec = stack().spec
    assert spec.environment == "test"
    assert [each.name for each in spec.links] == ["client-to-app", "app-to-primary"]
    assert [each.name for each in spec.workloads] == ["app", "primary"]
    assert spec.toxiproxies[0].restart is not None
    assert spec.toxiproxies[0].restart.supervisor.program == "main"
    assert spec.databases[0].observer != spec.databases[0].dsn


def test_every_indicator_goes_through_the_entry_link() -> None:
    door = f"127.0.0.1:{PORTS['client-to-app']}"
    asked = [url for each in stack().spec.indicators for url in values.urls(each).values()]
    assert len(asked) == 4
    assert all(url.startswith(f"http://{door}/") for url in asked)


def test_the_service_reaches_its_database_through_the_link_and_the_faults_reach_it_directly() -> None:
    files = render.secret_files(VALUES, LAYOUT)
    assert f"port={PORTS['app-to-primary']} user=meetings" in files["app.dsn"]
    assert f"port={PORTS['primary']} user=meetings" in files["primary.dsn"]
    assert f"port={PORTS['primary']} user=postgres" in files["primary.observer.dsn"]


def test_toxiproxy_is_populated_with_every_link() -> None:
    listed = json.loads(render.proxies(VALUES, LAYOUT, "main"))
    assert {each["name"]: each["upstream"] for each in listed} == {
        "client-to-app": f"127.0.0.1:{PORTS['app']}",
        "app-to-primary": f"127.0.0.1:{PORTS['primary']}",
    }
    assert render.proxies(VALUES, LAYOUT, "another") == "[]"


def test_no_secret_stands_outside_the_secret_files() -> None:
    open_files = (
        render.stack(VALUES, LAYOUT)
        + render.supervisord(VALUES, LAYOUT, PROGRAMS, "root")
        + render.proxies(VALUES, LAYOUT, "main")
    )
    assert "secret0" in "".join(render.secret_files(VALUES, LAYOUT).values())
    assert not any(password in open_files for password in LAYOUT.passwords.values())


def test_supervisord_reads_back_every_command_word_by_word() -> None:
    parser = configparser.RawConfigParser()
    parser.read_string(render.supervisord(VALUES, LAYOUT, PROGRAMS, "root"))
    commands = {
        name.removeprefix("program:"): shlex.split(parser[name]["command"] % {})
        for name in parser.sections()
        if name.startswith("program:")
    }
    assert commands["primary"] == ["/bin/postgres", "-D", "/a b"]
    assert commands["app"] == ["/bin/py thon", "-m", "aftershock.stacks.meetings"]
    assert commands["main"][0] == "/bin/toxi%proxy"
    assert commands["reaper"][1:] == ["-m", "aftershock", "reap", "--watch", "--stack", "/state/meetings-1k/stack.yaml"]
    assert parser["program:primary"]["user"] == "nobody"
    assert "user" not in parser["program:app"]


@pytest.mark.parametrize("folder", ["/a ;b", '/a"b', "/a\nb"])
def test_a_path_that_supervisord_would_misread_is_refused(folder: str) -> None:
    with pytest.raises(StackError, match="supervisord can't be told"):
        render.supervisord(VALUES, replace(LAYOUT, folder=Path(folder)), PROGRAMS, "root")
