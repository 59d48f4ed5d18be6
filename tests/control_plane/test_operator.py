"""The operator on a real API server: what is applied becomes Runs, and they end with a verdict and nothing left."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aftershock.adapters import kubernetes as k8s
from aftershock.runtime.cluster import objects
from aftershock.stacks.control_plane import ControlPlane
from control_plane.conftest import Kubectl, started_plane, until
from control_plane.operating import Field, Part, field_on, latency

# When a Run is made


def test_what_is_applied_runs_once_to_its_verdict(field: Field) -> None:
    field.place()
    field.operator()
    made = field.apply(field.experiment(timeline=[latency("2s")]))
    assert field.verdict("slow-1") == "Passed"
    run = field.run("slow-1")
    assert [one["uid"] for one in run["metadata"]["ownerReferences"]] == [made["metadata"]["uid"]]
    assert run["metadata"]["labels"] == {objects.EXPERIMENT: "slow"}
    assert list(field.injected.values()) == [1, 1], "a toxic each way, once"
    assert field.toxics() == []
    until(lambda: field.of_experiment("slow").get("lastVerdict") == "Passed")
    status = field.of_experiment("slow")
    assert (status["observedGeneration"], status["lastRun"], status["active"]) == (1, "slow-1", [])
    assert field.ready("slow")[:2] == ("True", "Valid")
    until(lambda: "Verdict" in field.events("slow-1"))
    assert field.events("slow") == ["RunCreated"]
    until(lambda: not field.api.list(k8s.LEASES, field.namespace))


def test_the_spec_makes_a_run_and_nothing_else_does(field: Field, plane: ControlPlane) -> None:
    """Applied twice, labelled, annotated: one Run. A changed spec: another."""
    kubectl = Kubectl(plane.kubectl, plane.kubeconfig, field.namespace)
    field.place()
    operator = field.operator()
    text = json.dumps(field.experiment())
    kubectl("apply", "-f", "-", feed=text)
    field.finished("slow-1")
    kubectl("apply", "-f", "-", feed=text)
    kubectl("label", "experiment", "slow", "team=red")
    kubectl("annotate", "experiment", "slow", "why=because")
    operator.restart()
    kubectl("apply", "-f", "-", feed=json.dumps(field.experiment(hypothesis="It goes on.")))
    field.finished("slow-2")
    assert field.runs() == ["slow-1", "slow-2"]
    assert "hypothesis" not in field.run("slow-1")["spec"]["definition"]
    assert field.run("slow-2")["spec"]["definition"]["hypothesis"] == "It goes on."


def test_nothing_is_written_once_a_run_is_over(field: Field) -> None:
    """Versions stay what they are while another Run comes and goes: no look writes what stands there already."""
    field.place()
    field.api.create(k8s.STACKS, field.stack("other", toxiproxies=[], links=[]))
    field.operator()
    field.apply(field.experiment())
    field.finished("slow-1")
    until(lambda: field.of_experiment("slow").get("active") == [] and field.of_experiment("slow").get("lastVerdict"))
    before = [field.run("slow-1"), field.api.get(k8s.EXPERIMENTS, "slow", field.namespace)]
    field.apply(field.experiment("second", stack="other"))
    field.apply(field.experiment("third"))
    field.finished("second-1")
    field.finished("third-1")
    after = [field.run("slow-1"), field.api.get(k8s.EXPERIMENTS, "slow", field.namespace)]
    assert after == before


def test_a_manual_one_waits_for_somebody_who_asks(field: Field) -> None:
    field.place()
    field.operator()
    field.apply(field.experiment("asked", trigger="Manual"))
    until(lambda: field.ready("asked")[0] == "True")
    assert field.runs() == []
    field.apply(field.tree("Run", "by-hand", {"experiment": "asked", "stack": "planted"}))
    field.finished("by-hand")
    assert field.run("by-hand")["spec"]["generation"] == 1, "the definition is on record"
    assert field.runs() == ["by-hand"]


def test_a_new_one_of_the_same_name_runs_though_the_old_ones_run_is_still_there(field: Field) -> None:
    field.place()
    field.operator()
    field.apply(field.experiment(timeline=[latency("60s")]))
    until(field.toxics)
    old = field.run("slow-1")["metadata"]["uid"]
    field.api.delete(k8s.EXPERIMENTS, "slow", field.namespace)
    field.apply(field.experiment())
    until(lambda: (field.find("slow-1") or {"metadata": {"uid": old}})["metadata"]["uid"] != old)
    field.finished("slow-1")
    assert field.toxics() == []


POLICIES = k8s.Resource("admissionregistration.k8s.io/v1", "validatingadmissionpolicies", namespaced=False)
BINDINGS = k8s.Resource("admissionregistration.k8s.io/v1", "validatingadmissionpolicybindings", namespaced=False)


def forbid_runs(field: Field, why: str) -> None:
    """Have a policy of the cluster's refuse Runs in this namespace, until it is taken away."""
    matched = {"apiGroups": ["aftershock.dev"], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["runs"]}
    only_here = {"matchLabels": {"kubernetes.io/metadata.name": field.namespace}}
    policy = {
        "matchConstraints": {"resourceRules": [matched], "namespaceSelector": only_here},
        "validations": [{"expression": "false", "message": why}],
    }
    bound = {"policyName": field.namespace, "validationActions": ["Deny"]}
    for resource, spec in ((POLICIES, policy), (BINDINGS, bound)):
        field.api.create(resource, {"metadata": {"name": field.namespace}, "spec": spec})
        field.ending.callback(field.api.delete, resource, field.namespace)
    probe = {**field.tree("Run", "probe", {"experiment": "a", "stack": "a"}), "metadata": {"name": "probe"}}
    until(lambda: _refused(field, probe))


def _refused(field: Field, tree: k8s.Tree) -> bool:
    try:
        field.api.call("POST", k8s.RUNS, "", field.namespace, json=tree, params={"dryRun": "All"})
    except k8s.RefusedError:
        return True
    return False


def test_a_run_that_is_not_let_in_is_told_on_its_experiment_and_made_once_it_is(field: Field) -> None:
    field.place()
    forbid_runs(field, "no chaos here, says the security team")
    operator = field.operator()
    field.apply(field.experiment())
    until(lambda: field.ready("slow")[1] == "RunRefused")
    status, _, message = field.ready("slow")
    assert status == "False"
    assert "slow-1" in message
    assert "says the security team" in message
    operator.until_said("says the security team")
    until(lambda: "RunRefused" in field.events("slow"))
    field.api.delete(BINDINGS, field.namespace)
    field.finished("slow-1")
    until(lambda: field.ready("slow")[0] == "True")


# Schedules


def minutes_ago(minutes: int) -> str:
    return (datetime.now(UTC) - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def absent(field: Field, operator: Part, name: str, since: str) -> None:
    """Let the operator have been away since then."""
    until(lambda: field.of_experiment(name).get("lastScheduled"))
    operator.kill()
    field.api.patch(k8s.EXPERIMENTS, name, {"status": {"lastScheduled": since}}, field.namespace, subresource="status")
    operator.start()


def test_of_the_times_that_were_missed_one_is_made_up_for(field: Field) -> None:
    field.place()
    operator = field.operator()
    field.apply(field.experiment("nightly", trigger="Schedule", schedule={"cron": "* * * * *", "concurrency": "Allow"}))
    absent(field, operator, "nightly", minutes_ago(7))
    until(field.runs)
    (made, *more) = field.runs()
    operator.kill()
    operator.start()
    field.finished(made)
    at = datetime.fromisoformat(field.run(made)["metadata"]["annotations"][objects.SCHEDULED])
    assert made == f"nightly-1-{int(at.timestamp()) // 60}"
    later = [int(name.rpartition("-")[2]) * 60 for name in more]
    assert all(each > at.timestamp() for each in later), "a minute that came since; none that was missed"
    assert field.of_experiment("nightly")["lastScheduled"] >= at.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_time_beyond_its_deadline_is_skipped(field: Field) -> None:
    field.place()
    operator = field.operator()
    hour = (datetime.now(UTC) - timedelta(hours=2)).hour
    field.apply(
        field.experiment("nightly", trigger="Schedule", schedule={"cron": f"0 {hour} * * *", "startingDeadline": "30m"})
    )
    absent(field, operator, "nightly", minutes_ago(3 * 24 * 60))
    field.apply(field.experiment("sentinel"))
    field.finished("sentinel-1")
    assert field.runs() == ["sentinel-1"]


@pytest.mark.parametrize(("policy", "verdicts"), [("Forbid", 0), ("Replace", 1)])
def test_concurrency_while_the_one_before_goes_on(field: Field, policy: str, verdicts: int) -> None:
    field.place()
    operator = field.operator()
    schedule = {"cron": "* * * * *", "concurrency": policy}
    field.apply(field.experiment("often", [latency("120s")], trigger="Schedule", schedule=schedule))
    absent(field, operator, "often", minutes_ago(2))
    until(field.toxics)
    first, *_ = field.runs()  # by Replace, a minute that has just begun may have made the next one: names tell the time
    absent(field, operator, "often", minutes_ago(2))
    if policy == "Forbid":
        until(lambda: "Skipped" in field.events("often"))
        assert field.status(first)["phase"] == "Active"
        assert field.runs() == [first]
    else:
        until(lambda: len(field.runs()) == 2 or field.status(first).get("phase") == "Finished")
        field.finished(first)
        assert field.status(first)["verdict"] == "Aborted"


@pytest.mark.parametrize(
    "schedule", [{"cron": "99 0 * * *"}, {"cron": "0 0 30 2 *"}, {"cron": "0 0 * * *", "timeZone": "Mars/Base"}]
)
def test_a_schedule_that_means_nothing_is_invalid_or_refused(field: Field, schedule: dict[str, str]) -> None:
    field.place()
    operator = field.operator()
    try:
        field.apply(field.experiment("odd", trigger="Schedule", schedule=schedule))
    except k8s.RefusedError:
        return
    until(lambda: field.ready("odd")[:2] == ("False", "Invalid"))
    assert "bug" not in operator.said()


# Bad input


def test_what_is_unsound_is_refused_at_admission(field: Field) -> None:
    wrong = {"at": "0s", "for": "1s", "fault": "no-such-fault", "target": "in"}
    with pytest.raises(k8s.RefusedError, match="no-such-fault"):
        field.apply(field.experiment("odd", [wrong]))


def test_what_is_unsound_is_marked_and_makes_no_run(field: Field) -> None:
    """What a schedule means is more than the API server can tell."""
    field.place()
    operator = field.operator()
    field.apply(field.experiment("odd", trigger="Schedule", schedule={"cron": "0 0 30 2 *"}))
    until(lambda: field.ready("odd")[:2] == ("False", "Invalid"))
    assert "0 0 30 2 *" in field.ready("odd")[2]
    until(lambda: field.events("odd") == ["Invalid"])
    assert field.runs() == []
    mended = {"spec": {"trigger": "OnApply", "schedule": None, "timeline": [latency("2s")]}}
    field.api.patch(k8s.EXPERIMENTS, "odd", mended, field.namespace)
    assert field.verdict("odd-2") == "Passed"
    until(lambda: field.ready("odd")[:2] == ("True", "Valid"))
    assert "bug" not in operator.said()


def test_what_does_not_fit_its_stack_is_told_on_the_run(field: Field) -> None:
    field.place()
    field.operator()
    field.apply(field.experiment("odd", [{**latency(), "target": "nowhere"}], waitFor="3s"))
    until(lambda: field.condition("odd-1", "Started")[1] == "Invalid")
    assert "nowhere" in field.condition("odd-1", "Started")[2]
    assert field.verdict("odd-1") == "Error"
    assert not field.injected


def test_without_its_kinds_it_says_so_and_goes_on_when_they_are_there(tmp_path: Path, shared_toxiproxy: str) -> None:
    from control_plane.conftest import install_crds

    with started_plane() as fresh:
        api = k8s.Api.connect(fresh.kubeconfig)
        with field_on(api, fresh.kubeconfig, shared_toxiproxy, tmp_path) as field:
            operator = field.operator()
            operator.until_said("aftershock crds | kubectl apply -f -")
            install_crds(api)
            field.place()
            field.apply(field.experiment())
            field.finished("slow-1")
