"""The files of a local stack: what is written is what the readers accept, and nothing secret stands in the open."""

import configparser
import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from aftershock.errors import StackError, TargetError
from aftershock.model.load import load_text
from aftershock.model.stack import Stack
from aftershock.stacks import layout, local, parts, patroni, render, supervised, values
from aftershock.stacks.parts import urls
from aftershock.stacks.place import Place, place, read_record

VALUES = values.load("1k")
PORTS = {name: 1000 + number for number, name in enumerate(layout.wanted_ports(VALUES))}
LAYOUT = layout.Layout(
    name="meetings-1k",
    folder=Path("/state/meetings-1k"),
    logs=Path("/state/meetings-1k/logs"),
    supervisor="unix:///state/meetings-1k/supervisor.sock",
    ports=PORTS,
    passwords={key: f"secret{number}" for number, key in enumerate(layout.wanted_passwords(VALUES))},
    instance="i1",
)
PROGRAMS = layout.Programs(
    "/bin/py thon", "/bin/toxi%proxy", {"primary": ["/bin/postgres", "-D", "/a b"]}, "nobody", {}
)


LATER = values.load("10k")
LATER_LAYOUT = replace(
    LAYOUT,
    name="meetings-10k",
    ports={name: 2000 + number for number, name in enumerate(layout.wanted_ports(LATER))},
    passwords={key: f"secret{number}" for number, key in enumerate(layout.wanted_passwords(LATER))},
)
LATER_PROGRAMS = replace(
    PROGRAMS,
    databases={each.name: ["/bin/postgres"] for each in LATER.databases},
    installed={"haproxy": "/bin/haproxy", "redis-server": "/bin/redis-server"},
)


WIDE = values.load("1m")
WIDE_LAYOUT = replace(
    LAYOUT,
    name="meetings-1m",
    ports=layout.shared(WIDE, {name: 3000 + number for number, name in enumerate(layout.wanted_ports(WIDE))}),
    passwords={key: f"secret{number}" for number, key in enumerate(layout.wanted_passwords(WIDE))},
    hosts=layout.hosts(WIDE),
)
WIDE_PROGRAMS = replace(
    PROGRAMS,
    databases={each.name: ["/bin/postgres"] for each in WIDE.databases if each.failover is None},
    installed={each: f"/bin/{each}" for each in ("haproxy", "redis-server", "gdnsd", "etcd", "patroni")},
    lent=(["/bin/lend"], None),
)


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Where a stack would lie."""
    monkeypatch.setenv("AFTERSHOCK_HOME", str(tmp_path))
    return place("meetings-1k")


def stack(of: parts.Values = VALUES, at: layout.Layout = LAYOUT) -> Stack:
    (document,) = load_text(render.stack(of, at), "stack.yaml").sound()
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
    asked = [url for each in stack().spec.indicators for url in urls(each).values()]
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
        + supervised.supervisord(VALUES, LAYOUT, PROGRAMS, "root")
        + render.proxies(VALUES, LAYOUT, "main")
    )
    assert "secret0" in "".join(render.secret_files(VALUES, LAYOUT).values())
    assert not any(password in open_files for password in LAYOUT.passwords.values())


def test_supervisord_reads_back_every_command_word_by_word() -> None:
    parser = configparser.RawConfigParser()
    parser.read_string(supervised.supervisord(VALUES, LAYOUT, PROGRAMS, "root"))
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
        supervised.supervisord(VALUES, replace(LAYOUT, folder=Path(folder)), PROGRAMS, "root")


def test_10k_is_a_sound_stack_with_its_replica_and_its_cache() -> None:
    spec = stack(LATER, LATER_LAYOUT).spec
    assert [(each.name, each.role, each.of) for each in spec.databases] == [
        ("primary", "primary", None),
        ("replica", "replica", "primary"),
    ]
    assert [each.name for each in spec.caches] == ["cache"]
    assert [each.name for each in spec.workloads] == ["app-1", "app-2", "primary", "replica", "cache", "gateway"]
    asked = [url for each in spec.indicators for url in urls(each).values()]
    assert all(url.startswith(f"http://127.0.0.1:{LATER_LAYOUT.ports['client-to-gateway']}/") for url in asked)


def test_each_service_reaches_database_replica_and_cache_through_links_of_its_own() -> None:
    files, at = render.secret_files(LATER, LATER_LAYOUT), LATER_LAYOUT.ports
    for app in ("app-1", "app-2"):
        assert f"port={at[f'{app}-to-primary']} user=meetings" in files[f"{app}.dsn"]
        assert f"port={at[f'{app}-to-replica']} user=meetings" in files[f"{app}.replica.dsn"]
        assert files[f"{app}.cache"].endswith(f"@127.0.0.1:{at[f'{app}-to-cache']}/0")
    assert f"port={at['replica']} user=postgres" in files["replica.observer.dsn"]
    assert files["replica.dsn"] == files["primary.dsn"].replace(f"port={at['primary']}", f"port={at['replica']}")


def test_the_gateway_leads_to_each_service_through_its_link() -> None:
    text, at = render.configurations(LATER, LATER_LAYOUT)["gateway.cfg"], LATER_LAYOUT.ports
    assert f"bind 127.0.0.1:{at['gateway']}\n" in text
    for app in ("app-1", "app-2"):
        assert f"    server {app} 127.0.0.1:{at[f'gateway-to-{app}']} cookie {app}\n" in text
    assert "option httpchk GET /healthz" in text


def test_no_secret_of_10k_stands_outside_the_secret_files() -> None:
    files = render.configurations(LATER, LATER_LAYOUT).values()
    text = render.stack(LATER, LATER_LAYOUT) + supervised.supervisord(LATER, LATER_LAYOUT, LATER_PROGRAMS, "root")
    assert not any(word in text + "".join(files) for word in LATER_LAYOUT.passwords.values())
    assert len(LATER_LAYOUT.passwords) == 4  # two roles of the application's, the one that replicates, and the cache's


def test_every_part_of_10k_is_kept() -> None:
    parser = configparser.RawConfigParser()
    parser.read_string(supervised.supervisord(LATER, LATER_LAYOUT, LATER_PROGRAMS, "root"))
    kept = {name.removeprefix("program:") for name in parser.sections() if name.startswith("program:")}
    assert kept == {"app-1", "app-2", "primary", "replica", "cache", "gateway", "main", "reaper"}
    assert 'REPLICA_DSN_FILE="/state/meetings-1k/secrets/app-2.replica.dsn"' in parser["program:app-2"]["environment"]
    assert 'CACHE_URL_FILE="/state/meetings-1k/secrets/app-2.cache"' in parser["program:app-2"]["environment"]


def test_the_ways_into_the_regions_have_one_port_and_an_address_each() -> None:
    ways = [WIDE_LAYOUT.address(f"client-to-{region}") for region in WIDE.regions]
    port = WIDE_LAYOUT.ports["client-to-us-east"]
    assert ways == [f"127.0.1.1:{port}", f"127.0.2.1:{port}", f"127.0.3.1:{port}"]
    listed = {each["name"]: each["listen"] for each in json.loads(render.proxies(WIDE, WIDE_LAYOUT, "main"))}
    assert listed["client-to-us-west"] == f"127.0.2.1:{port}"
    assert listed["us-west-app-to-db"].startswith("127.0.0.1:")


def test_the_stack_of_1m_says_what_is_in_which_region_and_who_leads_there() -> None:
    spec = stack(WIDE, WIDE_LAYOUT).spec
    assert spec.resolver
    assert (spec.resolver.address, spec.resolver.host) == (f"127.0.0.1:{WIDE_LAYOUT.ports['dns']}", "meetings.test")
    assert {way.region: way.address for way in spec.resolver.ways} == {
        "us-east": "127.0.1.1", "us-west": "127.0.2.1", "eu-west": "127.0.3.1",
    }  # fmt: skip
    of_east = {each.name for each in spec.workloads if each.region == "us-east"}
    assert of_east == {"app-us-east", "db-us-east", "cache-us-east", "gateway-us-east"}
    assert {each.name: each.region for each in spec.databases}["db-eu-west"] == "eu-west"
    assert {each.region for each in spec.caches} == set(WIDE.regions)
    (join,) = [each.http for each in spec.indicators if each.name == "join" and each.http]
    assert join.url == f"http://meetings.test:{WIDE_LAYOUT.ports['client-to-us-east']}/meetings/1/join"


def test_two_databases_follow_each_other_through_the_links_between_them() -> None:
    files, at = render.secret_files(WIDE, WIDE_LAYOUT), WIDE_LAYOUT.ports
    assert f"port={at['us-east-from-us-west']} user=replication" in files["app-us-east.peer.dsn"]
    assert f"port={at['us-west-from-us-east']} user=replication" in files["app-us-west.peer.dsn"]
    assert "app-eu-west.peer.dsn" not in files
    parser = configparser.RawConfigParser()
    parser.read_string(supervised.supervisord(WIDE, WIDE_LAYOUT, WIDE_PROGRAMS, "root"))
    told = {name: parser[f"program:app-{name}"]["environment"] for name in WIDE.regions}
    assert 'REGION="us-east",REGION_NUMBER="0",REGIONS="2"' in told["us-east"]
    assert 'REGION="us-west",REGION_NUMBER="1",REGIONS="2"' in told["us-west"]
    assert 'REGION="us-east"' in told["eu-west"], "where its database is"
    assert "PEER_DSN_FILE" not in told["eu-west"]
    assert parser["program:dns"]["user"] == "nobody"


def test_a_service_follows_the_caches_of_the_other_regions_through_links() -> None:
    files, at = render.secret_files(WIDE, WIDE_LAYOUT), WIDE_LAYOUT
    lines = dict(line.split(" ") for line in files["app-us-east.caches"].splitlines())
    assert list(lines) == ["us-west", "eu-west"]
    password = at.passwords["cache-us-west/default"]
    assert lines["us-west"] == f"redis://:{password}@{at.address('us-east-cache-from-us-west')}/0"
    parser = configparser.RawConfigParser()
    parser.read_string(supervised.supervisord(WIDE, WIDE_LAYOUT, WIDE_PROGRAMS, "root"))
    assert "CACHES_ELSEWHERE_FILE" in parser["program:app-eu-west"]["environment"]
    assert not [name for name in render.secret_files(LATER, LATER_LAYOUT) if name.endswith(".caches")]


def test_a_database_that_fails_over_is_two_servers_a_store_and_a_door() -> None:
    at = WIDE_LAYOUT.ports
    parser = configparser.RawConfigParser()
    parser.read_string(supervised.supervisord(WIDE, WIDE_LAYOUT, WIDE_PROGRAMS, "root"))
    member = parser["program:db-us-west-b"]
    folder = "/state/meetings-1k/managers/db-us-west-b"
    python = "'/bin/py thon'"
    ours = f"-I -S {folder}/keeping.py {python} {folder}/lending.py {folder}/patroni.yaml"
    assert member["command"] == f"/bin/lend {python} {ours}"
    assert "user" not in member, "it is lent a right by what stands before it"
    store = parser["program:etcd-us-west"]
    assert "--data-dir /state/meetings-1k/stores/etcd-us-west/data " in store["command"]
    assert f"--listen-client-urls http://127.0.0.1:{at['etcd-us-west']} " in store["command"]
    assert "--listen-peer-urls unix://peers:0 " in store["command"], "who comes in there needs no password"
    assert store["directory"] == "/state/meetings-1k/stores/etcd-us-west"
    assert parser["program:db-us-west"]["command"].endswith("db-us-west.cfg")
    door = render.configurations(WIDE, WIDE_LAYOUT)["db-us-west.cfg"]
    assert f"bind 127.0.0.1:{at['db-us-west']}\n" in door
    asked = at["db-us-west-a:manager"]
    assert f"server db-us-west-a 127.0.0.1:{at['us-west-to-a']} check addr 127.0.0.1 port {asked}\n" in door


def test_a_stack_says_which_servers_a_database_can_have_and_where_their_managers_answer() -> None:
    spec = stack(WIDE, WIDE_LAYOUT).spec
    (database,) = [each for each in spec.databases if each.failover]
    assert (database.name, database.servers) == ("db-us-west", ["db-us-west-a", "db-us-west-b"])
    assert [each.servers for each in spec.databases if not each.failover] == [["db-us-east"], ["db-eu-west"]]
    assert database.failover
    at, files = WIDE_LAYOUT.ports, render.secret_files(WIDE, WIDE_LAYOUT)
    for each in database.failover.members:
        assert each.url == f"http://127.0.0.1:{at[f'{each.name}:manager']}"
        assert f"port={at[each.name]} user=postgres" in files[f"{each.name}.observer.dsn"]
    assert f"port={at['us-west-app-to-db']} " in files["app-us-west.dsn"], (
        "the service comes through its link to the door"
    )
    of_west = {each.name for each in spec.workloads if each.region == "us-west"}
    assert {"db-us-west", "db-us-west-a", "db-us-west-b", "etcd-us-west"} <= of_west


@pytest.mark.parametrize("on", [False, True])
def test_a_member_is_told_of_the_other_one_and_of_what_both_go_by(on: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aftershock.stacks.postgres.programs", lambda: Path("/bin/pg"))
    wanted = values.switch(WIDE, {"SYNCHRONOUS": "on"}) if on else WIDE
    (database,) = [each for each, _ in wanted.failing_over()]
    told = yaml.safe_load(patroni.member(wanted, database, "db-us-west-b", WIDE_LAYOUT, "/data"))
    at, agreed = WIDE_LAYOUT.ports, told["bootstrap"]["dcs"]
    assert told["etcd3"]["hosts"] == [f"127.0.0.1:{at['us-west-b-to-etcd']}"]
    assert told["postgresql"]["connect_address"] == f"127.0.0.1:{at['us-west-a-from-b']}", "the other one's link to it"
    assert told["postgresql"]["parameters"]["synchronized_standby_slots"] == "db_us_west_a"
    assert agreed["synchronous_mode"] is on
    assert agreed["postgresql"]["parameters"]["sync_replication_slots"] == "on"
    assert agreed["postgresql"]["parameters"]["max_connections"] == "100"
    word = WIDE_LAYOUT.passwords["db-us-west/postgres"]
    assert told["postgresql"]["authentication"]["superuser"] == {"username": "postgres", "password": word}
    word = WIDE_LAYOUT.passwords["db-us-west/manager"]
    assert told["restapi"]["authentication"] == {"username": "manager", "password": word}
    assert told["etcd3"]["username"] == "root"
    assert told["etcd3"]["password"] == WIDE_LAYOUT.passwords["etcd-us-west/root"]


def test_passwords_that_are_there_stay_where_one_more_is_wanted(ground: Place) -> None:
    """Databases were made with them."""
    ground.secrets.mkdir(parents=True)
    file = ground.secrets / "passwords.json"
    file.write_text('{"primary/meetings": "kept", "primary/nobody-any-more": "gone"}')
    decided = local._decided(VALUES, ground).passwords
    assert set(decided) == {"primary/meetings", "primary/postgres"}
    assert decided["primary/meetings"] == "kept"
    assert len(decided["primary/postgres"]) == 32
    assert read_record(file) == decided


@pytest.mark.parametrize("lacking", [0, 1])
def test_a_stack_that_lacks_a_password_is_not_whole(
    ground: Place, monkeypatch: pytest.MonkeyPatch, lacking: int
) -> None:
    """An earlier version brought it up, and left open what the password is for."""
    monkeypatch.setattr("aftershock.adapters.supervisor.supervisor_pid", lambda _: 1)
    monkeypatch.setattr("aftershock.stacks.ready.missing_now", lambda *_: [])
    ground.make(None)
    ground.stack.touch()
    ground.record.write_text(json.dumps({"ports": PORTS, "instance": "i1"}))
    words = dict(list(LAYOUT.passwords.items())[lacking:])
    (ground.secrets / "passwords.json").write_text(json.dumps(words))
    assert local._whole(VALUES, ground) == (not lacking)


@pytest.mark.parametrize("put", ["postgresql/primary", "postgresql", "dns", "dns/dns/zones"])
def test_a_link_that_lies_where_a_folder_of_the_servers_is_to_be_is_refused(ground: Place, put: str) -> None:
    """Their account can write there, and would have us give it what the link leads to."""
    ground.folder.mkdir(parents=True)
    (ground.folder / put).parent.mkdir(parents=True, exist_ok=True)
    (ground.folder / put).symlink_to("/")

    def make() -> None:
        ground.make(None)
        ground.make_cluster("primary", None)
        ground.make_resolver("dns", {}, None)

    with pytest.raises(StackError, match=f"{put} is to be a folder"):
        make()


def test_a_manager_is_run_by_what_was_written_now(ground: Place) -> None:
    """What lies there from before may be of an account that could write it."""
    ground.make(None)
    ground.make_member("db", {"patroni.yaml": "before", "left.py": ""}, None)
    folder = ground.folder / "managers" / "db"
    folder.chmod(0o777)
    ground.make_member("db", {"patroni.yaml": "now"}, None)
    assert [(each.name, each.read_text()) for each in folder.iterdir()] == [("patroni.yaml", "now")]
    assert (folder.stat().st_mode & 0o777, folder.parent.stat().st_mode & 0o777) == (0o700, 0o711)


def test_members_that_are_up_are_told_all_that_they_go_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings too, and each of them: a server that a setting waits for is started anew by its own manager."""
    told: list[tuple[str, dict[str, Any]]] = []

    def settle(url: str, login: tuple[str, str] | None, wanted: dict[str, Any]) -> None:
        assert login == ("manager", WIDE_LAYOUT.passwords["db-us-west/manager"])
        told.append((url, wanted))
        raise TargetError("it does not answer yet", "wait")

    monkeypatch.setattr(patroni, "settle", settle)
    ((database, failover),) = WIDE.failing_over()
    patroni.agree(WIDE, database, failover, WIDE_LAYOUT)
    assert [url for url, _ in told] == [WIDE_LAYOUT.url(f"{each}:manager") for each in failover.members]
    for _, wanted in told:
        assert wanted == patroni.agreed(database, failover, merging=True)
        assert wanted["postgresql"]["parameters"].items() >= database.settings.items()


def test_dns_is_told_of_the_regions_in_their_order_and_looks_at_them_as_clients_come() -> None:
    files = render.resolver(WIDE, WIDE_LAYOUT)
    assert set(files) == {"config", "zones/meetings.test"}
    port = WIDE_LAYOUT.ports["client-to-us-east"]
    assert f"port => {port}," in files["config"]
    assert "datacenters => [ us-east, us-west, eu-west ]" in files["config"]
    assert "us-west => 127.0.2.1" in files["config"]
    assert "url_path => /serves," in files["config"]
    held = stack(WIDE, WIDE_LAYOUT).spec.resolver.gdnsd  # type: ignore[union-attr]
    assert held
    folder = {
        name: str(WIDE_LAYOUT.folder / getattr(held, name).rpartition("/")[0]) for name in ("admin_state", "control")
    }
    assert f"state_dir => {folder['admin_state']}," in files["config"]
    assert f"run_dir => {folder['control']}," in files["config"]
    assert "@ 1 DYNA geoip!ways" in files["zones/meetings.test"]
    assert render.resolver(VALUES, LAYOUT) == {}
