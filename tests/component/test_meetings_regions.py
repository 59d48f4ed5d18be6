"""Two regions of the meetings service, each with its own PostgreSQL, that take over what the other one wrote through a link."""

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from aftershock.adapters.toxiproxy import Proxy, Server
from aftershock.stacks import postgres
from meetings_server import Postgres, Service, running_postgres, running_service, wait_until

STATEMENTS = (
    "CREATE ROLE app LOGIN PASSWORD 'app';\n\n"
    "GRANT pg_create_subscription TO app;\n\n"
    "CREATE ROLE replication LOGIN REPLICATION PASSWORD 'copy';\n\n"
    "CREATE DATABASE meetings OWNER app;\n\n"
)
SETTINGS = {"wal_level": "logical", "wal_retrieve_retry_interval": "500ms"}
REGIONS = ("east", "west")
Version = tuple[str, str]


@dataclass(frozen=True)
class Region:
    name: str
    database: Postgres
    service: Service

    def put(self, key: str, text: str) -> Version:
        """Replace a note through the service; return its key and the version that it is."""
        assert self.service.ask("PUT", f"/notes/{key}", {"text": text})[0] == 200
        ((version,),) = self.database.ask(f"SELECT version(written, region) FROM notes WHERE id = '{key}'")
        return key, version

    def rows(self) -> list[tuple[Any, ...]]:
        return self.database.ask("SELECT id, text, written, region FROM notes ORDER BY id")

    def losers(self) -> set[Version]:
        status, told = self.service.ask("GET", "/conflicts")
        assert status == 200
        return {(each["key"], each["loser"]) for each in told}


@dataclass(frozen=True)
class Both:
    east: Region
    west: Region
    toxiproxy: Server

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Cut both links, and mend them."""
        for name in REGIONS:
            self.toxiproxy.disable(name)
        yield
        for name in REGIONS:
            self.toxiproxy.enable(name)

    def settle(self) -> None:
        """Wait until each has the newest of the other."""
        marks = [one.put(f"mark-{one.name}", str(time.time_ns()))[1] for one in (self.east, self.west)]
        seen = f"SELECT count(*) FROM notes WHERE version(written, region) IN ('{marks[0]}', '{marks[1]}')"
        wait_until(lambda: all(one.database.ask(seen) == [(2,)] for one in (self.east, self.west)), 30)


@pytest.fixture(scope="module")
def both(toxiproxy_url: str) -> Iterator[Both]:
    with ExitStack() as stack:
        toxiproxy = stack.enter_context(Server("main", toxiproxy_url))
        databases = {name: stack.enter_context(running_postgres(STATEMENTS, **SETTINGS)) for name in REGIONS}
        doors = {}
        for name, database in databases.items():
            made = toxiproxy.create(Proxy(name, "127.0.0.1:0", f"127.0.0.1:{database.port}"))
            listen = made.listen if isinstance(made, Proxy) else toxiproxy.proxies()[name].listen
            doors[name] = postgres.dsn(int(listen.rpartition(":")[2]), "replication", "copy", "meetings")
        others = {"east": "west", "west": "east"}
        starting: dict[str, Service] = {}
        for number, name in enumerate(REGIONS):
            switches = {
                "REGION": name, "REGION_NUMBER": str(number), "REGIONS": "2", "PEER_DSN": doors[others[name]],
            }  # fmt: skip
            starting[name] = stack.enter_context(running_service(databases[name].app, ready=False, **switches))
        for service in starting.values():
            wait_until(lambda service=service: service.status("GET", "/readyz") == 200)  # type: ignore[misc]
        east, west = (Region(name, databases[name], starting[name]) for name in REGIONS)
        yield Both(east, west, toxiproxy)
        for name in REGIONS:
            toxiproxy.delete(name)


def test_each_has_what_the_other_wrote_and_their_numbers_are_apart(both: Both) -> None:
    made = [one.service.ask("POST", "/meetings", {"title": one.name})[1]["id"] for one in (both.east, both.west) * 3]
    assert len(set(made)) == 6
    assert {number % 2 for number in made[0::2]} == {0}
    assert {number % 2 for number in made[1::2]} == {1}
    assert both.west.service.ask("POST", f"/meetings/{made[1]}/join", {"name": "ada"})[0] == 200
    for here in (both.east, both.west):
        wait_until(lambda here=here: {one["id"] for one in here.service.ask("GET", "/meetings")[1]} >= set(made))  # type: ignore[misc]
    assert both.east.service.ask("POST", "/notes", {"id": "n", "text": "x"})[0] == 201
    wait_until(lambda: both.west.service.ask("GET", "/notes/n") == (200, {"id": "n", "text": "x"}))
    assert both.east.losers() == both.west.losers() == set()


def test_every_planted_loser_is_counted_once_and_both_come_to_the_same(both: Both) -> None:
    """Some keys were there before, some come up on both sides; one side writes often, one replaces what it wrote itself."""
    seed = int(os.environ.get("AFTERSHOCK_SEED", time.time_ns() % 2**32))
    print(f"AFTERSHOCK_SEED={seed}")
    chance = random.Random(seed)
    for number in range(20):
        chance.choice([both.east, both.west]).put(f"n{number}", "before")
    both.settle()
    losers = both.east.losers()
    with both.cut():
        for number in range(60):
            first, second = chance.sample([both.east, both.west], 2)
            loser = [first.put(f"n{number}", f"first {n}") for n in range(chance.choice([1, 1, 3]))][-1]
            for n in range(chance.choice([1, 2])):
                second.put(f"n{number}", f"second {n}")
            losers.add(loser)
        for number in range(20):  # west writes between two writes of east, and loses against the second
            both.east.put(f"between{number}", "1")
            losers.add(both.west.put(f"between{number}", "2"))
            both.east.put(f"between{number}", "3")
        for one in (both.east, both.west):  # nobody's conflict
            for number in range(20):
                one.put(f"{one.name}{number}", "alone")
                one.put(f"{one.name}{number}", "again")
        assert both.east.rows() != both.west.rows()
    both.settle()
    assert both.east.rows() == both.west.rows()
    assert both.east.losers() == both.west.losers() == losers


def test_what_both_write_at_once_comes_to_the_same(both: Both) -> None:
    before, over = both.east.losers(), time.monotonic() + 3
    failed: list[BaseException] = []

    def write(one: Region) -> Callable[[], None]:
        def go() -> None:
            try:
                number = 0
                while time.monotonic() < over:
                    number += 1
                    assert one.service.ask("PUT", f"/notes/hot{number % 5}", {"text": f"{one.name} {number}"})[0] == 200
            except BaseException as error:
                failed.append(error)
                raise

        return go

    writers = [threading.Thread(target=write(one)) for one in (both.east, both.west) for _ in range(2)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    assert not failed
    both.settle()
    assert both.east.rows() == both.west.rows()
    assert both.east.losers() == both.west.losers()
    assert both.east.losers() > before, "none at all would be no test"


def test_nothing_acknowledged_is_lost_while_they_are_cut_from_each_other(both: Both) -> None:
    before = both.east.losers()
    with both.cut():
        for number in range(100):
            for one in (both.east, both.west):
                assert one.service.ask("POST", "/notes", {"id": f"{one.name}-{number}", "text": "x"})[0] == 201
    wanted = {f"{name}-{number}" for name in REGIONS for number in range(100)}
    for one in (both.east, both.west):
        wait_until(lambda one=one: set(one.service.ask("GET", "/notes")[1]) >= wanted, 30)  # type: ignore[misc]
        assert one.losers() == before


def test_a_service_with_one_region_has_no_conflicts() -> None:
    with running_postgres() as database, running_service(database.app) as service:
        assert service.ask("GET", "/conflicts")[0] == 404
        assert service.ask("GET", "/hears")[0] == 404
        assert service.ask("PUT", "/notes/a", {"text": "x"})[0] == 200
        assert service.ask("PUT", "/notes/a", {"text": "y"})[0] == 200
        assert service.ask("GET", "/notes/a") == (200, {"id": "a", "text": "y"})
        assert service.ask("PUT", "/notes/a", {})[0] == 400
