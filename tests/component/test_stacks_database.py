"""The databases of a stack as pods run them, with real servers: a primary, and a replica that follows it."""

from collections.abc import Iterator

import pytest

from aftershock.errors import StackError
from aftershock.stacks import database
from component.conftest import free_port, until
from component.replicated import PRIMARY, Pods
from component.replicated import pods as some_pods


@pytest.fixture
def pods() -> Iterator[Pods]:
    with some_pods() as made:
        yield made


def test_a_replica_is_copied_follows_and_is_copied_anew_from_another_primary(pods: Pods) -> None:
    pods.start("primary", **PRIMARY)
    pods.asked("primary", "CREATE TABLE told AS SELECT 'before' AS what")
    pods.follow()
    assert pods.asked("replica", "SELECT pg_is_in_recovery()") == [(True,)]
    assert pods.asked("replica", "SELECT what FROM told") == [("before",)]
    pods.asked("primary", "INSERT INTO told VALUES ('while')")
    until(lambda: pods.asked("replica", "SELECT count(*) FROM told") == [(2,)])
    pods.stop("replica")
    pods.asked("primary", "INSERT INTO told VALUES ('away')")
    pods.follow()
    until(lambda: pods.asked("replica", "SELECT count(*) FROM told") == [(3,)])
    for name in ("replica", "primary"):
        pods.stop(name)
    (pods.folder / "primary").rename(pods.folder / "lost")
    pods.start("primary", **PRIMARY)
    pods.asked("primary", "CREATE TABLE anew AS SELECT 1 AS one")
    pods.follow()
    assert pods.asked("replica", "SELECT one FROM anew") == [(1,)]


def test_the_owner_of_a_database_that_merges_may_have_it_take_over_what_another_writes(pods: Pods) -> None:
    pods.start("east", **PRIMARY, MERGES="west")
    pods.start("alone", **PRIMARY)
    may = "SELECT pg_has_role('meetings', 'pg_create_subscription', 'member')"
    assert (pods.asked("east", may), pods.asked("alone", may)) == ([(True,)], [(False,)])
    assert pods.asked("east", "SELECT rolreplication FROM pg_roles WHERE rolname = 'replication'") == [(True,)]


def test_a_replica_whose_primary_is_not_there_waits_and_then_says_so(
    pods: Pods, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PATIENCE", 0.0)
    nobody = f"127.0.0.1:{free_port()}"
    with pytest.raises(StackError, match="psql failed"):
        pods.start("replica", REPLICA="replica", PRIMARY=nobody, THROUGH=nobody)
