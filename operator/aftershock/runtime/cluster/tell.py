"""Events: what the operator did, said once, where `kubectl describe` shows it.

An Event's name follows from what it says, so that saying it again, after a restart too, is refused by the API server.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

from aftershock.adapters.kubernetes import EVENTS, OURS, Api, ConflictError
from aftershock.errors import AftershockError
from aftershock.runtime.cluster import objects

REPORTER = "aftershock-operator"
LONGEST = 1000


def event(
    api: Api,
    about: Mapping[str, Any],
    kind: str,
    reason: str,
    message: str,
    *,
    severity: Literal["Normal", "Warning"] = "Normal",
) -> None:
    """Say something about an object, once. That it can't be said keeps nothing from being done."""
    meta = about["metadata"]
    digest = hashlib.sha256(f"{meta['uid']} {reason} {message}".encode()).hexdigest()[:12]
    now = objects.now()
    tree = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{objects.fitting(meta['name'], 200)}.{digest}",
            "namespace": meta.get("namespace") or "default",
        },
        "involvedObject": {
            "apiVersion": OURS,
            "kind": kind,
            "name": meta["name"],
            "namespace": meta.get("namespace"),
            "uid": meta["uid"],
        },
        "reason": reason,
        "message": message[:LONGEST],
        "type": severity,
        "count": 1,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "source": {"component": REPORTER},
        "reportingComponent": REPORTER,
    }
    try:
        api.create(EVENTS, tree)
    except (ConflictError, AftershockError):
        return
