"""A Toxiproxy in front of a Service for the length of a run: objects of a real API server, and a real Toxiproxy (fronted.py).

Nobody forwards a Service's traffic here; that its clients feel a fault is for real nodes to show (tests/cluster).
"""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from aftershock.adapters import kubernetes as k8s
from aftershock.adapters.toxiproxy import Server, Toxic
from aftershock.core.front import FRONT, Wanted
from aftershock.core.history import Aborting, Cleaned, Fronting, Healed, Intended, Noted, Observed
from aftershock.core.lease import Lease
from aftershock.errors import HeldError
from aftershock.faults import created, fronts
from aftershock.faults.cluster import LEASE, ground_of
from aftershock.faults.front_pod import PodSettings
from aftershock.model.load import dump_yaml, to_tree
from aftershock.model.stack import Link, LinkedService, Stack
from aftershock.runtime import front_place, reaper
from aftershock.stacks.control_plane import ControlPlane
from component.test_reaper import watching
from control_plane.conftest import install_crds, new_namespace, outage, until
from control_plane.executing import LINK, Executor, Field, not_over
from control_plane.fronted import Standin, app_pod, standing_in
from control_plane.pods import stack_in
from control_plane.test_cluster_reaper import Reaper
from planted import serving
from whole_runs import good

RUN, PORT = "k3f9a2x1", 8080
NOWHERE = Server("none", "http://127.0.0.1:1")
WEB = {"port": PORT, "targetPort": "http", "name": "web"}


@dataclass
class Ground:
    """A namespace with the Service `web`, and a Stack whose link `in` leads to it."""

    field: Field
    cluster: Standin

    @property
    def stack(self) -> Stack:
        link = Link(name=LINK, service=LinkedService(name="web", port=PORT))
        made = stack_in(self.field.namespace, links=[link])
        return replace(made, metadata=replace(made.metadata, name="shop"))  # as executors find it

    def as_it_was(self) -> None:
        """Nothing of ours is there, and the Service leads where it led."""
        assert self.cluster.there() == []
        assert self.cluster.selector("web") == {"app": "web"}

    def moved(self) -> bool:
        return FRONT in self.cluster.selector("web")

    def until_injected(self, one: Executor) -> None:
        until(lambda: (self.moved() and self.cluster.toxics()) or not_over(one))

    def put(self, lease: Lease) -> None:
        """Put a Toxiproxy there, as a run does."""
        ground = ground_of(self.stack)
        service = fronts.look(ground, "web", [Wanted(LINK, PORT)], lease.run, collateral=False)
        fronts.surround(ground, service, lease, PodSettings())
        until(self.cluster.ready)
        fronts.move(ground, "web", lease)
        until(lambda: len(self.cluster.pods()) == 1)

    def sweep(self, folder: Path, **how: Any) -> reaper.Sweep:
        return asyncio.run(reaper.sweep(self.stack, folder, **how))


@contextlib.contextmanager
def ground_on(plane: ControlPlane, home: Path) -> Iterator[Ground]:
    api = k8s.Api.connect(plane.kubeconfig)
    with (
        serving(good) as service,
        new_namespace(api) as namespace,
        standing_in(api, namespace, {PORT: service.port}) as made,
    ):
        made.service("web", WEB)
        app_pod(made, "web")
        yield Ground(Field(api, plane.kubeconfig, namespace, NOWHERE, home), made)


@pytest.fixture
def ground(
    plane: ControlPlane, applied_crds: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Ground]:
    monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig))
    with ground_on(plane, tmp_path) as made:
        prepare(made)
        yield made
        made.field.api.delete(k8s.ERAS, made.field.namespace)


def prepare(ground: Ground) -> None:
    ground.field.prepare(toxiproxies=[], links=[{"name": LINK, "service": {"name": "web", "port": PORT}}])


def lease(expires: float) -> Lease:
    return Lease(created.FAULT, RUN, int(expires), part="web")


# A run


def test_a_run_has_a_toxiproxy_in_front_of_the_service_and_takes_it_away(ground: Ground) -> None:
    before = ground.cluster.read("web")
    run = ground.field.give(hold="3s")
    with ground.field.executor() as one:
        ground.until_injected(one)
        service, around = ground.cluster.read("web"), ground.cluster.read("web-direct")
        assert around["spec"]["selector"] == {"app": "web"}
        assert service["metadata"]["annotations"][LEASE] == around["metadata"]["annotations"][LEASE]
        kept = ("clusterIP", "ports", "type")
        assert [service["spec"][each] for each in kept] == [before["spec"][each] for each in kept]
        one.wait()
    ground.as_it_was()
    history = ground.field.history(run)
    (intent,) = history.all(Fronting)
    assert (intent.service, intent.links) == ("web", [LINK])
    assert intent.at <= history.all(Intended)[0].at
    assert any("Connections that were open before go past it" in note.text for note in history.all(Noted))
    looks = history.all(Observed)
    assert looks and all("from before the run go past Toxiproxy, untouched" in each.saw for each in looks)
    landed = next(each for each in ground.field.status()["conditions"] if each["type"] == "FaultLanded")
    assert landed["status"] == "True", landed["message"]
    assert [event.left for event in history.all(Cleaned)] == [[]]


def test_an_aborted_run_gives_the_service_back(ground: Ground) -> None:
    ground.field.give(hold="300s")
    with ground.field.executor() as one:
        ground.until_injected(one)
        ground.field.api.patch(k8s.RUNS, "slow-1", {"spec": {"abort": True}}, ground.field.namespace)
        one.wait()
    ground.as_it_was()


LOSSES: list[tuple[str, Callable[[Ground], None]]] = [
    ("the pod is deleted", lambda ground: ground.cluster.lose()),
    ("its container is started anew", lambda ground: ground.cluster.restart(counted=True)),
    (
        "the Service is applied as it was",
        lambda ground: ground.cluster.change("web", {"spec": {"selector": {"app": "web"}}}),
    ),
    (
        "somebody leads it elsewhere",
        lambda ground: ground.cluster.change("web", {"spec": {"selector": {"app": "new", FRONT: None}}}),
    ),
]


@pytest.mark.parametrize("loss", [loss for _, loss in LOSSES], ids=[what for what, _ in LOSSES])
def test_a_toxiproxy_that_is_lost_ends_the_run_and_what_others_set_stands(
    ground: Ground, loss: Callable[[Ground], None]
) -> None:
    run = ground.field.give(hold="15s")
    with ground.field.executor() as one:
        ground.until_injected(one)
        loss(ground)
        until(lambda: not ground.cluster.there() or not_over(one))
        one.wait()
    assert ground.cluster.selector("web") in ({"app": "web"}, {"app": "new"})
    (why,) = ground.field.history(run).all(Aborting)
    assert why.reason == "TargetLost" and "the Service web does not lead through" in why.message
    assert ground.field.status()["verdict"] in {"Aborted", "Inconclusive"}


REFUSED: list[tuple[str, Callable[[Standin], object], str]] = [
    ("gone", lambda cluster: cluster.remove("web"), "there is no Service web"),
    ("headless", lambda cluster: cluster.again("web", WEB, clusterIP="None"), "it is headless"),
    ("without the port", lambda cluster: cluster.again("web", {"port": 81}), "it has no port 8080; it has: 81"),
    (
        "UDP",
        lambda cluster: cluster.again("web", WEB, {"port": 53, "protocol": "UDP", "name": "d"}),
        "53/UDP would lead",
    ),
    (
        "a name that is taken",
        lambda cluster: cluster.service("web-direct", WEB),
        "web-direct already, and it is not ours",
    ),
]


@pytest.mark.parametrize(("spoil", "why"), [one[1:] for one in REFUSED], ids=[one[0] for one in REFUSED])
def test_what_can_not_be_fronted_is_refused_before_anything_is_made(
    ground: Ground, spoil: Callable[[Standin], object], why: str
) -> None:
    spoil(ground.cluster)
    run = ground.field.give()
    with ground.field.executor() as one:
        one.wait()
    assert why in ground.field.status()["because"]
    history = ground.field.history(run)
    assert history.all(Fronting) == [] and history.entered("Baseline") is None
    assert ground.cluster.there() == [] and ground.cluster.pods() == []


HURRIED = "from aftershock.runtime import fronting; fronting.STARTING = fronting.MOVING = 3.0; fronting.THROUGH = 1.0"
BROKEN: list[tuple[str, str, bool]] = [
    ("broken", "was not ready within 3 s", False),
    ("dead", "nobody gets to its port 8080", False),
    ("stuck", "does not lead to the Toxiproxy pod", True),
]


@pytest.mark.parametrize(("how", "why", "moves"), BROKEN, ids=[how for how, _, _ in BROKEN])
def test_what_does_not_come_to_stand_is_taken_away_again(ground: Ground, how: str, why: str, moves: bool) -> None:
    setattr(ground.cluster, how, True)
    run = ground.field.give()
    with ground.field.executor(code=HURRIED) as one:
        if moves:
            until(lambda: ground.moved() or not_over(one))
        one.wait()
    assert why in ground.field.status()["because"], ground.field.status()
    ground.as_it_was()
    history = ground.field.history(run)
    assert history.entered("Baseline") is None and history.all(Intended) == []
    assert [event.left for event in history.all(Cleaned)] == [[]]


# Deaths


def test_killed_at_any_moment_there_is_a_way_back(ground: Ground, tmp_path: Path) -> None:
    """At a random moment; with AFTERSHOCK_SOAK=1 at many. A Service that is moved says how it was, in the same change."""
    seed = int(os.environ.get("AFTERSHOCK_SEED") or time.time())
    print(f"AFTERSHOCK_SEED={seed}")
    chance = random.Random(seed)
    for number in range(50 if os.environ.get("AFTERSHOCK_SOAK") else 5):
        ground.field.give(f"slow-{number}", hold="60s")
        with ground.field.executor(f"slow-{number}") as one:
            until(lambda number=number: ground.field.status(f"slow-{number}").get("executor"))
            time.sleep(chance.uniform(0, 3))
            one.process.kill()
            one.process.wait()
        if ground.moved():
            assert ground.cluster.read("web-direct")["spec"]["selector"] == {"app": "web"}, seed
        found = asyncio.run(reaper.leftovers(ground.stack, tmp_path))
        assert found.unreachable == [], seed
        while (swept := ground.sweep(tmp_path, scope="all")).healed:
            print(swept.healed)
        assert swept.left == swept.unreachable == [], seed
        ground.as_it_was()
        until(lambda: not ground.cluster.running)
        ground.field.api.delete(k8s.LEASES, "aftershock-shop", ground.field.namespace)  # which the reaper gives back


@pytest.mark.parametrize("journal", [True, False], ids=["with its journal", "without"])
def test_a_run_that_lost_its_executor_ends_with_the_service_given_back(ground: Ground, journal: bool) -> None:
    run = ground.field.give(hold="8s")
    with ground.field.executor() as one:
        ground.until_injected(one)
        one.process.send_signal(signal.SIGKILL)
        one.process.wait()
    if not journal:
        ground.field.journal(run).unlink()
    started = Reaper(ground.field.kubeconfig, ground.field.home)
    try:
        until(lambda: ground.field.status().get("phase") == "Finished", 90)
    finally:
        started.kill()
    ground.as_it_was()
    assert ground.field.status()["verdict"] == "Aborted"
    if journal:
        assert [event.by for event in ground.field.history(run).all(Healed)] == ["found"]


@pytest.fixture
def outside(breakable: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    monkeypatch.setenv("KUBECONFIG", str(breakable.kubeconfig))
    install_crds(k8s.Api.connect(breakable.kubeconfig))
    with ground_on(breakable, tmp_path) as made:
        yield made


def test_while_the_api_is_away_toxics_end_and_the_service_is_given_back_within_2_s_of_its_answering(
    breakable: ControlPlane, outside: Ground, tmp_path: Path
) -> None:
    expires = int(time.time()) + 14
    file = tmp_path / "stack.yaml"
    file.write_text(dump_yaml(to_tree(outside.stack)))
    outside.put(lease(expires))
    name = Lease("latency", RUN, expires).name
    with outside.cluster.toxiproxy() as server:
        server.add_toxic(f"port-{PORT}", Toxic(name, "latency", "upstream", attributes={"latency": 10}))
        with watching(file):
            until(lambda: front_place.recall(tmp_path, "web"))
            assert time.time() < expires - 1, "the machine is too slow for this lease: nothing was tested"
            assert server.toxics(f"port-{PORT}")
            with outage(breakable):
                time.sleep(max(0.0, expires + 1 - time.time()))
                until(lambda: not server.toxics(f"port-{PORT}"), 3)
            time.sleep(2)
            outside.as_it_was()


def test_a_toxiproxy_that_was_started_anew_holds_nothing_and_goes_with_its_lease(
    ground: Ground, tmp_path: Path
) -> None:
    ground.put(lease(time.time() + 1000))
    with ground.cluster.toxiproxy() as server:
        server.add_toxic(f"port-{PORT}", Toxic(Lease("latency", RUN, 1_600_000_000).name, "noop", "upstream"))
    assert len(ground.sweep(tmp_path).healed) == 1
    assert ground.cluster.toxics() == []
    ground.cluster.restart()
    swept = ground.sweep(tmp_path)
    assert swept.healed == swept.left == swept.unreachable == []
    assert ground.moved()
    assert ground.sweep(tmp_path, scope="all").left == []
    ground.as_it_was()


def test_a_lost_pod_is_not_waited_for(ground: Ground, tmp_path: Path) -> None:
    ground.put(lease(time.time() + 1000))
    assert ground.sweep(tmp_path).healed == []
    ground.cluster.lose()
    time.sleep(0.5)  # what was read of a namespace is good for a moment
    swept = ground.sweep(tmp_path)
    assert swept.left == [] and any("leads to nobody" in line for line in swept.healed)
    ground.as_it_was()


def test_a_second_run_is_refused_and_touches_nothing(ground: Ground) -> None:
    ground.put(lease(time.time() + 1000))
    where = ground_of(ground.stack)
    other = Lease(created.FAULT, "another1", int(time.time()) + 1000, part="web")
    with pytest.raises(HeldError, match="another run has put a Toxiproxy"):
        fronts.look(where, "web", [Wanted(LINK, PORT)], other.run, collateral=False)
    with pytest.raises(HeldError):
        fronts.surround(where, ground.cluster.read("web"), other, PodSettings())
    fronts.take_away(where.api, where.namespace, "web", other)
    assert ground.moved() and ground.cluster.there() == sorted(["web", "web-direct", *ground.cluster.names()])
    assert len(ground.cluster.pods()) == 1
