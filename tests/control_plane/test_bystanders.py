"""What looks on while the operator works, on a real API server: verdicts are told once, and old Runs go."""

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from aftershock.adapters import kubernetes as k8s
from aftershock.core.retention import Limits
from aftershock.runtime.cluster import metrics, notify
from aftershock.runtime.cluster.bystanders import Bystanders, Wanted
from aftershock.runtime.cluster.retention import AGE, COUNT, throw_away_journals, tidy
from aftershock.runtime.folders import RunFolder
from control_plane.conftest import until

DAY = 86400.0
Make = Callable[..., dict[str, Any]]


@pytest.fixture
def make(api: k8s.Api, namespace: str, applied_crds: None) -> Make:
    def call(name: str, days: float, **status: Any) -> dict[str, Any]:
        spec = {"experiment": "slow", "stack": "shop"}
        tree = {"apiVersion": k8s.OURS, "kind": "Run", "metadata": {"name": name, "namespace": namespace}, "spec": spec}
        api.create(k8s.RUNS, tree)
        finished = (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
        said = {"phase": "Finished", "verdict": "Passed", "finished": finished, **status}
        return api.patch(k8s.RUNS, name, {"status": said}, namespace, subresource="status")

    return call


def names(api: k8s.Api, namespace: str) -> set[str]:
    return {run["metadata"]["name"] for run in api.list(k8s.RUNS, namespace)}


def test_old_runs_go_and_those_that_are_stuck_or_going_stay(api: k8s.Api, namespace: str, make: Make) -> None:
    stuck = [{"type": "StuckOnCleanup", "status": "True", "reason": "ResidueLeft", "message": "the toxic x"}]
    looking = Bystanders(api, Wanted(keep_runs=30 * DAY), lambda _: None)
    for run in (
        make("old", 31),
        make("young", 29),
        make("stuck", 99, conditions=stuck),
        make("going", 99, phase="Active", verdict=None, finished=None),
    ):
        looking.saw(run)
    looking.round(time.time())
    assert names(api, namespace) == {"young", "stuck", "going"}


def test_a_namesake_that_came_after_is_not_deleted(api: k8s.Api, namespace: str, make: Make) -> None:
    looking = Bystanders(api, Wanted(keep_runs=30 * DAY), lambda _: None)
    looking.saw(make("slow-1", 31))
    api.delete(k8s.RUNS, "slow-1", namespace)
    make("slow-1", 31)
    looking.round(time.time())
    assert names(api, namespace) == {"slow-1"}


def test_nothing_is_deleted_unless_asked_for(api: k8s.Api, namespace: str, make: Make) -> None:
    looking = Bystanders(api, Wanted(), lambda _: None)
    looking.saw(make("old", 9999))
    looking.round(time.time())
    assert names(api, namespace) == {"old"}


@pytest.fixture
def receiver() -> Iterator[tuple[str, "queue.Queue[dict[str, Any]]"]]:
    got: queue.Queue[dict[str, Any]] = queue.Queue()

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", got
        server.shutdown()
        thread.join()


def test_a_verdict_is_told_once_across_restarts_of_the_operator(
    api: k8s.Api, namespace: str, make: Make, receiver: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(notify.URL, receiver[0])
    run = make("slow-1", 0)
    first = Bystanders(api, Wanted(), lambda _: None)
    first.saw(run)
    assert receiver[1].get(timeout=60)["subject"] == "slow-1"
    until(lambda: notify.NOTIFIED in (_seen(api, namespace)["metadata"].get("annotations") or {}))
    assert first.metrics.value(metrics.NOTICES, result="sent") == 1
    first.end()
    second = Bystanders(api, Wanted(), lambda _: None)
    second.saw(_seen(api, namespace))
    second.end()
    assert receiver[1].empty()


def _seen(api: k8s.Api, namespace: str) -> dict[str, Any]:
    return api.get(k8s.RUNS, "slow-1", namespace)


# Journals


@pytest.fixture
def journals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, float], RunFolder]:
    monkeypatch.setenv("AFTERSHOCK_HOME", str(tmp_path))

    def call(name: str, finished: float, phase: str = "Finished") -> RunFolder:
        folder = RunFolder(tmp_path / "runs" / name)
        folder.path.mkdir(parents=True)
        folder.journal.touch()
        record = {
            "kind": "Run", "apiVersion": k8s.OURS, "metadata": {"name": name}, "spec": {"experiment": "e", "stack": "s"},
            "status": {"phase": phase, "finished": datetime.fromtimestamp(finished, UTC).isoformat(timespec="seconds")},
        }  # fmt: skip
        (folder.path / "run.json").write_text(json.dumps(record))
        return folder

    return call


def test_journals_go_by_age_and_count_but_none_that_is_being_written(
    journals: Callable[..., RunFolder], tmp_path: Path
) -> None:
    now = time.time()
    for days in (1, 2, 3, 40):
        journals(f"run-{days}", now - days * DAY)
    going = journals("going", now - 99 * DAY, phase="Active")
    lock = going.lock()
    assert lock is not None
    assert throw_away_journals(Limits(age=30 * DAY, count=2), now) == ["run-40", "run-3"]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["going", "run-1", "run-2"]


def test_an_executor_tidies_up_as_its_environment_says(
    journals: Callable[..., RunFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for days in (1, 2, 40):
        journals(f"run-{days}", time.time() - days * DAY)
    said: list[str] = []
    nobody: Any = None  # is asked only for journals in object storage
    tidy(nobody, "staging", "", said.append)
    assert said == [] and len(list((tmp_path / "runs").iterdir())) == 3
    monkeypatch.setenv(AGE, "thirty days")
    tidy(nobody, "staging", "", said.append)
    assert "thirty days" in said.pop() and len(list((tmp_path / "runs").iterdir())) == 3
    monkeypatch.setenv(AGE, "30d")
    monkeypatch.setenv(COUNT, "1")
    tidy(nobody, "staging", "", said.append)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["run-1"]
