"""The Job that carries one Run out: what it looks like, and the launcher that makes it.

What of it is the installation's (image, account, limits, where journals are kept) comes from the operator's environment, as
the chart sets it. A Job makes one pod and never a second: what becomes of a Run whose pod is lost is the reaper's to say.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aftershock.adapters.kubernetes import JOBS, Api, ConflictError, Tree
from aftershock.core.plan import longest
from aftershock.errors import InputError
from aftershock.faults import front_pod
from aftershock.faults.cluster import CONFINED, UNDRIVEN, UNPRIVILEGED, USER
from aftershock.model.problem import Invalid
from aftershock.runtime.cluster import journals, objects
from aftershock.runtime.cluster.inputs import Lacking
from aftershock.runtime.cluster.status import UNTIL_WRITTEN
from aftershock.runtime.watching import ARRIVAL

STARTING = 600
"""Seconds that a pod may take to be scheduled and to get its image: they count against the Job's deadline."""

ENDING = 180
"""Seconds for clearing the way, cleaning up, judging and handing the journal on."""

GRACE = 120
"""Seconds from SIGTERM to SIGKILL: the executor heals, cleans up and judges in them."""

KEPT = 3600
"""Seconds that a Job stays when it is over, for whoever wants to read its log."""

ATTEMPTS = 5
"""Jobs that one Run may have, one after the other: those before the last gave it back, having begun nothing."""

HOME = "/var/lib/aftershock"
TMP = "/tmp"  # noqa: S108 - in the pod: a volume of its own
PASSED_ON = (
    "AFTERSHOCK_KEEP_JOURNALS",
    "AFTERSHOCK_KEEP_JOURNALS_COUNT",
    "AWS_REGION",
    "AWS_ENDPOINT_URL",
    front_pod.SETTINGS,
)
"""What the executor is told as the operator was."""

ADDRESS = "AFTERSHOCK_POD_IP"
"""Environment of the executor: where the pods of its load find it."""

_LIMITS = {"requests": {"cpu": "250m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}
_LOAD_LIMITS = {"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}}


@dataclass(frozen=True)
class Settings:
    """What is the same for all Jobs of an installation."""

    image: str
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()
    account: str = "aftershock-executor"
    resources: Mapping[str, Any] = field(default_factory=lambda: _LIMITS)
    load_resources: Mapping[str, Any] = field(default_factory=lambda: _LOAD_LIMITS)
    claim: str = ""
    store: str = ""
    store_secret: str = ""
    passed_on: Mapping[str, str] = field(default_factory=dict)


def settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings from an environment. InputError where it doesn't say them."""
    image = environment.get("AFTERSHOCK_IMAGE")
    if not image:
        raise InputError(
            "nothing says which image executors run",
            "set AFTERSHOCK_IMAGE, as the chart does, or use --launcher child",
        )
    return Settings(
        image=image,
        pull_policy=environment.get("AFTERSHOCK_IMAGE_PULL_POLICY") or "IfNotPresent",
        pull_secrets=tuple(filter(None, environment.get("AFTERSHOCK_IMAGE_PULL_SECRETS", "").split(","))),
        account=environment.get("AFTERSHOCK_SERVICE_ACCOUNT") or "aftershock-executor",
        resources=_resources(environment, "AFTERSHOCK_RESOURCES", _LIMITS),
        load_resources=_resources(environment, "AFTERSHOCK_LOAD_RESOURCES", _LOAD_LIMITS),
        claim=environment.get("AFTERSHOCK_JOURNAL_CLAIM", ""),
        store=environment.get("AFTERSHOCK_JOURNAL_STORE", ""),
        store_secret=environment.get("AFTERSHOCK_JOURNAL_SECRET", ""),
        passed_on={name: environment[name] for name in PASSED_ON if environment.get(name)},
    )


def _resources(environment: Mapping[str, str], name: str, otherwise: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return json.loads(environment.get(name) or "null") or otherwise
    except ValueError as error:
        raise InputError(f"{name} is not JSON: {error}", "give a container's `resources` as JSON") from None


class JobLauncher:
    """Executors as Jobs, each in its Run's namespace. Which there are is asked of the API, so that an operator that was
    started anew knows those of the one before.
    """

    def __init__(self, api: Api, settings: Settings) -> None:
        self._api, self._settings = api, settings
        self._over: set[str] = set()

    def start(self, run: Mapping[str, Any]) -> None:
        """Make the Run's Job. Lacking where one has failed before it took the Run."""
        for attempt in range(1, ATTEMPTS + 1):
            job = manifest(run, self._settings, attempt)
            try:
                self._api.create(JOBS, job)
            except ConflictError:
                found = self._find(run, attempt)
                if found is None or not _ended(found):
                    return
                _complain(found)
                continue
            self._over.discard(run["metadata"]["uid"])
            return
        raise Lacking("ExecutorFailed", f"{ATTEMPTS} Jobs gave the Run back; their logs say why")

    def under_way(self, run: Mapping[str, Any]) -> bool:
        """Tell whether a Job for the Run is about that has not ended. Of a claimed Run its status tells."""
        status = run.get("status") or {}
        if status.get("executor") or status.get("phase") == "Finished":
            return status.get("phase") != "Finished"
        if run["metadata"]["uid"] in self._over:
            return False
        newest = self._newest(run)
        going = newest is not None and not _ended(newest)
        if not going:
            self._over.add(run["metadata"]["uid"])
        return going

    def close(self) -> None:
        """Nothing is held."""

    def _newest(self, run: Mapping[str, Any]) -> Tree | None:
        found = None
        for attempt in range(1, ATTEMPTS + 1):
            next_one = self._find(run, attempt)
            if next_one is None:
                break
            found = next_one
        return found

    def _find(self, run: Mapping[str, Any], attempt: int) -> Tree | None:
        return self._api.find(JOBS, job_name(run, attempt), run["metadata"]["namespace"])


def _ended(job: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the condition by which a Job is over, if it is."""
    conditions = (job.get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one["type"] in {"Complete", "Failed"} and one["status"] == "True"), None)


def _complain(job: Mapping[str, Any]) -> None:
    ending = _ended(job) or {}
    if ending.get("type") == "Failed":
        what = f"{ending.get('reason') or 'Failed'}: {ending.get('message') or 'see its pod'}"
        raise Lacking("ExecutorFailed", f"the Job {job['metadata']['name']} failed before it took the Run: {what}")


def job_name(run: Mapping[str, Any], attempt: int = 1) -> str:
    """Return the name of a Run's Job: a pod's host name is made of it, which is why it is short."""
    meta = run["metadata"]
    ending = objects.token(meta["uid"]) + (f"-{attempt}" if attempt > 1 else "")
    return f"{objects.fitting(meta['name'].replace('.', '-'), 40)}-{ending}"


def manifest(run: Mapping[str, Any], settings: Settings, attempt: int = 1) -> Tree:
    """Return the Job to create for a Run."""
    meta = run["metadata"]
    marks = labels(run, "executor")
    return {
        "apiVersion": JOBS.group_version,
        "kind": "Job",
        "metadata": {
            "name": job_name(run, attempt),
            "namespace": meta["namespace"],
            "labels": marks,
            "ownerReferences": [objects.owner_reference(run, "Run")],
        },
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": deadline(run),
            "ttlSecondsAfterFinished": KEPT,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {  # drained, preempted or evicted: a second pod would find the Run claimed
                "rules": [
                    {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    {"action": "FailJob", "onExitCodes": {"operator": "NotIn", "values": [0]}},
                ]
            },
            "template": {"metadata": {"labels": marks}, "spec": _pod(run, settings)},
        },
    }


def labels(run: Mapping[str, Any], part: str) -> dict[str, str]:
    """Return the labels of a Job and its pods."""
    return {
        "app.kubernetes.io/name": "aftershock",
        "app.kubernetes.io/component": part,
        objects.EXPERIMENT: objects.fitting(run["spec"]["experiment"], objects.LONGEST_LABEL),
    }


def deadline(run: Mapping[str, Any]) -> int:
    """Return the seconds after which the Job's pods are ended: by then the run is over, and its status written."""
    try:
        experiment = objects.definition(run).object
    except Invalid as invalid:
        raise Lacking("Invalid", str(invalid)[:1000], final=True) from None
    gathering = ARRIVAL if experiment.spec.load is not None and experiment.spec.load.shards > 1 else 0
    return int(longest(experiment) + gathering + STARTING + ENDING + UNTIL_WRITTEN) + 1


def _pod(run: Mapping[str, Any], settings: Settings) -> Tree:
    return {
        "serviceAccountName": settings.account,
        "terminationGracePeriodSeconds": GRACE,
        **confined(settings.pull_secrets),
        "containers": [_container(run, settings)],
        "volumes": _volumes(settings),
    }


def confined(pull_secrets: Sequence[str] = ()) -> Tree:
    """Return what holds for every pod that we make: it may do nothing but its work, and our own taints don't drive it away."""
    pod: Tree = {
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "securityContext": {**UNPRIVILEGED, "fsGroup": USER, "fsGroupChangePolicy": "OnRootMismatch"},
        "tolerations": list(UNDRIVEN),
    }
    if pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in pull_secrets]
    return pod


def _container(run: Mapping[str, Any], settings: Settings) -> Tree:
    meta = run["metadata"]
    container: Tree = {
        "name": "executor",
        "image": settings.image,
        "imagePullPolicy": settings.pull_policy,
        "args": ["execute", meta["name"], f"--namespace={meta['namespace']}"],
        "env": _environment(settings),
        "resources": settings.resources,
        "securityContext": CONFINED,
        "volumeMounts": [
            {"name": "state", "mountPath": HOME},
            {"name": "journals", "mountPath": f"{HOME}/runs"},
            {"name": "secrets", "mountPath": f"{HOME}/execute"},
            {"name": "tmp", "mountPath": TMP},
        ],
    }
    if settings.store_secret:
        container["envFrom"] = [{"secretRef": {"name": settings.store_secret}}]
    return container


def _environment(settings: Settings) -> list[Tree]:
    kept = f"{journals.CLAIM}{settings.claim}" if settings.claim else settings.store
    told = {"AFTERSHOCK_HOME": HOME, **({journals.PLACE: kept} if kept else {}), **settings.passed_on}
    told |= {name: value for name, value in _for_shards(settings).items() if value}
    fields = {"AFTERSHOCK_POD": "metadata.name", ADDRESS: "status.podIP"}
    pod = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()]
    return [*({"name": name, "value": value} for name, value in told.items()), *pod]


def _for_shards(settings: Settings) -> dict[str, str]:
    """Return what an executor has to know to have pods of its own made, as `settings` reads it."""
    return {
        "AFTERSHOCK_IMAGE": settings.image,
        "AFTERSHOCK_IMAGE_PULL_POLICY": settings.pull_policy,
        "AFTERSHOCK_IMAGE_PULL_SECRETS": ",".join(settings.pull_secrets),
        "AFTERSHOCK_LOAD_RESOURCES": json.dumps(settings.load_resources),
    }


def _volumes(settings: Settings) -> list[Tree]:
    """Return the volumes: what Secrets say is kept in memory, and never where journals are."""
    claimed = {"persistentVolumeClaim": {"claimName": settings.claim}}
    return [
        {"name": "state", "emptyDir": {}},
        {"name": "journals", **(claimed if settings.claim else {"emptyDir": {}})},
        {"name": "secrets", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
        {"name": "tmp", "emptyDir": {}},
    ]
