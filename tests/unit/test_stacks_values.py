"""What an era's stack is made of: read strictly, with the line of every contradiction."""

from pathlib import Path

import pytest

from aftershock.adapters import catalog
from aftershock.errors import InputError
from aftershock.stacks import values

ORIGINAL = (catalog.data() / "charts" / "era-stack" / "values-1k.yaml").read_text()


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
    assert values.fill("http://a/a/{id}?a=//a", {"a": "h:1"}) == "http://h:1/a/{id}?a=//a"
    assert values.fill("http://b/a", {"a": "h:1"}) == "http://b/a"
