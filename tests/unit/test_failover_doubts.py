"""Whether anybody would take over from a database's server: what its manager tells, and what is made of it."""

import json
from pathlib import Path

import pytest

from aftershock.adapters.patroni import Agreed, Cluster, Member
from aftershock.core.lease import Lease
from aftershock.faults.failover import LostMemberHold, unwilling
from aftershock.faults.fault import Site
from aftershock.model import stack as model
from aftershock.model.metadata import Metadata, Secret
from planted import free_port, response, serving

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
        (pair("quorum_standby"), Agreed(synchronous_mode="quorum")),
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
        (Cluster(pair().members[1:]), ASYNC, "nobody takes the writes"),
        (Cluster([]), ASYNC, "nobody takes the writes"),
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


def test_a_server_in_a_pod_runs_as_long_as_its_manager_answers(tmp_path: Path) -> None:
    def holding(url: str) -> LostMemberHold:
        member = model.Member(name="a", observer=Secret(env="X"), url=url)
        failover = model.Failover(manager="patroni", members=[member])
        spec = model.StackSpec(
            era="1m", environment="test", workloads=[model.Workload(name="a", selector={"app": "a"})]
        )
        site = Site(
            model.Stack(api_version="aftershock.dev/v1alpha1", metadata=Metadata(name="s"), spec=spec), "db", tmp_path
        )
        hold = LostMemberHold(site, Lease("db-primary-loss", "k3f9a2x1", 1790000000), "partition", failover)
        hold.member = member
        return hold

    told = json.dumps({"members": [{"name": "a", "role": "replica", "state": "starting"}]}).encode()
    with serving(lambda _: response(200, told)) as server:
        assert holding(server.url)._runs()
    assert not holding(f"http://127.0.0.1:{free_port()}")._runs()
