"""Whether anybody would take over from a database's server: what its manager tells, and what is made of it."""

import pytest

from aftershock.adapters.patroni import Agreed, Cluster, Member
from aftershock.faults.failover import unwilling

LEADER = Member("a", "leader", "running")
ASYNC, SYNC = Agreed(), Agreed(synchronous_mode=True)


def pair(role: str = "replica", state: str = "streaming", **more: object) -> Cluster:
    return Cluster([LEADER, Member("b", role, state, **{"lag": 0, **more})])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cluster", "agreed"),
    [
        (pair(), ASYNC),
        (pair(lag=1 << 20), ASYNC),
        (pair("sync_standby"), SYNC),
        (pair("sync_standby", lag="unknown"), SYNC),
        (Cluster([*pair(state="stopped").members, Member("c", "replica", "streaming", 0)]), ASYNC),
    ],
)
def test_somebody_would(cluster: Cluster, agreed: Agreed) -> None:
    assert unwilling(cluster, agreed) is None


@pytest.mark.parametrize(
    ("cluster", "agreed", "why"),
    [
        (Cluster(pair().members, pause=True), ASYNC, "it is paused"),
        (Cluster([LEADER]), ASYNC, "there is no other server"),
        (pair(state="stopped"), ASYNC, "b is stopped"),
        (pair(state="in archive recovery"), ASYNC, "b is in archive recovery"),
        (pair(tags={"nofailover": True}), ASYNC, "its tag `nofailover`"),
        (pair(lag=(1 << 20) + 1), ASYNC, "b lags by 1048577 bytes, of at most 1048576"),
        (pair(lag="unknown"), ASYNC, "b lags by unknown bytes"),
        (pair(), SYNC, "b is not synchronous"),
        (pair("sync_standby", "stopped"), SYNC, "b is stopped"),
    ],
)
def test_nobody_would(cluster: Cluster, agreed: Agreed, why: str) -> None:
    found = unwilling(cluster, agreed)
    assert found is not None
    assert why in found[0]
    assert found[1], "what to do"


@pytest.mark.parametrize(
    ("said", "synchronous"), [(False, False), ("off", False), (True, True), ("on", True), ("quorum", True)]
)
def test_patroni_has_several_words_for_synchronous(said: bool | str, synchronous: bool) -> None:
    assert Agreed(synchronous_mode=said).synchronous is synchronous
