"""The Job of an executor: what a restricted namespace takes, once, and not for ever."""

import json
from typing import Any

import pytest

from aftershock.errors import InputError
from aftershock.runtime.cluster import jobs, objects
from aftershock.runtime.cluster.jobs import Settings

RUN: dict[str, Any] = {
    "metadata": {"name": "slow.database-3", "namespace": "staging", "uid": "2f0a6f1e-3a6c-4a83-9a55-0f6c0f3b8f10"},
    "spec": {
        "experiment": "slow.database",
        "stack": "meetings-1k",
        "definition": {
            "stack": "meetings-1k",
            "baseline": {"for": "10s"},
            "recovery": {"watch": "2m", "steady": "10s"},
            "timeline": [{"at": "5s", "for": "30s", "fault": "latency", "target": "l", "with": {"latency": "1s"}}],
        },
    },
}


def pod(**settings: Any) -> dict[str, Any]:
    made: dict[str, Any] = jobs.manifest(RUN, Settings(image="registry/aftershock:1", **settings))
    spec: dict[str, Any] = made["spec"]["template"]["spec"]
    return spec


def test_it_runs_once_and_not_for_ever() -> None:
    made = jobs.manifest(RUN, Settings(image="registry/aftershock:1"))
    spec = made["spec"]
    assert (spec["backoffLimit"], spec["completions"], spec["parallelism"]) == (0, 1, 1)
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    planned = 10 + 35 + 120
    assert planned + jobs.SPARE < spec["activeDeadlineSeconds"] < 3600
    assert made["metadata"]["ownerReferences"][0]["uid"] == RUN["metadata"]["uid"]


def test_its_name_is_a_label_and_the_same_each_time() -> None:
    name = jobs.name_of(RUN)
    assert name == jobs.name_of(json.loads(json.dumps(RUN)))
    assert name.endswith(objects.token(RUN["metadata"]["uid"]))
    assert "." not in name
    assert len(jobs.name_of({"metadata": {**RUN["metadata"], "name": "x" * 200}})) <= 57


def test_it_is_what_a_restricted_namespace_takes() -> None:
    spec = pod()
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    security = container["securityContext"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert (security["allowPrivilegeEscalation"], security["readOnlyRootFilesystem"]) == (False, True)


def test_secrets_never_lie_on_a_volume_that_stays() -> None:
    volumes = {each["name"]: each for each in pod(claim="journals")["volumes"]}
    assert volumes["state"]["persistentVolumeClaim"] == {"claimName": "journals"}
    assert volumes["secrets"]["emptyDir"] == {"medium": "Memory"}


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AFTERSHOCK_IMAGE": "registry/aftershock:1",
        "AFTERSHOCK_IMAGE_PULL_SECRETS": "one,two",
        "AFTERSHOCK_RESOURCES": '{"limits": {"memory": "512Mi"}}',
        "AFTERSHOCK_JOURNAL_STORE": "s3://bucket/prefix",
        "AFTERSHOCK_JOURNAL_SECRET": "credentials",
    }.items():
        monkeypatch.setenv(name, value)
    found = Settings.from_environment()
    (container,) = jobs.manifest(RUN, found)["spec"]["template"]["spec"]["containers"]
    assert {"name": "AFTERSHOCK_JOURNAL_STORE", "value": "s3://bucket/prefix"} in container["env"]
    assert container["envFrom"] == [{"secretRef": {"name": "credentials"}}]
    assert container["resources"] == {"limits": {"memory": "512Mi"}}
    assert found.pull_secrets == ("one", "two")


def test_without_an_image_there_is_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AFTERSHOCK_IMAGE", raising=False)
    with pytest.raises(InputError) as caught:
        Settings.from_environment()
    assert "--launcher child" in caught.value.advice
