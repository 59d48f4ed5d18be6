"""The kinds as kubectl shows them: defaults, columns, names, explanations, and what may not change."""

import json
from itertools import pairwise
from typing import Any

import pytest

from aftershock.adapters import kubernetes as k8s
from control_plane.conftest import Kubectl

pytestmark = pytest.mark.usefixtures("applied_crds")
Tree = dict[str, Any]


def made(kind: str, spec: Tree, name: str = "x") -> Tree:
    return {"apiVersion": k8s.OURS, "kind": kind, "metadata": {"name": name}, "spec": spec}


def test_defaults_are_filled_in(api: k8s.Api, namespace: str) -> None:
    fault = {"for": "1s", "fault": "process-kill", "target": "a"}
    claim = {"indicator": "a", "during": "recovery", "atLeast": "99%"}
    api.create(k8s.EXPERIMENTS, made("Experiment", {"stack": "s", "timeline": [fault], "expect": [claim]}), namespace)
    assert api.get(k8s.EXPERIMENTS, "x", namespace)["spec"] == {
        "stack": "s",
        "timeline": [{**fault, "at": "0s"}],
        "expect": [{**claim, "counted": "probes"}],
        "baseline": {"for": "10s"},
        "recovery": {"watch": "2m", "steady": "10s"},
        "allow": {"production": False, "collateral": False},
        "trigger": "OnApply",
        "waitFor": "10m",
        "historyLimit": {"passed": 5, "others": 20},
    }


def run(name: str = "x") -> Tree:
    definition = {"stack": "s", "timeline": [{"for": "1s", "fault": "process-kill", "target": "a"}]}
    return made(
        "Run", {"experiment": "e", "stack": "s", "eras": ["1k"], "definition": definition, "generation": 1}, name
    )


@pytest.mark.parametrize(
    "change",
    [
        {"experiment": "f"},
        {"stack": "t"},
        {"eras": ["10k"]},
        {"eras": None},
        {"generation": 2},
        {"generation": None},
        {"definition": None},
        {"definition": {"waitFor": "11m"}},
        {"definition": {"timeline": []}},
    ],
    ids=json.dumps,
)
def test_a_run_is_what_it_was_when_it_was_made(change: Tree, api: k8s.Api, namespace: str) -> None:
    api.create(k8s.RUNS, run(), namespace)
    with pytest.raises(k8s.RefusedError, match="is what it was when it was made"):
        api.patch(k8s.RUNS, "x", {"spec": change}, namespace)


def test_a_run_made_by_hand_is_given_its_definition_once(api: k8s.Api, namespace: str) -> None:
    by_hand = run()
    given = {field: by_hand["spec"].pop(field) for field in ("definition", "generation")}
    api.create(k8s.RUNS, by_hand, namespace)
    api.patch(k8s.RUNS, "x", {"spec": given}, namespace)
    for field in given:
        with pytest.raises(k8s.RefusedError, match="is what it was when it was made"):
            api.patch(k8s.RUNS, "x", {"spec": {field: None}}, namespace)


def test_a_run_can_be_aborted_and_stays_so(api: k8s.Api, namespace: str) -> None:
    api.create(k8s.RUNS, run(), namespace)
    api.patch(k8s.RUNS, "x", {"metadata": {"labels": {"a": "b"}}}, namespace)
    assert api.patch(k8s.RUNS, "x", {"spec": {"abort": True}}, namespace)["spec"]["abort"] is True
    with pytest.raises(k8s.RefusedError, match="aborted stays so"):
        api.patch(k8s.RUNS, "x", {"spec": {"abort": False}}, namespace)


def test_a_status_is_a_thing_of_its_own(api: k8s.Api, namespace: str) -> None:
    made_with = api.create(k8s.RUNS, {**run(), "status": {"phase": "Finished"}}, namespace)
    assert "status" not in made_with
    after = api.patch(k8s.RUNS, "x", {"status": {"phase": "Active"}}, namespace, subresource="status")
    assert after["status"] == {"phase": "Active"}
    assert after["metadata"]["generation"] == made_with["metadata"]["generation"]
    with pytest.raises(k8s.RefusedError, match=r"status\.phase"):
        api.patch(k8s.RUNS, "x", {"status": {"phase": "Lost"}}, namespace, subresource="status")


def columns(table: str) -> dict[str, str]:
    head, line = table.splitlines()
    cuts = [*(head.index(word.strip()) for word in head.split("  ") if word.strip()), None]
    return {head[a:b].strip(): line[a:b].strip() for a, b in pairwise(cuts)}


def test_the_columns_say_whether_it_passed(api: k8s.Api, namespace: str, kubectl: Kubectl) -> None:
    api.create(k8s.RUNS, run(), namespace)
    status = {
        "phase": "Finished",
        "verdict": "Passed",
        "era": "1k",
        "rto": "2.1s to 2.2s",
        "because": "1 min of 43 min",
    }
    api.patch(k8s.RUNS, "x", {"status": status}, namespace, subresource="status")
    shown = columns(kubectl("get", "runs"))
    assert list(shown) == ["NAME", "EXPERIMENT", "ERA", "PHASE", "VERDICT", "RTO", "AGE"]
    assert list(shown.values())[:-1] == ["x", "e", "1k", "Finished", "Passed", "2.1s to 2.2s"]
    assert columns(kubectl("get", "runs", "-o", "wide"))["BECAUSE"] == "1 min of 43 min"

    api.create(k8s.EXPERIMENTS, made("Experiment", {"stack": "s"}), namespace)
    ready = {"type": "Ready", "status": "True", "reason": "Valid", "message": "fine"}
    status = {"conditions": [ready], "lastRun": "x-1", "lastVerdict": "Failed"}
    api.patch(k8s.EXPERIMENTS, "x", {"status": status}, namespace, subresource="status")
    shown = columns(kubectl("get", "experiments"))
    assert list(shown) == ["NAME", "STACK", "TRIGGER", "READY", "LAST RUN", "LAST VERDICT", "AGE"]
    assert list(shown.values())[:-1] == ["x", "s", "OnApply", "True", "x-1", "Failed"]


def test_kinds_have_short_names_and_a_category(api: k8s.Api, namespace: str, kubectl: Kubectl) -> None:
    api.create(k8s.RUNS, run(), namespace)
    api.create(k8s.STACKS, made("Stack", {"era": "1k", "environment": "test"}), namespace)
    for short in ("stk", "exp", "arun"):
        kubectl("get", short)
    assert set(kubectl("get", "aftershock", "-o", "name").split()) >= {"run.aftershock.dev/x", "stack.aftershock.dev/x"}


def test_runs_are_selected_by_what_they_execute(api: k8s.Api, namespace: str, kubectl: Kubectl) -> None:
    api.create(k8s.RUNS, run("one"), namespace)
    other = run("other")
    other["spec"]["experiment"] = "f"
    api.create(k8s.RUNS, other, namespace)
    assert kubectl("get", "runs", "--field-selector", "spec.experiment=f", "-o", "name").split() == [
        "run.aftershock.dev/other"
    ]
    assert [one["metadata"]["name"] for one in api.list(k8s.RUNS, namespace, fields="spec.experiment=e")] == ["one"]


def test_explain_teaches(kubectl: Kubectl) -> None:
    told = kubectl("explain", "experiment.spec.timeline")
    assert "One fault on the timeline" in told
    assert "counted from the end of the baseline" in told
    assert "latency:" in " ".join(kubectl("explain", "experiment.spec.timeline.with.jitter").split())
