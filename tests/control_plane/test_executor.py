"""The executor in a cluster: one Run, at most one executor, a status that follows, and an end whenever it is asked for."""

import base64
import contextlib
import json
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aftershock.adapters import kubernetes as k8s
from aftershock.adapters.toxiproxy import Proxy, Server
from aftershock.core.history import Healed, Intended
from aftershock.runtime.cluster import execute, inputs, objects
from aftershock.stacks.control_plane import ControlPlane
from component.conftest import toxiproxy, toxiproxy_url  # noqa: F401 - fixtures
from control_plane.conftest import install_crds, new_namespace, outage, until
from control_plane.executing import LINK, Field, not_over
from planted import serving
from whole_runs import good


@contextlib.contextmanager
def new_field(plane: ControlPlane, proxy: Server, folder: Path) -> Iterator[Field]:
    api = k8s.Api.connect(plane.kubeconfig)
    with serving(good) as service, new_namespace(api) as namespace:
        proxy.create(Proxy(LINK, "127.0.0.1:0", f"127.0.0.1:{service.port}"))
        yield Field(api, plane.kubeconfig, namespace, proxy, folder)
        api.delete(k8s.ERAS, namespace)


@pytest.fixture
def field(plane: ControlPlane, applied_crds: None, toxiproxy: Server, tmp_path: Path) -> Iterator[Field]:  # noqa: F811
    with new_field(plane, toxiproxy, tmp_path) as made:
        made.prepare()
        yield made


def test_of_several_executors_one_carries_the_run_out_and_it_is_never_run_again(field: Field) -> None:
    run = field.give()
    with contextlib.ExitStack() as stack:
        racing = [stack.enter_context(field.executor()) for _ in range(3)]
        said = [one.wait() for one in racing]
    assert sorted("nothing was done" in text for text in said) == [False, True, True], said
    assert len(field.history(run).all(Intended)) == 1
    ended = field.run()
    assert ended["status"]["phase"] == "Finished", ended["status"]
    assert objects.condition(ended["status"]["conditions"], "CleanedUp")["status"] == "True"
    with field.executor() as again:
        assert "it is finished; nothing was done" in again.wait()
    assert field.run() == ended
    assert not field.toxics()


def test_a_claim_succeeds_once(field: Field) -> None:
    run, won, start = field.give(), [], threading.Barrier(8)

    def claim() -> None:
        start.wait()
        with contextlib.suppress(k8s.ConflictError):
            won.append(execute.Claim(field.api, run)())

    racing = [threading.Thread(target=claim) for _ in range(8)]
    for one in racing:
        one.start()
    for one in racing:
        one.join()
    assert len(won) == 1


def test_a_run_whose_executor_was_killed_is_not_taken_up_by_its_pods_second_start(field: Field) -> None:
    run = field.give(hold="60s")
    with field.executor() as first:
        field.until_injected(first)
        first.process.kill()
    before = field.run()
    assert before["status"]["era"] == field.namespace, "who will judge is shown before anybody has"
    with field.executor() as second:
        assert "carries it out; nothing was done" in second.wait()
    assert field.run() == before
    assert len(field.history(run).all(Intended)) == 1


class Faltering:
    """An API of which the first answer to each kind of call is lost: the call was carried out, and nobody knows."""

    def __init__(self, api: k8s.Api) -> None:
        self._api = api
        self._asked: set[tuple[str, str]] = set()

    def __getattr__(self, name: str) -> Any:
        plain = getattr(self._api, name)
        if name not in {"find", "get", "create", "patch"}:
            return plain

        def call(resource: k8s.Resource, *more: Any, **how: Any) -> Any:
            answer = plain(resource, *more, **how)
            if (name, resource.plural) not in self._asked:
                self._asked.add((name, resource.plural))
                raise k8s.ApiAwayError("no answer came", "wait")
            return answer

        return call


def test_answers_that_are_lost_at_the_start_cost_no_run(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFTERSHOCK_HOME", str(field.home))
    monkeypatch.setenv("KUBECONFIG", str(field.kubeconfig))
    run = field.give()
    said: list[str] = []
    api: Any = Faltering(field.api)
    assert execute.execute(api, field.namespace, "slow-1", said.append, place="") == 0
    assert sum("trying on" in line for line in said) >= 4, said
    assert len(field.history(run).all(Intended)) == 1
    assert field.run()["status"]["phase"] == "Finished"
    assert objects.condition(field.run()["status"]["conditions"], "CleanedUp")["status"] == "True"


def deleted(field: Field) -> None:
    field.api.delete(k8s.RUNS, "slow-1", field.namespace)


def gone(field: Field) -> None:
    deleted(field)
    field.api.patch(k8s.RUNS, "slow-1", {"metadata": {"finalizers": None}}, field.namespace)


def told(field: Field) -> None:
    field.api.patch(k8s.RUNS, "slow-1", {"spec": {"abort": True}}, field.namespace)


@pytest.mark.parametrize("end", [deleted, gone, told])
def test_a_run_ends_healed_when_it_is_no_longer_wanted(field: Field, end: Callable[[Field], None]) -> None:
    run = field.give(hold="300s")
    with field.executor() as one:
        field.until_injected(one)
        children = Path(f"/proc/{one.process.pid}/task/{one.process.pid}/children").read_text()
        assert not children, "where nothing is measured and no load is sent, no prober is started"
        end(field)
        one.wait()
    assert not field.toxics()
    assert [event.clean for event in field.history(run).all(Healed)] == [True]
    if end is not gone:
        assert field.status()["phase"] == "Finished"
        assert field.status()["verdict"] in {"Aborted", "Inconclusive"}


def serves(field: Field) -> bool:
    """Our kinds take a moment longer than the API server itself."""
    with contextlib.suppress(k8s.ApiAwayError):
        return all(
            field.api.list(each, field.namespace) is not None for each in (k8s.EXPERIMENTS, k8s.RUNS, k8s.STACKS)
        )
    return False


def test_an_outage_of_the_api_delays_no_heal_and_the_status_follows(
    breakable: ControlPlane, toxiproxy: Server, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    install_crds(k8s.Api.connect(breakable.kubeconfig))
    with new_field(breakable, toxiproxy, tmp_path) as field:
        field.prepare()
        run = field.give(hold="8s")
        with field.executor() as one:
            field.until_injected(one)
            with outage(breakable):
                assert field.toxics(), "the heal falls into the outage"
                until(lambda: not field.toxics())
                (intent,) = field.history(run).all(Intended)
                until(lambda: field.history(run).all(Healed))
                (healed,) = field.history(run).all(Healed)
                assert healed.clean
                until(lambda: "can't be written now" in one.said())
                assert one.process.poll() is None, "it waits until its status is written"
            until(lambda: serves(field))
            one.wait()
        assert intent.lease
        assert field.status()["phase"] == "Finished"
        assert field.status()["finished"]


def test_an_executor_that_starts_while_the_api_is_away_waits_for_it(
    breakable: ControlPlane, toxiproxy: Server, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    """Nothing is begun yet, and an executor that failed would not be replaced."""
    install_crds(k8s.Api.connect(breakable.kubeconfig))
    with new_field(breakable, toxiproxy, tmp_path) as field, contextlib.ExitStack() as held:
        field.prepare()
        field.give()
        with outage(breakable):
            one = held.enter_context(field.executor())
            until(lambda: "trying on" in one.said() or not_over(one))
        one.wait()
        until(lambda: serves(field))
        assert field.status()["phase"] == "Finished"


def test_a_secret_is_its_owners_alone_goes_with_the_run_and_is_in_no_journal(
    plane: ControlPlane, applied_crds: None, toxiproxy: Server, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    with new_field(plane, toxiproxy, tmp_path) as field:
        dsn = "postgresql://someone:hunter2hunter2@127.0.0.1:1/shop"
        secret = {"metadata": {"name": "logins"}, "data": {"primary": base64.b64encode(dsn.encode()).decode()}}
        field.api.create(k8s.SECRETS, secret, field.namespace)
        by_secret = {"secretRef": {"name": "logins", "key": "primary"}}
        field.prepare(databases=[{"name": "primary", "dsn": by_secret}])
        run = field.give()
        folder = tmp_path / "look"
        inputs.gather(field.api, run, folder)
        key = folder / "secrets" / "logins" / "primary"
        assert key.read_text() == dsn
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        with field.executor() as one:
            one.process.wait(120)
            assert "hunter2hunter2" not in one.said()
        assert not list((field.home / "execute").glob("*"))
        kept = [path for path in (field.home / "runs").rglob("*") if path.is_file()]
        assert kept
        assert not [path for path in kept if b"hunter2hunter2" in path.read_bytes()]
        assert "hunter2hunter2" not in json.dumps(field.run())
