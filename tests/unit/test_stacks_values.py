"""What an era's stack is made of: read strictly, with the line of every contradiction."""

from pathlib import Path

import pytest

from aftershock.adapters import catalog
from aftershock.errors import InputError
from aftershock.stacks import parts, values

ORIGINAL = (catalog.data() / "charts" / "era-stack" / "values-1k.yaml").read_text()


WIDE = (catalog.data() / "charts" / "era-stack" / "values-1m.yaml").read_text()
LATER = (catalog.data() / "charts" / "era-stack" / "values-10k.yaml").read_text()


def read(tmp_path: Path, text: str) -> values.Values:
    path = tmp_path / "values-test.yaml"
    path.write_text(text)
    return values.read(path)


def test_1k_is_as_history_has_it() -> None:
    stack = values.load("1k")
    database, service = stack.databases[0], stack.services[0]
    slots = int(database.settings["max_connections"]) - int(database.settings["superuser_reserved_connections"])
    assert slots == 57
    assert (service.env["POOL_SIZE"], service.env["RATE_LIMIT"]) == ("0", "0")
    assert [each.name for each in stack.indicators] == ["meeting-success", "join", "acknowledged-writes"]
    assert stack.indicators[1].timeout == 10  # the era's bound: a shorter timeout could not tell


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("to: primary", "to: primery", "links[1].to: `primery` is not there; did you mean `primary`?"),
        ("toxiproxy: main, from: client", "toxiproxy: mein, from: client", "links[0].toxiproxy: `mein` is not there"),
        ("from: client", "from: moon", "links[0].from: `moon` is not there"),
        ("database: app-to-primary", "database: client-to-app", "services[0].database"),
        (
            "env: POOL_SIZE",
            "env: POOLSIZE",
            "settings[0].env: `app` has no switch `POOLSIZE`; did you mean `POOL_SIZE`?",
        ),
        ("http://client-to-app/meetings/1", "http://app-to-primary/meetings/1", "indicators[1].http.url"),
        ('write: "http://client-to-app', 'write: "http://client', "indicators[2].ledger.write"),
        ("- {name: main}", "- {name: app}", "services[0].name: `app` is taken"),
        ("- {name: main}", "- {name: client}", "toxiproxies[0].name: `client` is taken"),
        ("work_mem: 1MB", "port: '1'", "databases[0].settings.port"),
        ("engine: postgresql", "engine: mysql", "databases[0].engine"),
        ("program: meetings", "program: rm", "services[0].program"),
        ("era: 1k", "eras: 1k", "eras: unknown field; did you mean `era`?"),
        ("every: 100ms", "every: 100", "indicators[0].every"),
        ("era: 1k", "era: 1k\nera: 1k", "era"),
    ],
)
def test_each_mistake_is_named_with_file_and_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in ORIGINAL
    with pytest.raises(InputError) as refused:
        read(tmp_path, ORIGINAL.replace(old, new, 1))
    line = next(line for line in str(refused.value).splitlines() if said in line)
    assert line.startswith(f"{tmp_path}/values-test.yaml:")


def test_an_era_without_a_stack_is_told_which_there_are() -> None:
    with pytest.raises(InputError) as refused:
        values.load("2k")
    assert "1k" in refused.value.advice


def test_a_file_that_is_not_there_or_empty(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        values.read(tmp_path / "none.yaml")
    with pytest.raises(InputError):
        read(tmp_path, "")


def test_only_the_host_of_an_url_is_filled_in() -> None:
    assert parts.fill("http://a/a/{id}?a=//a", {"a": "h:1"}) == "http://h:1/a/{id}?a=//a"
    assert parts.fill("http://b/a", {"a": "h:1"}) == "http://b/a"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("of: primary", "of: replica", "databases[1].of: `replica` is no primary; use `primary`"),
        ("  of: primary\n", "", "databases[1].of: missing for a replica"),
        ("through: replication", "through: app-1-to-replica", "databases[1].through: `app-1-to-replica` is no link to"),
        ("  through: replication", "  settings: {primary_slot_name: x}", "databases[1].through: missing for a replica"),
        (
            "replica: app-1-to-replica",
            "replica: app-1-to-primary",
            "services[0].replica: `app-1-to-primary` is no link to a",
        ),
        (
            "cache: app-1-to-cache",
            "cache: app-1-to-primary",
            "services[0].cache: `app-1-to-primary` is no link to a cache",
        ),
        ("[gateway-to-app-1,", "[app-1-to-primary,", "gateways[0].to[0]: `app-1-to-primary` is no link to a service"),
        ("to: [gateway-to-app-1, gateway-to-app-2]", "to: []", "gateways[0].to: leads nowhere"),
        ("health: /healthz", "health: healthz", "gateways[0].health: found 'healthz'"),
        ("every: 500ms", "every: soon", "gateways[0].every: found 'soon'"),
        ("{maxmemory: 64mb,", "{port: '1',", "caches[0].settings.port"),
        ("database: meetings\n", "database: ''\n", "databases[0].database: missing for a primary"),
        (
            'read: "http://client-to-gateway/notes/{id}',
            'read: "http://client/notes/{id}',
            "indicators[3].readYourWrites.read",
        ),
    ],
)
def test_each_mistake_in_10k_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in LATER
    with pytest.raises(InputError) as refused:
        read(tmp_path, LATER.replace(old, new, 1))
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "region: us-east\n",
            "region: us-eas\n",
            "databases[0].region: `us-eas` is not there; did you mean `us-east`?",
        ),
        (
            "merges: db-us-west",
            "merges: db-eu-west",
            "databases[0].merges: `db-eu-west` does not merge with `db-us-east`",
        ),
        (
            "through: us-east-from-us-west",
            "through: us-west-from-us-east",
            "databases[0].through: `us-west-from-us-east` is",
        ),
        ("    wal_level: logical\n", "", "databases[0].settings: no `wal_level: logical`"),
        (
            "to: [client-to-us-east,",
            "to: [us-east-app-to-db,",
            "resolver.to[0]: `us-east-app-to-db` is no link that clients",
        ),
        (
            "to: [client-to-us-east,",
            "to: [client-to-us-west,",
            "resolver.to[1]: does not lead into a region of its own",
        ),
        (
            "follows: [us-east-cache-from-us-west,",
            "follows: [us-east-app-to-cache,",
            "services[0].follows[0]: `us-east-app-to-cache` is no link to a cache of another region",
        ),
        (
            "follows: [us-east-cache-from-us-west,",
            "follows: [us-east-cache-from-eu-west,",
            "services[0].follows[1]: `eu-west` is followed already",
        ),
        ("  cache: us-east-app-to-cache\n", "", "services[0].follows: found on a service without a cache"),
        ("zone: meetings.test", "zone: a zone", "resolver.zone: found 'a zone'"),
        ("program: gdnsd", "program: bind", "resolver.program"),
        ("name: dns", "name: main", "resolver.name: `main` is taken"),
        (
            'http://meetings.test/meetings"',
            'http://meetings.tset/meetings"',
            "indicators[0].http.url: `meetings.tset` is no",
        ),
    ],
)
def test_each_mistake_in_1m_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    original = next(path for path in catalog.values() if path.stem == "values-1m").read_text()
    assert old in original
    with pytest.raises(InputError) as refused:
        read(tmp_path, original.replace(old, new, 1))
    assert said in str(refused.value)


def test_a_switch_is_set_by_its_name_at_one_service_and_by_its_variable_at_all() -> None:
    all_of_them = values.load("10k", {"READS": "split"}).services
    assert [each.env["READS"] for each in all_of_them] == ["split", "split"]
    one = values.load("10k", {"app-2-reads": "split"}).services
    assert [each.env["READS"] for each in one] == ["replica", "split"]
    with pytest.raises(InputError) as refused:
        values.load("10k", {"REEDS": "split"})
    assert "did you mean `READS`?" in refused.value.advice


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "store: etcd-us-west",
            "store: etcd",
            "databases[1].failover.store: `etcd` is not there",
        ),
        ("[db-us-west-a, db-us-west-b]", "[db-us-west-a]", "databases[1].failover.members: found 1"),
        ("[db-us-west-a, db-us-west-b]", "[db-us-west-a, dns]", "`dns` is taken"),
        ("manager: patroni", "manager: repmgr", "databases[1].failover.manager"),
        ('SYNCHRONOUS: "off"', 'SYNCHRONOUS: "maybe"', "databases[1].failover.env.SYNCHRONOUS: found 'maybe'"),
        ("of: db-us-east", "of: db-us-west", "databases[1].failover: another database follows this one"),
        ("program: etcd, region: us-west", "program: etcd, region: mars", "stores[0].region: `mars` is not there"),
        ("env: SYNCHRONOUS", "env: SYNCHRONOS", "`db-us-west` has no switch `SYNCHRONOS`; did you mean `SYNCHRONOUS`?"),
        ('max_connections: "100"', 'synchronized_standby_slots: "x"', "is not to be chosen"),
    ],
)
def test_each_mistake_in_what_fails_over_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in WIDE
    with pytest.raises(InputError) as refused:
        read(tmp_path, WIDE.replace(old, new, 1))
    assert said in str(refused.value)


def test_whether_writes_wait_for_the_other_server_is_a_switch() -> None:
    for switched, wanted in ({}, False), ({"SYNCHRONOUS": "on"}, True), ({"us-west-synchronous": "on"}, True):
        ((_, failover),) = values.load("1m", switched).failing_over()
        assert failover.synchronous is wanted
