"""A journal on a volume, read from where no volume is mounted: by a pod that mounts it, prints it packed, and goes again.

The rights are those of whoever asks: to make, see and delete a pod in the Run's namespace, and to read its log.
"""

import base64
import binascii
import gzip
import os
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from aftershock.adapters.kubernetes import DEPLOYMENTS, JOBS, PODS, Api, Tree
from aftershock.errors import AftershockError, JournalError
from aftershock.faults.cluster import CONFINED
from aftershock.runtime.cluster import jobs, objects

PATIENCE = 90.0
"""Seconds until the pod has printed it: it has to be scheduled, and the volume to be attached."""

AGAIN = 0.3
IMAGE = "AFTERSHOCK_IMAGE"
PACKED = '[ -r "$0" ] || { echo "$0 is not there, or may not be read" >&2; exit 1; }; gzip -c "$0" | base64 -w 8000'
"""The file is looked for first, as a pipe ends with what its last program says. A node keeps only so much of a log (10 MiB, if
not said otherwise): packed that is a journal of some 70 MiB."""


def fetch(api: Api, run: Mapping[str, Any], claim: str, path: str) -> bytes:
    """Return a file of a volume claim of the Run's namespace. JournalError where that can't be done; nothing is left."""
    namespace = run["metadata"]["namespace"]
    pod = _pod(run, _image(api, run), claim, path)
    name = pod["metadata"]["name"]
    api.create(PODS, pod, namespace)
    try:
        _await(api, name, namespace, claim)
        return gzip.decompress(base64.b64decode(api.log(name, namespace)))
    except (OSError, EOFError, binascii.Error) as error:
        raise JournalError(f"{path} on the volume claim {claim} came broken: {error}", "try again") from None
    finally:
        with suppress(AftershockError):  # it ends by itself
            api.delete(PODS, name, namespace, grace=0)


def _image(api: Api, run: Mapping[str, Any]) -> Tree:
    """Return the container's image and how it is pulled, as the Run's own Job had it, or as the operator has it."""
    if os.environ.get(IMAGE):
        return {"image": os.environ[IMAGE]}
    namespace = run["metadata"]["namespace"]
    found = [api.find(JOBS, jobs.job_name(run), namespace)]
    if found == [None]:
        found += api.list(DEPLOYMENTS, namespace, labels="app.kubernetes.io/part-of=aftershock")
    for tree in found:
        if tree is not None:
            spec = tree["spec"]["template"]["spec"]
            pull = {"imagePullSecrets": spec["imagePullSecrets"]} if spec.get("imagePullSecrets") else {}
            (first, *_) = spec["containers"]
            return {"image": first["image"], "imagePullPolicy": first.get("imagePullPolicy", "IfNotPresent"), **pull}
    raise JournalError(
        f"nothing in the namespace {namespace} says which image could read the volume", f"say it: export {IMAGE}=…"
    )


def _pod(run: Mapping[str, Any], image: Tree, claim: str, path: str) -> Tree:
    container = {
        "name": "reader",
        "image": image["image"],
        "imagePullPolicy": image.get("imagePullPolicy", "IfNotPresent"),
        "command": ["sh", "-c", PACKED, f"/journals/{path}"],
        "resources": {"requests": {"cpu": "50m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
        "securityContext": CONFINED,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "journals", "mountPath": "/journals", "readOnly": True}],
    }
    return {
        "metadata": {
            "name": f"aftershock-read-{secrets.token_hex(4)}",
            "labels": {"app.kubernetes.io/name": "aftershock", "app.kubernetes.io/component": "reader"},
            "ownerReferences": [objects.owner_reference(run, "Run")],  # it goes with its Run, should we be killed
        },
        "spec": {
            **jobs.confined(),
            **({"imagePullSecrets": image["imagePullSecrets"]} if "imagePullSecrets" in image else {}),
            "automountServiceAccountToken": False,
            "activeDeadlineSeconds": int(PATIENCE) + 30,
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
            "volumes": [{"name": "journals", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}],
        },
    }


def _await(api: Api, name: str, namespace: str, claim: str) -> None:
    """Wait until the pod has ended well."""
    end = time.monotonic() + PATIENCE
    while True:
        status = api.get(PODS, name, namespace).get("status") or {}
        phase = status.get("phase")
        if phase == "Succeeded":
            return
        if phase == "Failed" or time.monotonic() >= end:
            raise JournalError(
                f"the volume claim {claim} could not be read: the pod {name} is {phase or 'Pending'}{_why(status)}",
                "see whether the journal was removed (retention)"
                if phase == "Failed"
                else f"see whether {claim} is bound, and whether a pod can mount it now (ReadWriteOnce: on one node)",
            )
        time.sleep(AGAIN)


def _why(status: Mapping[str, Any]) -> str:
    """Say what keeps a pod, or ended it."""
    states = [each.get("state") or {} for each in status.get("containerStatuses") or []]
    said = [one for state in states for one in state.values() if one.get("reason")]
    said += [one for one in status.get("conditions") or [] if one.get("status") == "False" and one.get("message")]
    return f": {said[0].get('reason')} {said[0].get('message', '')}".rstrip() if said else ""
