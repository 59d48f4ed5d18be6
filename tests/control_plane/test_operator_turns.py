"""Runs that can't start yet: each says what it waits for, starts when that is there, and gives up after `waitFor`."""

import base64
from pathlib import Path

from aftershock.adapters import kubernetes as k8s
from aftershock.runtime.cluster import objects
from control_plane.conftest import until
from control_plane.fronted import app_pod, standing_in
from control_plane.operating import Field, latency

PORT = 8080


def test_it_waits_for_era_stack_and_secret_and_starts_when_they_are_there(field: Field) -> None:
    field.operator()
    field.apply(field.experiment(timeline=[latency("2s")]))
    assert "planted" in field.until_reason("slow-1", "WaitingForStack")
    field.proxy(f"{field.namespace}.planted")
    auth = {"bearer": {"secretRef": {"name": "words", "key": "pass"}}}
    stack = field.stack()
    stack["spec"]["indicators"][0]["http"]["auth"] = auth
    field.api.create(k8s.STACKS, stack)
    assert field.era_name in field.until_reason("slow-1", "WaitingForEra")
    field.place_era()
    assert "words" in field.until_reason("slow-1", "WaitingForSecret")
    secret = {"metadata": {"name": "words"}, "data": {"other": ""}}
    field.api.create(k8s.SECRETS, secret, field.namespace)
    until(lambda: "no key pass" in field.condition("slow-1", "Started")[2])
    assert "status" not in field.events("slow-1")
    change = {"data": {"pass": base64.b64encode(b"tell-nobody").decode()}}
    field.api.patch(k8s.SECRETS, "words", change, field.namespace)
    assert field.verdict("slow-1") == "Passed"
    assert field.condition("slow-1", "Started")[:2] == ("True", "Claimed")
    assert any(b"tell-nobody" in asked.head for asked in field.service.asked)
    assert not [path for path in field.state.rglob("*") if path.is_file() and b"tell-nobody" in path.read_bytes()]


def test_a_secret_of_the_executors_own_is_read_for_nobody(field: Field, tmp_path: Path) -> None:
    """Whoever may apply a Stack would otherwise have the executor's token sent to a server of his."""
    own = tmp_path / "token"
    own.write_text("the-executors-own")
    bearer = {"auth": {"bearer": {"file": str(own)}}}
    http = {"url": f"{field.service.url}/meet", **bearer}
    field.place(indicators=[{"name": "meeting-success", "every": "50ms", "timeout": "1s", "http": http}])
    field.operator()
    reaper = field.reaper()
    field.apply(field.experiment())
    message = field.until_reason("slow-1", "WaitingForStack")
    assert "spec.indicators[0].http.auth.bearer.file" in message
    assert "secretRef" in message
    reaper.until_said("neither a file nor a variable")
    assert not (field.state / "places" / field.namespace / "planted" / "stack.yaml").exists()
    field.api.replace(
        k8s.STACKS, {**field.api.get(k8s.STACKS, "planted", field.namespace), "spec": field.stack()["spec"]}
    )
    assert field.verdict("slow-1") == "Passed"
    assert not any(b"the-executors-own" in asked.head for asked in field.service.asked)


def test_it_waits_so_long_and_no_longer(field: Field) -> None:
    field.operator()
    field.apply(field.experiment(waitFor="1s"))
    status = field.finished("slow-1")
    assert status["verdict"] == "Error"
    assert field.condition("slow-1", "Started")[1] == "DeadlineExceeded"
    _, _, message = field.condition("slow-1", "Started")
    assert "no Stack planted" in message
    assert "kubectl aftershock run slow" in message, "what to do next"
    assert "it starts when" not in message, "it does not start any more"
    assert {one["observedGeneration"] for one in status["conditions"]} == {1}
    field.place()
    field.apply(field.experiment("sentinel"))
    field.finished("sentinel-1")
    assert field.status("slow-1") == status, "it is over, whatever appears"


def test_two_runs_never_hold_one_stack_and_the_oldest_goes_first(field: Field) -> None:
    field.place()
    operator = field.operator()
    field.apply(field.experiment("first", [latency("60s")]))
    until(field.toxics)
    for name in ("second", "third"):
        field.apply(field.experiment(name, [latency("60s", latency="210ms")]))
        assert "first-1" in field.until_reason(f"{name}-1", "WaitingForTarget")
        assert field.status(f"{name}-1").get("executor") is None
    operator.restart()
    _abort(field, "first-1")
    until(lambda: field.status("second-1").get("phase") == "Active")
    until(lambda: "second-1" in field.condition("third-1", "Started")[2])
    _abort(field, "second-1")
    until(lambda: field.status("third-1").get("phase") == "Active")
    _abort(field, "third-1")
    assert field.toxics() == []
    assert set(field.injected.values()) == {1}


def _abort(field: Field, name: str) -> None:
    field.api.patch(k8s.RUNS, name, {"spec": {"abort": True}}, field.namespace)
    assert field.verdict(name) in {"Aborted", "Inconclusive"}, "the latter where nobody had looked yet"


def test_who_has_the_stack_goes_before_who_is_older_and_they_never_wait_for_each_other(field: Field) -> None:
    """The operator died, or the executor ended, between the Stack's Lease and the claim; an older Run is ready by now."""
    field.place()
    definition = field.experiment()["spec"]
    for name in ("a-older", "b-holder"):
        field.apply(field.tree("Run", name, {"experiment": "by-hand", "stack": "planted", "definition": definition}))
    field.api.create(k8s.LEASES, objects.stack_lease(field.run("b-holder")))
    field.operator()
    order = [field.finished(name)["started"] for name in ("b-holder", "a-older")]
    assert order == sorted(order)
    assert {field.verdict(name) for name in ("a-older", "b-holder")} == {"Passed"}


def test_two_stacks_that_name_one_place_are_not_held_at_once(field: Field) -> None:
    """The executor finds the other's lease at the target: its Run waits again, and is no error."""
    field.place("planted", "twin")
    field.operator()
    field.apply(field.experiment("first", [latency("60s")]))
    until(field.toxics)
    field.apply(field.experiment("second", [latency("2s")], stack="twin"))
    field.until_reason("second-1", "WaitingForTarget")
    assert len(field.injected) == 2
    _abort(field, "first-1")
    assert field.verdict("second-1") == "Passed"


def test_two_stacks_that_name_one_service_are_not_held_at_once(field: Field) -> None:
    """It gets one Toxiproxy, whatever the Stacks are called: the second waits until the Service leads where it led."""
    field.place_era()
    with standing_in(field.api, field.namespace, {PORT: field.service.port}) as cluster:
        cluster.service("web", {"port": PORT})
        app_pod(cluster, "web")
        for name in ("shop", "twin"):
            links = [{"name": "in", "service": {"name": "web", "port": PORT}}]
            field.api.create(k8s.STACKS, field.stack(name, toxiproxies=[], links=links))
        field.operator()
        field.apply(field.experiment("first", [latency("60s")], stack="shop"))
        until(lambda: cluster.pods() and cluster.ready() and cluster.toxics())
        field.apply(field.experiment("second", [latency("2s")], stack="twin"))
        field.until_reason("second-1", "WaitingForTarget")
        assert len(cluster.pods()) == 1
        _abort(field, "first-1")
        field.finished("second-1")
        assert cluster.there() == []


def test_a_run_that_waits_can_be_called_off(field: Field) -> None:
    field.place()
    field.operator()
    field.apply(field.experiment("first", [latency("60s")]))
    until(field.toxics)
    for name in ("second", "third"):
        field.apply(field.experiment(name))
        field.until_reason(f"{name}-1", "WaitingForTarget")
    _abort(field, "second-1")
    assert field.condition("second-1", "Started")[0] == "False"
    field.api.delete(k8s.RUNS, "third-1", field.namespace)
    until(lambda: field.find("third-1") is None)
    assert field.status("first-1")["phase"] == "Active"


def test_no_more_than_so_many_at_once(field: Field) -> None:
    field.place()
    field.api.create(k8s.STACKS, field.stack("other", toxiproxies=[], links=[]))
    operator = field.operator("--max-runs", "1")
    field.apply(field.experiment("first", [latency("60s")]))
    until(field.toxics)
    field.apply(field.experiment("second", stack="other"))
    assert "--max-runs" in field.until_reason("second-1", "WaitingForRoom")
    _abort(field, "first-1")
    field.finished("second-1")
    assert operator.said().count("started") == 2
