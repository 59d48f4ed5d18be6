"""The indicator `replicaLag` against a real replica that is held back by a known time."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from aftershock.core.histogram import ERROR, merge, quantile
from aftershock.model.metadata import Secret
from aftershock.model.stack import Database, Indicator, ReplicaLagProbe
from aftershock.model.units import Duration
from aftershock.stacks import postgres
from component.conftest import until
from component.replicated import WORDS, Pods, pair
from planted import Measured, measure, order

HELD = 12.0
SHOWN = 60.0 if os.environ.get("AFTERSHOCK_SOAK") else 6.0
"""Seconds for which the replica is that far behind; before that it falls behind."""


@pytest.fixture(scope="module")
def servers() -> Iterator[Pods]:
    with pair() as made:
        yield made


@contextmanager
def held(servers: Pods, seconds: float) -> Iterator[None]:
    """Have the replica apply what it gets so much after it was committed, by PostgreSQL's own clock."""
    servers.asked("replica", f"ALTER SYSTEM SET recovery_min_apply_delay = '{seconds:.0f}s'")
    servers.asked("replica", "SELECT pg_reload_conf()")
    until(lambda: servers.asked("replica", "SHOW recovery_min_apply_delay") == [(f"{seconds:.0f}s",)])
    try:
        yield
    finally:
        servers.asked("replica", "ALTER SYSTEM RESET recovery_min_apply_delay")
        servers.asked("replica", "SELECT pg_reload_conf()")


@contextmanager
def load(servers: Pods) -> Iterator[None]:
    """Write rows all the time, as fast as one connection does."""
    servers.asked("primary", "CREATE TABLE IF NOT EXISTS load (n int)")
    over = threading.Event()

    def write() -> None:
        login = postgres.dsn(servers.ports["primary"], postgres.SUPERUSER, WORDS["SUPERUSER_PASSWORD"])
        with psycopg.connect(login, autocommit=True) as connection:
            while not over.is_set():
                connection.execute("INSERT INTO load SELECT generate_series(1, 100)")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        over.set()
        writer.join()


def lag_of(servers: Pods, seconds: float, monkeypatch: pytest.MonkeyPatch, below: float | None = None) -> Measured:
    """Measure for so long, each 50 ms."""
    databases = []
    for name, more in (("primary", {}), ("replica", {"role": "replica", "of": "primary"})):
        login = postgres.dsn(servers.ports[name], postgres.SUPERUSER, WORDS["SUPERUSER_PASSWORD"])
        monkeypatch.setenv(f"{name.upper()}_DSN", login)
        databases.append(Database(name=name, dsn=Secret(env=f"{name.upper()}_DSN"), **more))  # type: ignore[arg-type]
    probe = ReplicaLagProbe(database="replica", below=None if below is None else Duration(below))
    wanted = Indicator(name="lag", every=Duration(0.05), timeout=Duration(2), replica_lag=probe)
    return measure(order([wanted], databases=databases), seconds)


def told(measured: Measured, since: float) -> tuple[float, float]:
    """Return the smallest and the largest lag that was measured from a run second on."""
    slices = [each for each in measured.slices() if each.n / 10 >= since]
    lags = merge(each.latency for each in slices)
    low, high = quantile(lags, 0.0), quantile(lags, 1.0)
    assert low is not None
    assert high is not None
    return low, high


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "loaded"])
def test_a_replica_that_is_held_twelve_seconds_behind_is_twelve_seconds_behind(
    servers: Pods, busy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    with held(servers, HELD):
        if busy:
            with load(servers):
                measured = lag_of(servers, HELD + 1 + SHOWN, monkeypatch, below=2.0)
        else:
            measured = lag_of(servers, HELD + 1 + SHOWN, monkeypatch, below=2.0)
    low, high = told(measured, HELD + 1)
    print(f"{low:.2f} s to {high:.2f} s")
    assert HELD - 0.5 <= low <= high <= HELD + 0.5
    shown = [each for each in measured.slices() if each.n / 10 >= HELD + 1]
    assert len(shown) >= (SHOWN - 1) * 10
    assert all(each.bad == {"behind": each.planned} and not each.unsent for each in shown)


def test_an_idle_replica_that_has_caught_up_is_not_behind(servers: Pods, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but the heartbeats has been written for longer than any lag that is looked for."""
    until(lambda: servers.asked("replica", "SHOW recovery_min_apply_delay") == [("0",)])
    wal = "SELECT pg_current_wal_lsn() = replay_lsn FROM pg_stat_replication"
    until(lambda: servers.asked("primary", wal) == [(True,)])
    time.sleep(2)
    measured = lag_of(servers, 3.0, monkeypatch, below=0.5)
    planned, unsent, good, _ = measured.total()
    assert (planned, unsent) == (good, 0)
    low, high = told(measured, 0.0)
    assert low <= 1e-6, "what a look at the last transaction's age would call two seconds"
    assert high < 0.5


def test_what_is_measured_beyond_the_bound_is_told_as_well(servers: Pods, monkeypatch: pytest.MonkeyPatch) -> None:
    """It grows as time passes: what is bad is known by how much."""
    servers.asked("replica", "SELECT pg_wal_replay_pause()")
    try:
        until(lambda: servers.asked("replica", "SELECT pg_get_wal_replay_pause_state()") == [("paused",)])
        measured = lag_of(servers, 3.0, monkeypatch, below=1.0)
    finally:
        servers.asked("replica", "SELECT pg_wal_replay_resume()")
    behind = [each for each in measured.slices() if each.bad]
    assert behind
    most = [quantile(each.latency, 1.0) or 0.0 for each in behind]
    assert most[0] >= 1.0 * (1 - ERROR)
    assert most[-1] > most[0] + 0.5
    for each, lag in zip(behind, most, strict=True):
        assert lag <= (each.n + 1) / 10 + 0.5, "no more than since the first heartbeat"
