"""Journals in object storage: a real HTTP server that speaks S3 (moto's), the real executor, and reports read from it."""

import importlib.util
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aftershock.adapters import bucket
from aftershock.adapters import kubernetes as k8s
from aftershock.adapters.bucket import Place
from aftershock.adapters.store import NAME
from aftershock.core.history import Entered, Intended, parse
from aftershock.core.retention import Limits
from aftershock.errors import AftershockError, InputError, JournalError
from aftershock.runtime.cluster import journals, objects
from aftershock.runtime.cluster.journals import Copier, Keeper
from aftershock.runtime.cluster.retention import COUNT, throw_away_copies, tidy
from component.conftest import answers, free_port, toxiproxy, toxiproxy_url  # noqa: F401 - fixtures
from control_plane.conftest import until
from control_plane.executing import Field
from control_plane.test_executor import field  # noqa: F401 - a fixture
from whole_runs import type_in

PLACE = "s3://evidence/chaos/kept"


@dataclass(frozen=True)
class Store:
    """How to reach the store, as the executor's environment says it."""

    environment: dict[str, str]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    if importlib.util.find_spec("moto") is None:
        pytest.skip("moto, which stands in for S3, is not installed: make setup does")
    port = free_port()
    line = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: answers(port))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def credentials(endpoint: str) -> dict[str, str]:
    names = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
    return {**names, "AWS_ENDPOINT_URL": endpoint}


@pytest.fixture
def store(server: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    import requests

    environment = credentials(server)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    requests.post(f"{server}/moto-api/reset", timeout=30).raise_for_status()
    requests.put(f"{server}/evidence", timeout=30).raise_for_status()
    return Store(environment)


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> str:
    """A store that is away."""
    endpoint = "http://127.0.0.1:1"
    for name, value in credentials(endpoint).items():
        monkeypatch.setenv(name, value)
    return endpoint


def test_what_was_put_is_what_is_got_and_the_newest_counts(store: Store) -> None:
    place = Place.parse(PLACE)
    for content in (b"first\n", b"first\nsecond\n"):
        bucket.put(place, "run/journal.jsonl", content)
    assert place.url("run/journal.jsonl") == f"{PLACE}/run/journal.jsonl"
    assert bucket.get(f"{PLACE}/run/journal.jsonl") == b"first\nsecond\n"


@pytest.mark.parametrize("url", ["s3://evidence/not/there", "s3://no-such-bucket/x"])
def test_what_is_not_there_is_said_by_name(store: Store, url: str) -> None:
    with pytest.raises(JournalError, match=url):
        bucket.get(url)


@pytest.mark.parametrize("place", ["s3://", "https://evidence", "evidence", "s3:///prefix", "s3://a/b?c=d"])
def test_a_place_that_is_none_is_refused(place: str) -> None:
    with pytest.raises(InputError):
        journals.check(place)


def test_a_run_is_reported_and_judged_from_the_store(field: Field, store: Store, tmp_path: Path) -> None:  # noqa: F811
    run = field.give()
    with field.executor(AFTERSHOCK_JOURNAL=PLACE, **store.environment) as one:
        one.wait()
    where = field.status()["journal"]
    folder = objects.run_folder("slow-1", objects.token(run["metadata"]["uid"])).name
    assert where == f"{PLACE}/{field.namespace}/{folder}/{NAME}"
    assert bucket.get(where) == (field.home / "runs" / folder / NAME).read_bytes()
    elsewhere = tmp_path / "elsewhere"
    told = {"KUBECONFIG": str(field.kubeconfig), **store.environment}
    report = type_in(elsewhere, "report", "run/slow-1", "-n", field.namespace, "--form", "json", "--out", "-", **told)
    assert folder in report.out, report.said
    judged = type_in(elsewhere, "judge", "run/slow-1", "-n", field.namespace, **told)
    assert field.status()["verdict"].lower() in judged.out.lower(), judged.said


def test_intents_are_copied_while_the_run_goes_on(field: Field, store: Store) -> None:  # noqa: F811
    run = field.give(hold="300s")
    token = objects.token(run["metadata"]["uid"])
    with field.executor(AFTERSHOCK_JOURNAL=PLACE, **store.environment) as one:
        field.until_injected(one)
        url = f"{PLACE}/{field.namespace}/slow-1-{token}/{NAME}"
        until(lambda: has_intent(url))
        one.process.kill()


def test_old_journals_go_from_the_store_but_none_of_a_run_that_goes_on(field: Field, store: Store) -> None:  # noqa: F811
    run, place = field.give(), Place.parse(PLACE)
    going = objects.run_folder("slow-1", objects.token(run["metadata"]["uid"])).name
    journal, twin = f"{field.namespace}/{going}/{NAME}", f"{field.namespace}/slow-1-k3f9a2x1/{NAME}"
    others = [
        f"elsewhere/slow-1-k3f9a2x1/{NAME}",
        f"{field.namespace}/{NAME}",
        f"{field.namespace}/a/b/{NAME}",
        "notes",
    ]
    for name in (journal, twin, *others):
        bucket.put(place, name, b"{}")
    later = time.time() + 31 * 86400.0
    age = Limits(age=30 * 86400.0)
    assert throw_away_copies(field.api, place, field.namespace, age, time.time()) == []
    assert throw_away_copies(field.api, place, field.namespace, age, later) == ["slow-1-k3f9a2x1"]
    assert set(bucket.there(place, "")) == {journal, *others}
    field.api.patch(k8s.RUNS, "slow-1", {"status": {"phase": "Finished"}}, field.namespace, subresource="status")
    assert throw_away_copies(field.api, place, field.namespace, age, later) == [going]
    assert set(bucket.there(place, "")) == set(others)


def test_an_executor_tidies_the_store_up(field: Field, store: Store) -> None:  # noqa: F811
    place, old = Place.parse(PLACE), f"{field.namespace}/slow-0-k3f9a2x1/{NAME}"
    bucket.put(place, old, b"{}")
    field.give()
    with field.executor(AFTERSHOCK_JOURNAL=PLACE, AFTERSHOCK_KEEP_JOURNALS_COUNT="1", **store.environment) as one:
        one.wait()
    (left,) = bucket.there(place, "")
    assert field.status()["journal"] == place.url(left)


def test_a_store_that_is_away_keeps_what_is_old_and_says_so(
    nobody: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AFTERSHOCK_HOME", str(tmp_path))
    monkeypatch.setenv(COUNT, "1")
    said: list[str] = []
    tidy(nothing_to_ask, "staging", PLACE, said.append)
    assert len(said) == 1 and f"can't list {PLACE}/staging" in said[0]


nothing_to_ask: Any = None
"""The API, for those who don't get as far."""


def has_intent(url: str) -> bool:
    try:
        return bool(parse(bucket.get(url)).all(Intended))
    except AftershockError:
        return False


def test_a_store_that_is_away_delays_nothing_and_the_run_says_where_its_journal_is(nobody: str, tmp_path: Path) -> None:
    said: list[str] = []
    journal = tmp_path / "slow-1-k3f9a2x1" / NAME
    journal.parent.mkdir()
    journal.write_bytes(b"{}\n")
    copier = Copier(journal, PLACE, "staging/slow-1-k3f9a2x1", said.append, patience=0.0)
    began = time.thread_time()
    copier.follow(Entered(at=0.0, phase="Active"))
    assert time.thread_time() - began < 1.0
    where = copier.finish()
    assert where.startswith(f"{journal} (not at {PLACE}/staging/slow-1-k3f9a2x1/{NAME}: can't write")
    assert len(said) == 1


def test_a_copier_goes_on_until_the_store_answers(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    endpoint = store.environment["AWS_ENDPOINT_URL"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    said: list[str] = []
    journal = tmp_path / NAME
    journal.write_bytes(b"{}\n")
    copier = Copier(journal, PLACE, "staging/run", said.append)
    copier.follow(Entered(at=0.0, phase="Active"))
    until(lambda: said)
    journal.write_bytes(b"{}\n{}\n")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    assert copier.finish() == f"{PLACE}/staging/run/{NAME}"
    assert bucket.get(f"{PLACE}/staging/run/{NAME}") == b"{}\n{}\n"


def test_a_journal_on_a_volume_says_where_and_what_to_do(
    field: Field, monkeypatch: pytest.MonkeyPatch, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    monkeypatch.setenv("AFTERSHOCK_HOME", str(tmp_path / "mine"))
    run = field.give()
    folder = objects.run_folder("slow-1", objects.token(run["metadata"]["uid"]))
    keeper = Keeper(folder / NAME, "pvc://journals")
    with pytest.raises(InputError, match="no journal yet"):
        journals.find(field.api, field.namespace, "slow-1")
    status = {"status": {"phase": "Finished", "journal": keeper.finish(), "executor": "slow-1-abc"}}
    field.api.patch(k8s.RUNS, "slow-1", status, field.namespace, subresource="status")
    with pytest.raises(JournalError, match=f"volume claim journals, as {folder.name}/{NAME}"):
        journals.find(field.api, field.namespace, "slow-1")
    folder.mkdir(parents=True)
    (folder / NAME).touch()
    assert journals.find(field.api, field.namespace, "slow-1") == folder / NAME


def test_a_volume_that_can_not_be_read_is_said_with_what_became_of_the_pod(
    field: Field, monkeypatch: pytest.MonkeyPatch, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    """Nothing runs the reading pod here: the test says of it what a kubelet would. Reading one is in tests/cluster."""
    monkeypatch.setenv("AFTERSHOCK_HOME", str(tmp_path / "mine"))
    monkeypatch.setenv("AFTERSHOCK_IMAGE", "localhost/aftershock:1")
    enforce = {"pod-security.kubernetes.io/enforce": "restricted"}
    field.api.patch(k8s.NAMESPACES, field.namespace, {"metadata": {"labels": enforce}})
    field.give()
    status = {"status": {"phase": "Finished", "journal": "pvc://journals/slow-1-x/journal.jsonl", "executor": "gone"}}
    field.api.patch(k8s.RUNS, "slow-1", status, field.namespace, subresource="status")

    def fail() -> None:
        until(lambda: field.api.list(k8s.PODS, field.namespace))
        (pod,) = field.api.list(k8s.PODS, field.namespace)
        (container,) = pod["spec"]["containers"]
        assert container["command"][-1] == "/journals/slow-1-x/journal.jsonl"
        assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
        assert pod["metadata"]["ownerReferences"][0]["name"] == "slow-1", (
            "it goes with its Run, whoever asked was killed"
        )
        done = subprocess.run(container["command"], capture_output=True, text=True)  # here there is no such file either
        ended = {"terminated": {"exitCode": done.returncode, "reason": "Error", "message": done.stderr}}
        assert done.returncode
        said = {"name": "reader", "state": ended, "image": "", "imageID": "", "ready": False, "restartCount": 0}
        change = {"status": {"phase": "Failed", "containerStatuses": [said]}}
        field.api.patch(k8s.PODS, pod["metadata"]["name"], change, field.namespace, subresource="status")

    kubelet = threading.Thread(target=fail)
    kubelet.start()
    with pytest.raises(
        JournalError,
        match=r"volume claim journals, as slow-1-x/.*is Failed: Error .*journal.jsonl is not there",
    ):
        journals.find(field.api, field.namespace, "slow-1")
    kubelet.join()
    assert field.api.list(k8s.PODS, field.namespace) == []
