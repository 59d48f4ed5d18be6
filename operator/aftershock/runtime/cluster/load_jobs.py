"""The Job whose pods share one Run's load: an index for each share, and nothing that a pod could do but send."""

from collections.abc import Mapping, Sequence
from typing import Any

from aftershock.adapters.kubernetes import JOBS, Tree
from aftershock.faults.cluster import CONFINED
from aftershock.runtime.cluster import jobs, objects
from aftershock.runtime.cluster.jobs import Settings

LOAD = "load"
"""What the pods of a load are called among the parts of Aftershock."""

GRACE = 2
"""Seconds from SIGTERM to SIGKILL: a pod has nothing to clean up, and ends at once."""

FOLDER = "/run/aftershock"
"""In a pod: what a stack's folder is to an executor; it has nothing but Secrets in it."""


def name(run: Mapping[str, Any]) -> str:
    """Return the name of the Job that sends a Run's load."""
    return f"{jobs.job_name(run)}-{LOAD}"


def manifest(
    run: Mapping[str, Any],
    settings: Settings,
    told: Mapping[str, str],
    count: int,
    secrets: Sequence[tuple[str, str]] = (),
) -> Tree:
    """Return the Job whose pods send a load's shares: one for each, never a second in its place.

    `told` is the environment by which a pod finds the executor; `secrets` are those that the Stack names. The pods have no
    service account's token: what they need comes by their executor's connection, and they end with it.
    """
    meta, labels = run["metadata"], jobs.labels(run, LOAD)
    return {
        "apiVersion": JOBS.group_version,
        "kind": "Job",
        "metadata": {
            "name": name(run),
            "namespace": meta["namespace"],
            "labels": labels,
            "ownerReferences": [objects.owner_reference(run, "Run")],
        },
        "spec": {
            "completionMode": "Indexed",
            "completions": count,
            "parallelism": count,
            "backoffLimitPerIndex": 0,  # with `backoffLimit: 0` the first pod that is lost would take the others with it
            "backoffLimit": count,
            "activeDeadlineSeconds": jobs.deadline(run),
            "ttlSecondsAfterFinished": jobs.KEPT,
            "podReplacementPolicy": "Failed",
            "template": {"metadata": {"labels": labels}, "spec": _pod(labels, settings, told, secrets)},
        },
    }


def _pod(
    labels: Mapping[str, str], settings: Settings, told: Mapping[str, str], secrets: Sequence[tuple[str, str]]
) -> Tree:
    volumes, mounts = _secret_volumes(secrets)
    container = {
        "name": LOAD,
        "image": settings.image,
        "imagePullPolicy": settings.pull_policy,
        "args": ["shard"],
        "env": [{"name": word, "value": value} for word, value in {"AFTERSHOCK_HOME": jobs.TMP, **told}.items()],
        "resources": settings.load_resources,
        "securityContext": CONFINED,
        "volumeMounts": [{"name": "tmp", "mountPath": jobs.TMP}, *mounts],
    }
    apart = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": dict(labels)},
    }
    return {
        **jobs.confined(settings.pull_secrets),
        "terminationGracePeriodSeconds": GRACE,
        "automountServiceAccountToken": False,
        "topologySpreadConstraints": [apart],
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}, *volumes],
    }


def _secret_volumes(secrets: Sequence[tuple[str, str]]) -> tuple[list[Tree], list[Tree]]:
    """Return volumes and mounts that put the keys where a stack's folder has them (adapters/secrets.py)."""
    keys: dict[str, list[str]] = {}
    for name, key in secrets:
        keys.setdefault(name, []).append(key)
    volumes = [
        {
            "name": f"secret-{number}",
            "secret": {"secretName": name, "defaultMode": 0o440, "items": [{"key": key, "path": key} for key in each]},
        }
        for number, (name, each) in enumerate(keys.items())
    ]
    mounts = [
        {"name": f"secret-{number}", "mountPath": f"{FOLDER}/secrets/{name}", "readOnly": True}
        for number, name in enumerate(keys)
    ]
    return volumes, mounts
