"""The executor's Job, as a real API server takes it. Nothing runs it here: that is for tests/cluster."""

from typing import Any

import pytest

from aftershock.adapters import kubernetes as k8s
from aftershock.errors import InputError
from aftershock.runtime.cluster import jobs, objects
from aftershock.runtime.cluster.inputs import Lacking
from aftershock.runtime.cluster.jobs import JobLauncher

STEP = {"at": "0s", "for": "30s", "fault": "latency", "target": "in", "with": {"latency": "60ms"}}
DEFINITION = {"stack": "shop", "baseline": {"for": "10s"}, "timeline": [STEP], "recovery": {"watch": "60s"}}
ENVIRONMENT = {
    "AFTERSHOCK_IMAGE": "localhost/aftershock:1",
    "AFTERSHOCK_IMAGE_PULL_SECRETS": "one,two",
    "AFTERSHOCK_SERVICE_ACCOUNT": "default",
    "AFTERSHOCK_RESOURCES": '{"limits": {"memory": "300Mi"}}',
    "AFTERSHOCK_JOURNAL_STORE": "s3://evidence",
    "AFTERSHOCK_JOURNAL_SECRET": "logins",
    "AWS_REGION": "eu-west-1",
    "HOME": "/root",
}


@pytest.fixture
def run(api: k8s.Api, applied_crds: None, namespace: str) -> k8s.Tree:
    spec = {"experiment": "slow", "stack": "shop", "definition": DEFINITION, "generation": 1}
    tree = {
        "apiVersion": k8s.OURS,
        "kind": "Run",
        "metadata": {"name": "slow.er-1", "namespace": namespace},
        "spec": spec,
    }
    return api.create(k8s.RUNS, tree)


def found(api: k8s.Api, run: k8s.Tree, attempt: int = 1) -> k8s.Tree:
    return api.get(k8s.JOBS, jobs.job_name(run, attempt), run["metadata"]["namespace"])


def test_the_job_makes_one_pod_that_may_do_nothing_but_its_work(api: k8s.Api, run: k8s.Tree, namespace: str) -> None:
    enforce = {"pod-security.kubernetes.io/enforce": "restricted"}
    api.patch(k8s.NAMESPACES, namespace, {"metadata": {"labels": enforce}})
    JobLauncher(api, jobs.settings(ENVIRONMENT)).start(run)
    job = found(api, run)
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    told = {each["name"]: each.get("value") for each in container["env"]}
    assert job["metadata"]["ownerReferences"][0]["uid"] == run["metadata"]["uid"]
    assert (spec["backoffLimit"], pod["restartPolicy"], pod["serviceAccountName"]) == (0, "Never", "default")
    assert spec["activeDeadlineSeconds"] > 100 + jobs.UNTIL_WRITTEN
    assert {rule["action"] for rule in spec["podFailurePolicy"]["rules"]} == {"FailJob"}
    assert (container["image"], container["resources"]) == ("localhost/aftershock:1", {"limits": {"memory": "300Mi"}})
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert all("emptyDir" in each for each in pod["volumes"]), "what it writes to goes with it"
    assert container["args"] == ["execute", "slow.er-1", f"--namespace={namespace}"]
    assert told["AFTERSHOCK_JOURNAL"] == "s3://evidence"
    assert told["AWS_REGION"] == "eu-west-1"
    assert "HOME" not in told
    assert container["envFrom"] == [{"secretRef": {"name": "logins"}}]
    assert [each["name"] for each in pod["imagePullSecrets"]] == ["one", "two"]
    template = job["spec"]["template"]
    meta = {"labels": template["metadata"]["labels"], "name": "as-a-pod"}
    made = api.create(k8s.PODS, {"metadata": meta, "spec": pod}, namespace)  # the restricted profile lets it in
    assert made["metadata"]["name"] == "as-a-pod"


def test_a_claim_takes_journals_and_nothing_else(run: k8s.Tree) -> None:
    kept = jobs.settings({"AFTERSHOCK_IMAGE": "a", "AFTERSHOCK_JOURNAL_CLAIM": "journals"})
    pod = jobs.manifest(run, kept)["spec"]["template"]["spec"]
    volumes = {each["name"]: each for each in pod["volumes"]}
    mounts = {each["name"]: each["mountPath"] for each in pod["containers"][0]["volumeMounts"]}
    assert volumes["journals"]["persistentVolumeClaim"] == {"claimName": "journals"}
    assert mounts["journals"] == "/var/lib/aftershock/runs"
    assert volumes["secrets"]["emptyDir"]["medium"] == "Memory"
    assert mounts["secrets"] == "/var/lib/aftershock/execute"


def test_starting_twice_makes_one_job_and_another_operator_knows_it(
    api: k8s.Api, run: k8s.Tree, namespace: str
) -> None:
    kept = jobs.settings(ENVIRONMENT)
    first, second = JobLauncher(api, kept), JobLauncher(api, kept)
    assert not first.under_way(run)
    first.start(run)
    assert first.under_way(run)
    assert second.under_way(run)
    second.start(run)
    assert len(api.list(k8s.JOBS, namespace)) == 1


def over(api: k8s.Api, run: k8s.Tree, kind: str, attempt: int = 1) -> None:
    """Write what the Job's controller would."""
    before = "SuccessCriteriaMet" if kind == "Complete" else "FailureTarget"
    when = objects.now()
    conditions: list[Any] = [
        {
            "type": each,
            "status": "True",
            "reason": "PodFailurePolicy",
            "message": "no image",
            "lastTransitionTime": when,
        }
        for each in (before, kind)
    ]
    status = {"conditions": conditions, "startTime": when, **({"completionTime": when} if kind == "Complete" else {})}
    name = jobs.job_name(run, attempt)
    counted = {"succeeded": 1} if kind == "Complete" else {"failed": 1}
    change = {"status": {**status, **counted, "uncountedTerminatedPods": {}}}
    api.patch(k8s.JOBS, name, change, run["metadata"]["namespace"], subresource="status")


def test_a_run_that_was_given_back_gets_another_job_but_not_for_ever(api: k8s.Api, run: k8s.Tree) -> None:
    launcher = JobLauncher(api, jobs.settings(ENVIRONMENT))
    for attempt in range(1, jobs.ATTEMPTS + 1):
        launcher.start(run)
        assert launcher.under_way(run)
        over(api, run, "Complete", attempt)
        assert not launcher.under_way(run)
    with pytest.raises(Lacking) as lacking:
        launcher.start(run)
    assert lacking.value.reason == "ExecutorFailed"


def test_a_job_that_failed_before_it_took_the_run_is_said_and_not_made_again(api: k8s.Api, run: k8s.Tree) -> None:
    launcher = JobLauncher(api, jobs.settings(ENVIRONMENT))
    launcher.start(run)
    over(api, run, "Failed")
    with pytest.raises(Lacking) as lacking:
        launcher.start(run)
    assert "no image" in lacking.value.message
    assert api.find(k8s.JOBS, jobs.job_name(run, 2), run["metadata"]["namespace"]) is None


@pytest.mark.parametrize("environment", [{}, {"AFTERSHOCK_IMAGE": "a", "AFTERSHOCK_RESOURCES": "{"}])
def test_an_installation_that_does_not_say_enough_is_told(environment: dict[str, str]) -> None:
    with pytest.raises(InputError):
        jobs.settings(environment)


def test_the_longest_names_fit() -> None:
    run = {"metadata": {"name": "a" * 253, "uid": "u"}}
    assert len(jobs.job_name(run, 5)) <= 63 - len("-abcde")
