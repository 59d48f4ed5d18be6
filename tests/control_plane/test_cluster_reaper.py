"""The reaper in a cluster: goes on without the API and after its own death, forgets nothing too early, ends lost runs."""

import asyncio
import base64
import json
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aftershock.adapters import kubernetes as k8s
from aftershock.adapters import store
from aftershock.adapters.toxiproxy import Proxy, Server, Toxic
from aftershock.core.history import Aborting
from aftershock.core.lease import Lease
from aftershock.runtime.cluster import objects
from aftershock.runtime.cluster.alive import Executors
from aftershock.runtime.cluster.kept import Kept, folder_of
from aftershock.runtime.cluster.lost import Coroner
from aftershock.runtime.folders import RunFolder
from aftershock.stacks.control_plane import ControlPlane
from component.conftest import toxiproxy, toxiproxy_url  # noqa: F401 - fixtures
from control_plane.conftest import install_crds, new_namespace, outage, until
from control_plane.pods import Cluster
from journals import demo

ROOT = Path(__file__).parents[2]
RUN = "k3f9a2x1"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AFTERSHOCK_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def served(api: k8s.Api, applied_crds: None, namespace: str) -> None:
    until(lambda: serves(api, namespace))


@pytest.fixture
def proxy(toxiproxy: Server) -> Server:  # noqa: F811
    toxiproxy.create(Proxy("app-primary", "127.0.0.1:0", "127.0.0.1:1"))
    return toxiproxy


def stack_tree(url: str, namespace: str, **more: object) -> dict[str, Any]:
    spec = {"era": "1k", "environment": "test", "toxiproxies": [{"name": "main", "url": url}], **more}
    return {
        "apiVersion": k8s.OURS,
        "kind": "Stack",
        "metadata": {"name": "meetings", "namespace": namespace},
        "spec": spec,
    }


def toxic(expires: float) -> Toxic:
    return Toxic(Lease("latency", RUN, int(expires)).name, "noop", "upstream")


class Reaper:
    """The real command, as a process of its own that can be killed and started again."""

    def __init__(self, kubeconfig: Path, home: Path) -> None:
        self._said = home / "said"
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "operator"),
            "KUBECONFIG": str(kubeconfig),
            "AFTERSHOCK_HOME": str(home),
        }
        self.start()

    def start(self) -> None:
        line = [sys.executable, "-m", "aftershock", "reap", "--watch", "--cluster"]
        line += ["--health-port", "0", "--metrics-port", "0"]
        with self._said.open("a") as said:
            self.process = subprocess.Popen(line, env=self._environment, stdout=said, stderr=said)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def said(self) -> str:
        assert self.process.poll() is None, self._said.read_text()
        return self._said.read_text()


@pytest.fixture
def reaper(breakable: ControlPlane, home: Path) -> Iterator[Reaper]:
    install_crds(k8s.Api.connect(breakable.kubeconfig))
    started = Reaper(breakable.kubeconfig, home)
    yield started
    started.kill()


def test_it_goes_on_without_the_api_and_after_its_own_death(
    breakable: ControlPlane, reaper: Reaper, proxy: Server
) -> None:
    def healed() -> bool:
        assert reaper.said() is not None
        return not proxy.toxics("app-primary")

    api = k8s.Api.connect(breakable.kubeconfig)
    with new_namespace(api) as namespace:
        until(lambda: serves(api, namespace))
        api.create(k8s.STACKS, stack_tree(proxy.url, namespace))
        until((folder_of(namespace, "meetings") / "stack.yaml").is_file)
        with outage(breakable):
            proxy.add_toxic("app-primary", toxic(time.time()))
            until(healed)
            reaper.kill()
            reaper.start()
            proxy.add_toxic("app-primary", toxic(time.time()))
            until(healed)
        until(lambda: serves(api, namespace))


def serves(api: k8s.Api, namespace: str) -> bool:
    """Our kinds take a moment longer than the API server itself."""
    try:
        return all(api.list(each, namespace) is not None for each in (k8s.EXPERIMENTS, k8s.RUNS, k8s.STACKS))
    except k8s.ApiAwayError:
        return False


def refresh(api: k8s.Api, namespace: str) -> list[str]:
    """Take in what the API has, once; return what was said about it."""
    said: list[str] = []
    asyncio.run(Kept(api, [namespace], said.append).refresh())
    return said


def test_a_stack_that_is_gone_or_changed_is_forgotten_only_once_its_places_are_clean(
    api: k8s.Api, served: None, namespace: str, proxy: Server, home: Path
) -> None:
    folder = folder_of(namespace, "meetings")
    api.create(k8s.STACKS, stack_tree(proxy.url, namespace))
    assert refresh(api, namespace) == []
    left = toxic(time.time() + 1000)
    proxy.add_toxic("app-primary", left)
    api.patch(k8s.STACKS, "meetings", {"spec": {"toxiproxies": []}}, namespace)
    assert left.name in "".join(refresh(api, namespace)), "it was changed: the places it named before are still known"
    assert len(list(folder.parent.glob("meetings~*/stack.yaml"))) == 1
    api.patch(k8s.STACKS, "meetings", {"spec": {"toxiproxies": [{"name": "main", "url": proxy.url}]}}, namespace)
    refresh(api, namespace)
    api.delete(k8s.STACKS, "meetings", namespace)
    assert left.name in "".join(refresh(api, namespace))
    assert (folder / "stack.yaml").is_file()
    proxy.remove_toxic("app-primary", left.name)
    api.create(k8s.RUNS, run_tree(namespace))
    refresh(api, namespace)
    assert (folder / "stack.yaml").is_file(), "a run may be about to inject"
    finish(api, namespace, {"phase": "Finished"})
    assert refresh(api, namespace) == []
    assert list(folder.parent.iterdir()) == []


def test_what_can_not_be_read_stays_as_it_was_known(api: k8s.Api, served: None, namespace: str, home: Path) -> None:
    dsn = {"name": "primary", "dsn": {"secretRef": {"name": "logins", "key": "primary"}}}
    folder = folder_of(namespace, "meetings")
    api.create(k8s.STACKS, stack_tree("http://127.0.0.1:1", namespace, databases=[dsn]))
    assert "logins" in "".join(refresh(api, namespace))
    secret = {"metadata": {"name": "logins"}, "data": {"primary": base64.b64encode(b"host=first").decode()}}
    api.create(k8s.SECRETS, secret, namespace)
    assert refresh(api, namespace) == []
    key = folder / "secrets" / "logins" / "primary"
    assert key.read_bytes() == b"host=first"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    api.delete(k8s.SECRETS, "logins", namespace)
    assert "going on with what was known" in "".join(refresh(api, namespace))
    assert key.read_bytes() == b"host=first"
    away = k8s.Api.connect(home_of_nobody(home))
    with pytest.raises(k8s.ApiAwayError):
        refresh(away, namespace)
    assert (folder / "stack.yaml").is_file()


def home_of_nobody(folder: Path) -> Path:
    """A kubeconfig that leads to a port where nobody listens."""
    path = folder / "nobody"
    cluster = {"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    user = {"name": "u", "user": {"token": "t"}}
    path.write_text(json.dumps({"clusters": [cluster], "contexts": [context], "users": [user], "current-context": "c"}))
    return path


# Lost runs


def run_tree(namespace: str) -> dict[str, Any]:
    spec = {"experiment": "latency", "stack": "meetings"}
    return {
        "apiVersion": k8s.OURS,
        "kind": "Run",
        "metadata": {"name": "latency-1", "namespace": namespace},
        "spec": spec,
    }


def finish(api: k8s.Api, namespace: str, status: Mapping[str, object]) -> dict[str, Any]:
    return api.patch(k8s.RUNS, "latency-1", {"status": status}, namespace, subresource="status")


class Launcher:
    """Says what the test wants of the executor's life: no executor is started here."""

    def __init__(self) -> None:
        self.living = False
        self.away = False

    def alive(self, run: Mapping[str, Any]) -> bool:
        if self.away:
            raise k8s.ApiAwayError("away", "wait")
        return self.living


@dataclass
class Ward:
    """A claimed Run, its Stack, and who looks after lost ones."""

    api: k8s.Api
    namespace: str
    launcher: Launcher
    coroner: Coroner
    token: str
    folder: RunFolder
    said: list[str]

    def round(self) -> None:
        asyncio.run(self.coroner.round())

    def status(self) -> dict[str, Any]:
        return dict(self.api.get(k8s.RUNS, "latency-1", self.namespace)["status"])

    def condition(self, kind: str) -> tuple[str, str]:
        found = objects.condition(self.status().get("conditions", []), kind) or {}
        return found.get("status", ""), found.get("reason", "")

    def write_journal(self) -> None:
        """As far as an executor came that died in the middle of its fault."""
        events = demo().events
        cut = next(n for n, event in enumerate(events) if event.__struct_config__.tag == "injected")
        journal = store.Journal.open(self.folder.journal)
        for event in events[: cut + 1]:
            journal.append(event)
        journal.close()


@pytest.fixture
def ward(api: k8s.Api, served: None, namespace: str, proxy: Server, home: Path) -> Ward:
    api.create(k8s.STACKS, stack_tree(proxy.url, namespace))
    refresh(api, namespace)
    run = api.create(k8s.RUNS, run_tree(namespace))
    finish(api, namespace, {"phase": "Active", "executor": "1", "started": "2026-01-01T00:00:00Z"})
    token = objects.token(run["metadata"]["uid"])
    launcher, said = Launcher(), list[str]()
    coroner = Coroner(api, launcher, [namespace], said.append, settled=0.0)
    return Ward(api, namespace, launcher, coroner, token, RunFolder(objects.run_folder("latency-1", token)), said)


def test_a_lost_run_is_ended_once_it_is_clean_and_judged_by_its_journal(ward: Ward, proxy: Server) -> None:
    ward.write_journal()
    left = Toxic(Lease("latency", ward.token, int(time.time()) + 1000).name, "noop", "upstream")
    proxy.add_toxic("app-primary", left)
    ward.round()
    assert ward.status()["phase"] == "Active", "its lease is not over"
    proxy.remove_toxic("app-primary", left.name)
    ward.round()
    status = ward.status()
    assert (status["phase"], status["verdict"], status["token"]) == ("Finished", "Aborted", ward.token)
    assert "ExecutorLost" in status["because"]
    assert status["executor"] == "1", "it is never run again"
    assert ward.condition("CleanedUp") == ("True", "Clean")
    assert [each.reason for each in store.read(ward.folder.journal).all(Aborting)] == ["ExecutorLost"]
    before = ward.api.get(k8s.RUNS, "latency-1", ward.namespace)
    ward.round()
    assert ward.api.get(k8s.RUNS, "latency-1", ward.namespace) == before, "once is enough"


def test_without_a_journal_it_says_so(ward: Ward) -> None:
    ward.round()
    status = ward.status()
    assert (status["phase"], status["verdict"]) == ("Finished", "Aborted")
    assert "no journal" in status["because"]
    assert ward.condition("FaultLanded") == ("Unknown", "NoJournal")
    assert ward.condition("CleanedUp") == ("True", "Clean")


def test_what_can_not_be_cleaned_is_said_on_the_run_and_the_run_stays(ward: Ward) -> None:
    away = {"name": "gone", "url": "http://127.0.0.1:1"}
    spec = {"toxiproxies": [away]}
    ward.api.patch(k8s.STACKS, "meetings", {"spec": spec}, ward.namespace)
    refresh(ward.api, ward.namespace)
    ward.round()
    ward.round()
    assert ward.condition("StuckOnCleanup") == ("True", "ResidueLeft")
    assert ward.status()["phase"] == "Active"
    assert len(ward.said) == 1, "it is said once"
    ward.api.patch(k8s.STACKS, "meetings", {"spec": {"toxiproxies": []}}, ward.namespace)
    refresh(ward.api, ward.namespace)
    ward.round()
    assert ward.condition("StuckOnCleanup") == ("False", "Clean")
    assert ward.status()["phase"] == "Finished"


def test_nothing_is_concluded_while_an_executor_lives_or_the_api_was_away(ward: Ward) -> None:
    ward.coroner = Coroner(ward.api, ward.launcher, [ward.namespace], ward.said.append, settled=1000.0)
    ward.round()
    ward.coroner._settled = 0.0
    ward.launcher.away = True
    with pytest.raises(k8s.ApiAwayError):
        ward.round()
    assert ward.coroner._suspected == {}, "what was seen before an outage proves nothing"
    ward.launcher.away, ward.launcher.living = False, True
    ward.round()
    ward.launcher.living = False
    ward.write_journal()
    lock = ward.folder.lock()
    assert lock is not None
    ward.round()
    assert ward.status()["phase"] == "Active", "somebody holds its folder: it lives, whatever the launcher says"
    os.close(lock)
    ward.round()
    assert ward.status()["phase"] == "Finished"


def test_an_executor_is_a_pod_or_a_process_and_lives_unless_it_is_known_not_to(ward: Ward) -> None:
    here = socket.gethostname()
    gone = subprocess.Popen(["true"])
    gone.wait()

    def lives(executor: str) -> bool:
        run = ward.api.get(k8s.RUNS, "latency-1", ward.namespace)
        return Executors(ward.api).alive({**run, "status": {"executor": executor}})

    assert lives("elsewhere/1"), "that can't be told from here"
    assert lives(f"{here}/{os.getpid()}"), "it has claimed the run, and is about to take the lock"
    assert not lives(f"{here}/{gone.pid}")
    lock = ward.folder.lock()
    assert lock is not None
    assert lives(f"{here}/{gone.pid}")
    os.close(lock)
    assert not lives(f"{here}/{os.getpid()}"), "the lock tells, and not a process id that may be another's"
    assert not lives("a-pod-that-is-gone")
    cluster = Cluster(ward.api, ward.namespace)
    pod = cluster.pod("executor")
    assert lives(pod["metadata"]["name"])
    failed = {"status": {"phase": "Failed"}}
    ward.api.patch(k8s.PODS, pod["metadata"]["name"], failed, ward.namespace, subresource="status")
    assert not lives(pod["metadata"]["name"])


def test_an_executor_that_lives_after_all_comes_first(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes its verdict after the run was read and before it is ended."""
    alive = ward.launcher.alive

    def late(run: Mapping[str, Any]) -> bool:
        finish(ward.api, ward.namespace, {"phase": "Finished", "verdict": "Passed"})
        return alive(run)

    monkeypatch.setattr(ward.launcher, "alive", late)
    ward.round()
    assert ward.status()["verdict"] == "Passed"
