"""The stack of era 1m, real: three regions, DNS that leads to one that is well, two databases that both take writes."""

import json
import signal
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from aftershock.adapters.toxiproxy import Server
from aftershock.core.history import Observed
from aftershock.core.verdict import Verdict
from aftershock.model.stack import Stack, SupervisorControl
from aftershock.probes.names import resolve_at
from aftershock.runtime import loading
from aftershock.stacks import local
from aftershock.stacks.place import read_record
from component.conftest import until
from component.test_stacks_local import quiet
from own_home import own_home
from whole_runs import document, going

from aftershock.adapters import supervisor  # isort: skip

EAST, WEST = "127.0.1.1", "127.0.2.1"
NOTICED = 10.0
"""Seconds in which DNS has to have noticed: it looks every two, and its answers live for one."""


class Wide:
    """A stack of era 1m that is up."""

    def __init__(self, home: Path, file: Path) -> None:
        self.home, self.file = home, file
        self.spec: Stack = loading.stack_from(file)
        self.port = int(read_record(file.parent / "record.json")["ports"]["client-to-us-east"])

    def led_to(self) -> str:
        assert self.spec.spec.resolver
        ((_, address),), lives = resolve_at(self.spec.spec.resolver.address, "meetings.test", self.port)
        assert lives == 1
        return address[0]

    def control(self, part: str) -> SupervisorControl:
        (found,) = [each.supervisor for each in self.spec.spec.workloads if each.name == part]
        assert found is not None
        return found

    def ask(self, host: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        line = HTTPConnection(host, self.port, timeout=5)
        try:
            line.request(method, path, None if body is None else json.dumps(body))
            answer = line.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            line.close()

    def note(self, host: str, id_: str) -> str | None:
        status, told = self.ask(host, "GET", f"/notes/{id_}")
        return str(told["text"]) if status == 200 else None

    def whole(self) -> bool:
        """Tell whether clients are led to the first region, and find the others well."""
        try:
            return self.led_to() == EAST and all(
                self.ask(f"127.0.{n}.1", "GET", "/readyz")[0] == 200 for n in (1, 2, 3)
            )
        except (OSError, ValueError):
            return False


@pytest.fixture(scope="module")
def wide() -> Iterator[Wide]:
    with own_home() as home:
        yield Wide(home, local.up("1m", progress=quiet))


@pytest.fixture(autouse=True)
def _whole(wide: Wide) -> Iterator[None]:
    until(wide.whole, 30)
    yield
    until(wide.whole, 30)


def test_it_is_up_with_every_part(wide: Wide) -> None:
    parts = local.status("1m")
    assert [each for each in parts if not each.up] == []
    assert {"dns", "client-to-eu-west", "db-us-west", "cache-eu-west"} <= {each.name for each in parts}
    told: list[str] = []
    assert local.up("1m", progress=told.append) == wide.file
    assert told == ["meetings-1m is up already"]


def test_dns_leads_elsewhere_while_a_region_cannot_serve_and_back_again(wide: Wide) -> None:
    for part in ("db-us-east", "gateway-us-east"):
        supervisor.stop(wide.control(part))
        try:
            until(lambda: wide.led_to() == WEST, NOTICED)
        finally:
            supervisor.start(wide.control(part))
        until(lambda: wide.led_to() == EAST, NOTICED)


def test_a_cache_that_is_away_leads_nobody_elsewhere(wide: Wide) -> None:
    supervisor.stop(wide.control("cache-us-east"))
    try:
        until(lambda: wide.ask(EAST, "GET", "/readyz")[0] == 503)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            assert wide.led_to() == EAST
            time.sleep(0.2)
        assert wide.ask(EAST, "GET", "/meetings")[0] == 200
    finally:
        supervisor.start(wide.control("cache-us-east"))


def test_what_is_written_in_one_region_is_in_all(wide: Wide) -> None:
    made = {}
    for number, host in enumerate((EAST, WEST)):
        made[host] = wide.ask(host, "POST", "/meetings", {"title": host})[1]["id"]
        assert wide.ask(host, "POST", "/notes", {"id": f"in-{number}", "text": host})[0] == 201
    assert made[EAST] % 2 != made[WEST] % 2
    for host in (EAST, WEST, "127.0.3.1"):
        for number, text in enumerate((EAST, WEST)):
            until(lambda at=host, id_=number, text=text: wide.note(at, f"in-{id_}") == text)  # type: ignore[misc]
    assert wide.ask(EAST, "GET", "/conflicts") == wide.ask(WEST, "GET", "/conflicts")


def test_what_is_replaced_in_one_region_is_not_answered_from_the_caches_of_the_others(wide: Wide) -> None:
    """Sooner than a minute, for which a note is kept; and as soon as nobody stands between them again."""
    link = "us-east-cache-from-us-west"
    with Server("main", wide.spec.spec.toxiproxies[0].url) as toxiproxy:
        assert wide.ask(EAST, "PUT", "/notes/kept", {"text": "1"})[0] == 200
        for host in (EAST, WEST, "127.0.3.1"):
            until(lambda at=host: wide.ask(at, "GET", "/hears")[0] == 200)  # type: ignore[misc]
            until(lambda at=host: wide.note(at, "kept") == "1")  # type: ignore[misc]
        assert wide.ask(WEST, "PUT", "/notes/kept", {"text": "2"})[0] == 200
        for host in (EAST, WEST, "127.0.3.1"):
            until(lambda at=host: wide.note(at, "kept") == "2")  # type: ignore[misc]
        toxiproxy.disable(link)
        try:
            until(lambda: wide.ask(EAST, "GET", "/hears") == (503, {"error": "not heard of: us-west"}))
            assert wide.ask(EAST, "PUT", "/notes/away", {"text": "1"})[0] == 200
            assert wide.ask(WEST, "PUT", "/notes/away", {"text": "2"})[0] == 200
            assert wide.note(EAST, "away") == "1"
        finally:
            toxiproxy.enable(link)
        until(lambda: wide.note(EAST, "away") == "2")


def held(folder: Path, fault: str, **with_: object) -> Path:
    """An experiment that holds a fault at us-east for eight seconds."""
    spec = {
        "stack": "meetings-1m",
        "eras": ["10m"],
        "expect": [{"indicator": "us-west", "during": "fault", "atLeast": "80%"}],
        "baseline": {"for": "3s"},
        "timeline": [{"at": "1s", "for": "8s", "fault": fault, "target": "us-east", "with": with_}],
        "recovery": {"watch": "60s", "steady": "3s"},
    }
    return document(folder, "Experiment", "held", spec)


def lost(folder: Path, by: str) -> Path:
    return held(folder, "region-loss", by=by)


def split(folder: Path) -> Path:
    return held(folder, "split-brain", **{"from": "us-west"})


def test_what_a_split_costs_is_counted_and_the_log_of_conflicts_says_the_same(wide: Wide, tmp_path: Path) -> None:
    """In each of four rows one side's last write of the split loses."""
    with going(["run", split(tmp_path), "--stack", wide.file, "--json"], wide.home) as run:
        done = run.wait()
    assert done.verdict == (Verdict.PASSED, 0)
    ledgers = {each.indicator: each for each in done.report.ledgers}
    shared = ledgers["conflicting-writes"]
    assert (shared.read, shared.lost_count, shared.disputed) == (True, 4, [])
    logged = {each["lost"] for each in wide.ask(EAST, "GET", "/conflicts")[1]}
    assert {each.id for each in shared.lost} <= logged
    assert ledgers["acknowledged-writes"].lost_count == 0


def test_regions_come_together_by_themselves_when_the_executor_is_killed(wide: Wide, tmp_path: Path) -> None:
    with going(["run", split(tmp_path), "--stack", wide.file, "--json"], wide.home) as run:
        run.until(Observed, lambda seen: seen.when == "during" and seen.holds)
        run.signal(signal.SIGKILL)
        assert wide.ask(EAST, "PUT", "/notes/apart", {"text": "east"})[0] == 200
        assert wide.note(WEST, "apart") is None
        until(lambda: wide.note(WEST, "apart") == "east", 60)


@pytest.mark.parametrize("by", ["everything", "links"])
def test_the_loss_of_a_region_is_over_when_dns_has_noticed(wide: Wide, tmp_path: Path, by: str) -> None:
    with going(["run", lost(tmp_path, by=by), "--stack", wide.file, "--json"], wide.home) as run:
        done = run.wait()
    assert done.verdict == (Verdict.PASSED, 0)
    (bracket,) = [one for one in done.judgement.recovery if one.indicator == "meeting-success"]
    assert bracket.rto is not None
    assert 0 < bracket.rto.high < 7.5, "before the fault is healed"
    ledgers = {each.indicator: each for each in done.report.ledgers}
    assert (ledgers["acknowledged-writes"].read, ledgers["acknowledged-writes"].lost_count) == (True, 0)
    assert (ledgers["conflicting-writes"].read, ledgers["conflicting-writes"].disputed) == (True, [])


def test_a_region_comes_back_by_itself_when_the_executor_is_killed(wide: Wide, tmp_path: Path) -> None:
    with going(["run", lost(tmp_path, by="everything"), "--stack", wide.file, "--json"], wide.home) as run:
        run.until(Observed, lambda seen: seen.when == "during" and seen.holds)
        run.signal(signal.SIGKILL)
        until(wide.whole, 60)
