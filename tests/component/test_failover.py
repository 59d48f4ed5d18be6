"""A database that fails over, real: two servers under Patroni, etcd, HAProxy before them, in the stack of era 1m. One is lost
under load, with and without synchronous replication, and what that costs is measured.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aftershock.adapters import etcd, patroni, secrets
from aftershock.core.history import SLICE, Healed, Injected, Ledgered, Observed, Slice
from aftershock.core.verdict import Verdict
from aftershock.errors import TargetError
from aftershock.faults.failover import unwilling
from aftershock.model.stack import Failover
from aftershock.stacks import local, processes
from aftershock.stacks.account import unprivileged
from aftershock.stacks.layout import MANAGER
from aftershock.stacks.patroni import lent
from aftershock.stacks.place import read_record
from component.conftest import until
from component.test_stack_1m import Wide
from component.test_stacks_local import quiet
from own_home import own_home
from whole_runs import Done, document, going, type_in

from aftershock.adapters import supervisor  # isort: skip

RUNS = 20 if os.environ.get("AFTERSHOCK_SOAK") else 1
DATABASE = "db-us-west"
WHOLE = 90.0
"""Seconds in which a server that was lost has to follow the other one again, and to have what another region goes by."""
LEASE = 15.0
"""Seconds: the lease of who takes the writes lives for 20 and is renewed each second, on a busy machine less often."""


class Pair(Wide):
    """The stack, and the pair in it."""

    @property
    def failover(self) -> Failover:
        (found,) = [each.failover for each in self.spec.spec.databases if each.name == DATABASE]
        assert found is not None
        return found

    @property
    def url(self) -> str:
        """Of a manager that answers."""
        first, second = (each.url for each in self.failover.members)
        return first if self._answers(first) else second

    @property
    def login(self) -> tuple[str, str]:
        """Whom the managers obey."""
        words = read_record(self.file.parent / "secrets" / "passwords.json")
        return MANAGER, words[f"{DATABASE}/{MANAGER}"]

    def _answers(self, url: str) -> bool:
        try:
            return bool(patroni.cluster(url).members)
        except TargetError:
            return False

    def leader(self) -> str:
        (name,) = [each.name for each in patroni.cluster(self.url).members if each.role == "leader"]
        return name

    def other(self) -> str:
        (name,) = [each.name for each in self.failover.members if each.name != self.leader()]
        return name

    def ready(self) -> bool:
        """Tell whether the other server would take over now, with what is kept for another region."""
        try:
            if unwilling(patroni.cluster(self.url), patroni.agreed(self.url)):
                return False
            (other,) = [each.observer for each in self.failover.members if each.name == self.other()]
            with psycopg.connect(secrets.read(other, self.file.parent), connect_timeout=2, autocommit=True) as one:
                kept = one.execute(
                    "SELECT count(*) FROM pg_replication_slots WHERE synced AND NOT temporary"
                ).fetchone()
            with psycopg.connect(self._observer(DATABASE), connect_timeout=2, autocommit=True) as one:
                one.execute(
                    "SELECT pg_log_standby_snapshot()"
                )  # so that the other one's copy of the slot gets there soon
        except (TargetError, psycopg.Error, ValueError):
            return False
        return kept == (1,)

    def _observer(self, database: str) -> str:
        (found,) = [each.observer for each in self.spec.spec.databases if each.name == database]
        assert found is not None
        return secrets.read(found, self.file.parent)

    def notes(self, database: str, since: datetime) -> dict[str, tuple[str, str, datetime]]:
        """Return what was written since then, as a database has it: text, region and time by id."""
        login = self._observer(database).replace("dbname=postgres", "dbname=meetings")
        with psycopg.connect(login, connect_timeout=2) as one:
            rows = one.execute("SELECT id, text, region, written FROM notes WHERE written >= %s", (since,)).fetchall()
        return {id_: (text, region, written) for id_, text, region, written in rows}

    def in_step(self, since: datetime) -> bool:
        """Tell whether the regions have the same notes."""
        return self.notes("db-us-east", since) == self.notes(DATABASE, since) == self.notes("db-eu-west", since)

    def synchronous(self, wanted: bool) -> None:
        patroni.tell(self.url, self.login, {"synchronous_mode": wanted})
        until(self.ready, WHOLE)
        assert patroni.agreed(self.url).synchronous == wanted


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with own_home() as home:
        yield Pair(home, local.up("1m", progress=quiet))


@pytest.fixture(autouse=True)
def _whole(pair: Pair) -> Iterator[None]:
    until(pair.ready, WHOLE)
    until(pair.whole, WHOLE)
    yield
    until(pair.ready, WHOLE)


@pytest.fixture
def in_step(pair: Pair) -> Iterator[None]:
    """The regions come to the same rows."""
    since = datetime.now(UTC)
    yield
    until(lambda: pair.in_step(since), WHOLE)


def loss(folder: Path, *others: dict[str, Any], by: str = "kill", at: str = "2s", lasts: str = "30s") -> Path:
    """An experiment in which the server that takes us-west's writes is lost."""
    spec = {
        "stack": "meetings-1m",
        "eras": ["10m"],
        "baseline": {"for": "2s"},
        "timeline": [
            *others,
            {"at": at, "for": lasts, "fault": "db-primary-loss", "target": DATABASE, "with": {"by": by}},
        ],
        "recovery": {"watch": "60s", "steady": "3s"},
    }
    return document(folder, "Experiment", "failing-over", spec)


def run(pair: Pair, experiment: Path) -> Done:
    """Regions that don't come together are waited for before that is said: longer than an ordinary run takes to end."""
    with going(["run", experiment, "--stack", pair.file, "--json"], pair.home) as one:
        for ledger in ("us-west-writes", "conflicting-writes"):
            one.until(Ledgered, lambda read, name=ledger: read.indicator == name)  # type: ignore[misc]
        return one.wait()


def landed(done: Done) -> bool:
    """Tell whether it was there and is gone; how clients elsewhere fared depends on the machine, and is no matter here."""
    return all(done.condition(kind).status == "True" for kind in ("FaultLanded", "CleanedUp"))


def taken_over(done: Done, killed: float) -> float:
    """Return when a write was acknowledged again, in run seconds. Not since when all were: a busy machine misses one later."""
    slices = [each for each in done.history.all(Slice) if each.indicator == "us-west-writes"]
    return min(each.n * SLICE for each in slices if each.good and each.n * SLICE > killed + 1)


def west(done: Done) -> Ledgered:
    (found,) = [each for each in done.report.ledgers if each.indicator == "us-west-writes"]
    assert found.read
    return found


@pytest.mark.usefixtures("in_step")
@pytest.mark.parametrize("number", range(RUNS))
@pytest.mark.parametrize("synchronous", [False, True], ids=["asynchronous", "synchronous"])
def test_another_server_takes_over_when_one_is_killed(
    pair: Pair, tmp_path: Path, synchronous: bool, number: int
) -> None:
    pair.synchronous(synchronous)
    before = pair.leader()
    done = run(pair, loss(tmp_path))
    assert landed(done)
    assert pair.leader() != before
    killed, healed = done.history.all(Injected)[-1].at, done.history.all(Healed)[-1].at
    again = taken_over(done, killed)
    told = west(done)
    print(
        f"run {number}: again after {again - killed:.1f} s, {told.lost_count} of {told.acknowledged} acknowledged writes lost"
    )
    assert again - killed > LEASE
    assert again < healed, "not the server that came back, but the other one"
    if synchronous:
        assert told.lost_count == 0


def cut_off(pair: Pair) -> dict[str, Any]:
    """The other server gets nothing any more, a second before the first one is lost."""
    ends = (pair.other(), pair.leader())
    (link,) = [each.name for each in pair.spec.spec.links if (each.from_, each.to) == ends]
    return {"at": "2s", "for": "31s", "fault": "link-down", "target": link}


def test_what_the_other_server_never_got_is_lost_where_writes_do_not_wait_for_it(pair: Pair, tmp_path: Path) -> None:
    """What is acknowledged in between is lost, and nothing else; us-west also misses what us-east gave it meanwhile."""
    pair.synchronous(False)
    began = datetime.now(UTC)
    done = run(pair, loss(tmp_path, cut_off(pair), at="3s"))
    assert landed(done)
    told = west(done)
    cut_at, killed_at = sorted(each.at for each in done.history.all(Injected))
    assert told.lost_count > 0
    assert told.oldest_lost is not None
    assert told.newest_lost is not None
    assert cut_at - 1 < told.oldest_lost <= told.newest_lost < killed_at + 1
    until(pair.ready, WHOLE)
    east, here = pair.notes("db-us-east", began), pair.notes(DATABASE, began)
    until(lambda: set(pair.notes(DATABASE, began)) <= set(pair.notes("db-us-east", began)), WHOLE)
    missed = [east[id_] for id_ in set(east) - set(here)]
    assert {region for _, region, _ in missed} == {"us-east"}, "what us-west lost itself was never sent to us-east"
    times = [written for _, _, written in missed]
    assert max(times) - min(times) < timedelta(seconds=killed_at - cut_at + 2)


def refused(pair: Pair, experiment: Path) -> Done:
    """Run what is refused: its ledgers may never be read."""
    with going(["run", experiment, "--stack", pair.file, "--json"], pair.home) as one:
        return one.wait()


def test_nobody_takes_over_who_lacks_what_was_acknowledged_where_writes_wait(pair: Pair, tmp_path: Path) -> None:
    """Patroni lets the other server go before the first one is lost: the loss is refused, as it would be no failover."""
    pair.synchronous(True)
    done = refused(pair, loss(tmp_path, cut_off(pair), at="6s"))
    assert "is not synchronous, and only such a one may" in done.said
    assert [each.injection for each in done.history.all(Injected)] == [0], "the link alone"
    assert done.condition("CleanedUp").status == "True"
    assert west(done).lost_count == 0


def test_a_server_comes_back_by_itself_when_the_executor_is_killed(pair: Pair, tmp_path: Path) -> None:
    with going(["run", loss(tmp_path, lasts="8s"), "--stack", pair.file, "--json"], pair.home) as one:
        one.until(Observed, lambda seen: seen.when == "during" and seen.holds)
        one.signal(signal.SIGKILL)
        until(pair.ready, WHOLE)


@pytest.mark.usefixtures("in_step")
@pytest.mark.parametrize("by", ["pause", "partition"])
def test_a_server_that_is_silent_or_cut_off_is_replaced_and_steps_down(pair: Pair, tmp_path: Path, by: str) -> None:
    before = pair.leader()
    done = run(pair, loss(tmp_path, by=by))
    assert landed(done)
    assert pair.leader() != before


@pytest.mark.usefixtures("in_step")
def test_a_region_whose_databases_are_lost_loses_both_servers_and_gets_them_back(pair: Pair, tmp_path: Path) -> None:
    spec = {
        "stack": "meetings-1m",
        "eras": ["10m"],
        "baseline": {"for": "1s"},
        "timeline": [{"for": "6s", "fault": "region-loss", "target": "us-west", "with": {"by": "databases"}}],
        "recovery": {"watch": "60s", "steady": "3s"},
    }
    with going(
        ["run", document(tmp_path, "Experiment", "both", spec), "--stack", pair.file, "--json"], pair.home
    ) as one:
        seen = one.until(Observed, lambda each: each.when == "during" and each.holds)
        done = one.wait()
    assert all(each.name in seen.saw for each in pair.failover.members)
    assert landed(done)


def test_a_manager_that_would_do_nothing_is_a_reason_to_refuse(pair: Pair, tmp_path: Path) -> None:
    experiment = loss(tmp_path)
    set_pause(pair, paused=True)
    try:
        planned = type_in(pair.home, "plan", experiment, "--stack", pair.file)
        assert planned.code == 4
        assert "the failover manager of db-us-west would do nothing: it is paused" in planned.said
        done = refused(pair, experiment)
        assert "it is paused" in done.said
        assert done.history.all(Injected) == []
        assert done.verdict[0] == Verdict.ERROR
    finally:
        set_pause(pair, paused=False)


def set_pause(pair: Pair, *, paused: bool) -> None:
    patroni.tell(pair.url, pair.login, {"pause": paused or None})
    until(lambda: patroni.cluster(pair.url).pause is paused)


def test_the_managers_take_no_orders_from_whoever_comes_along(pair: Pair) -> None:
    """What they are told becomes a setting of the server, and some settings are commands that it runs."""
    for each in pair.failover.members:
        before = patroni.agreed(each.url)
        for login in (None, (MANAGER, "guessed")):
            with pytest.raises(TargetError, match="doesn't obey"):
                patroni.tell(each.url, login, {"maximum_lag_on_failover": 1})
        assert patroni.agreed(each.url) == before


def test_the_store_takes_no_orders_from_whoever_comes_along(pair: Pair) -> None:
    """Neither at its own port nor through a link: what lies in it becomes a setting as well."""
    ports = read_record(pair.file.parent / "record.json")["ports"]
    for way in ("etcd-us-west", "us-west-a-to-etcd", "us-west-b-to-etcd"):
        with pytest.raises(TargetError, match="answers with 400"):
            etcd.value("127.0.0.1", ports[way], f"/service/{DATABASE}/config")


def test_a_server_can_do_nothing_that_its_account_cannot(pair: Pair) -> None:
    """What may be lent to Patroni, so that it can read our Python, is no server's, nor that of a command that one runs."""
    servers = [each for each in processes.of(pair.file.parent) if each.is_postmaster]
    assert len(servers) == 4
    for each in servers:
        status = Path(f"/proc/{each.pid}/status").read_text()
        assert [int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("CapEff", "CapAmb"))] == [
            0,
            0,
        ]


@pytest.mark.skipif(os.geteuid() != 0, reason="servers have an account of their own under root only")
def test_the_servers_account_cannot_write_what_it_is_lent_a_right_for(pair: Pair) -> None:
    account = unprivileged()
    before, _ = lent(sys.executable, account)
    for each in pair.failover.members:
        folder = pair.file.parent / "managers" / each.name
        owners = {path.stat().st_uid for path in (folder, *folder.iterdir())}
        assert account
        assert owners == {0 if before else account.uid}
        assert all(path.stat().st_mode & 0o077 == 0 for path in (folder, *folder.iterdir())), "passwords are in there"
        assert folder.parent.stat().st_uid == 0


def test_what_cannot_be_asked_is_a_note_and_a_server_that_is_down_a_reason(pair: Pair, tmp_path: Path) -> None:
    experiment, other = loss(tmp_path), pair.other()
    supervisor.stop(pair.control(other))
    try:
        until(lambda: unwilling(patroni.cluster(pair.url), patroni.agreed(pair.url)), WHOLE)
        planned = type_in(pair.home, "plan", experiment, "--stack", pair.file)
        assert planned.code == 4
        assert "would do nothing" in planned.said
    finally:
        supervisor.start(pair.control(other))


def test_it_comes_up_again_when_everything_was_killed_at_once(pair: Pair) -> None:
    """The server that took the writes gives way to the other one, and has what it kept for another region in the way."""
    until(pair.ready, WHOLE)
    folder = pair.file.parent
    for each in sorted(processes.of(folder), key=lambda one: not one.is_supervisor):
        with suppress(ProcessLookupError):
            os.kill(each.pid, signal.SIGKILL)
    assert local.up("1m", progress=quiet) == pair.file
    assert pair.ready()
