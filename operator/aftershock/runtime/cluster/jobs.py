"""Executors as Jobs of the cluster, in the namespace of their Run. The manifest is a pure function; nothing runs twice.

A Job is named after its Run and its token, so that starting twice starts once; it has one pod, which is never replaced.
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from aftershock.adapters.kubernetes import JOBS, OURS, Api, ConflictError, MissingError, Tree
from aftershock.errors import InputError, TargetError
from aftershock.model.experiment import ExperimentSpec
from aftershock.runtime.cluster import objects
from aftershock.runtime.cluster.execute import UNTIL_WRITTEN

HOME = "/var/lib/aftershock"
SPARE = 180.0
"""Seconds beyond the planned length: to start, to clean up, to judge."""

GRACE = 60
"""Seconds that a pod which is told to end has for healing."""

KEPT = 3600
"""Seconds for which a finished Job stays, for whoever reads its log."""

ASKING = 5.0
"""Seconds between two questions whether a Job of which nothing is heard is still there."""


@dataclass(frozen=True)
class Settings:
    """What executors' pods are made of; from the environment, where the chart puts it."""

    image: str
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()
    service_account: str = "aftershock-executor"
    resources: Mapping[str, Any] = field(default_factory=dict)
    claim: str = ""
    """A PersistentVolumeClaim for journals; empty: they go with the pod, or to a store."""

    secret: str = ""
    """A Secret whose keys are the store's credentials."""

    handed_on: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_environment(cls) -> Self:
        """Read AFTERSHOCK_IMAGE and its like. InputError where there is no image."""
        env = os.environ
        if not env.get("AFTERSHOCK_IMAGE"):
            raise InputError(
                "AFTERSHOCK_IMAGE is not set, so there is no image to make Jobs of",
                "install the chart, which sets it, or run executors here: --launcher child",
            )
        return cls(
            image=env["AFTERSHOCK_IMAGE"],
            pull_policy=env.get("AFTERSHOCK_IMAGE_PULL_POLICY") or cls.pull_policy,
            pull_secrets=tuple(name for name in env.get("AFTERSHOCK_IMAGE_PULL_SECRETS", "").split(",") if name),
            service_account=env.get("AFTERSHOCK_SERVICE_ACCOUNT") or cls.service_account,
            resources=json.loads(env.get("AFTERSHOCK_RESOURCES") or "{}"),
            claim=env.get("AFTERSHOCK_JOURNAL_CLAIM", ""),
            secret=env.get("AFTERSHOCK_JOURNAL_SECRET", ""),
            handed_on={name: env[name] for name in HANDED_ON if env.get(name)},
        )


HANDED_ON = (
    "AFTERSHOCK_JOURNAL_STORE",
    "AFTERSHOCK_KEEP_JOURNALS",
    "AFTERSHOCK_KEEP_JOURNALS_COUNT",
    "AWS_REGION",
    "AWS_ENDPOINT_URL",
)


def name_of(run: Mapping[str, Any]) -> str:
    """Return the name of a Run's Job: it has to be a label of pods, and leaves room for what is put behind it."""
    meta = run["metadata"]
    return f"{objects.fitting(meta['name'].replace('.', '-'), 48)}-{objects.token(meta['uid'])}"


def manifest(run: Mapping[str, Any], settings: Settings) -> Tree:
    """Return the Job that carries a Run out: one pod, unprivileged, never replaced, ended when it takes far too long."""
    meta, name = run["metadata"], name_of(run)
    labels = {
        "app.kubernetes.io/name": "aftershock",
        "app.kubernetes.io/component": "executor",
        "aftershock.dev/run": objects.fitting(meta["name"], objects.LONGEST_LABEL),
    }
    return {
        "apiVersion": JOBS.group_version,
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": meta["namespace"],
            "labels": labels,
            "ownerReferences": [objects.owner_reference(run, "Run", OURS)],
        },
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": int(_longest(run) + SPARE + UNTIL_WRITTEN),
            "ttlSecondsAfterFinished": KEPT,
            "template": {"metadata": {"labels": labels}, "spec": _pod(run, settings)},
        },
    }


def _longest(run: Mapping[str, Any]) -> float:
    spec: ExperimentSpec = objects.definition(run).object.spec
    held = max((float(one.at + one.for_) for one in spec.timeline), default=0.0)
    return float(spec.baseline.for_) + held + float(spec.recovery.watch)


def _pod(run: Mapping[str, Any], settings: Settings) -> Tree:
    state: Tree = {"persistentVolumeClaim": {"claimName": settings.claim}} if settings.claim else {"emptyDir": {}}
    return {
        "serviceAccountName": settings.service_account,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE,
        "imagePullSecrets": [{"name": name} for name in settings.pull_secrets],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "runAsGroup": 10001,
            "fsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        # what evacuates a region must not evacuate who heals it
        "tolerations": [{"key": "aftershock.dev/lease", "operator": "Exists"}],
        "containers": [_container(run, settings)],
        "volumes": [
            {"name": "state", **state},
            {"name": "secrets", "emptyDir": {"medium": "Memory"}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }


def _container(run: Mapping[str, Any], settings: Settings) -> Tree:
    meta = run["metadata"]
    env = {"AFTERSHOCK_HOME": HOME, "HOME": "/tmp", **settings.handed_on}  # noqa: S108 - the pod's own
    return {
        "name": "executor",
        "image": settings.image,
        "imagePullPolicy": settings.pull_policy,
        "args": ["execute", meta["name"], "--namespace", meta["namespace"]],
        "env": [
            {"name": "AFTERSHOCK_POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            *({"name": name, "value": value} for name, value in env.items()),
        ],
        "envFrom": [{"secretRef": {"name": settings.secret}}] if settings.secret else [],
        "resources": dict(settings.resources),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "state", "mountPath": HOME},
            {"name": "secrets", "mountPath": f"{HOME}/execute"},  # Secrets of the stack: never on a disk
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
        ],
    }


def over(job: Mapping[str, Any]) -> bool:
    """Tell whether a Job has ended."""
    conditions = (job.get("status") or {}).get("conditions") or []
    return any(one.get("type") in {"Complete", "Failed"} and one.get("status") == "True" for one in conditions)


class JobLauncher:
    """Has Jobs made. What it remembers only spares questions: the API server knows."""

    def __init__(self, api: Api, settings: Settings) -> None:
        self._api, self._settings = api, settings
        self._going: dict[str, float] = {}

    def start(self, run: Mapping[str, Any]) -> None:
        """Make the Job, unless it is there. One that has ended and left its Run unclaimed makes room for another."""
        uid = run["metadata"]["uid"]
        try:
            self._api.create(JOBS, manifest(run, self._settings))
        except ConflictError:
            self._make_room(run)
        self._going[uid] = time.monotonic()

    def _make_room(self, run: Mapping[str, Any]) -> None:
        name, namespace = name_of(run), run["metadata"]["namespace"]
        job = self._api.find(JOBS, name, namespace)
        if job is None or over(job):
            if job is not None:
                self._api.delete(JOBS, name, namespace, uid=job["metadata"]["uid"])
            raise TargetError(f"the Job {name} has ended, and is removed before another is made", "wait a moment")

    def under_way(self, run: Mapping[str, Any]) -> bool:
        """Tell whether the Job that was made for the Run may still claim it, or carries it out."""
        uid, status = run["metadata"]["uid"], run.get("status") or {}
        if uid not in self._going:
            return False
        if status.get("phase") == "Finished" or self._ended(run, uid, claimed=bool(status.get("executor"))):
            del self._going[uid]
            return False
        return True

    def _ended(self, run: Mapping[str, Any], uid: str, *, claimed: bool) -> bool:
        """Ask, now and then, whether the Job of an unclaimed Run has ended."""
        if claimed or time.monotonic() - self._going[uid] < ASKING:
            return False
        self._going[uid] = time.monotonic()
        try:
            return over(self._api.get(JOBS, name_of(run), run["metadata"]["namespace"]))
        except MissingError:
            return True

    def close(self) -> None:
        """Jobs go on."""
