"""The Toxiproxy pod in front of a Service: what it looks like, what is the installation's to say of it, and how it is told from
its status. It reads its proxies from its own annotation, so that a container that was started anew carries what it carried.
"""

import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from aftershock.core import front
from aftershock.core.wording import authority
from aftershock.errors import InputError
from aftershock.faults.cluster import CONFINED, UNDRIVEN, UNPRIVILEGED, Tree, runs, uid_of

PROXIES = "aftershock.dev/proxies"
"""Annotation of a Toxiproxy pod: its configuration, which it reads as a file, also after its container was started anew."""

SETTINGS = "AFTERSHOCK_TOXIPROXY"
"""Environment variable with the pod's settings, as JSON: `image`, `pullPolicy`, `pullSecrets`, `resources`."""

LABELS = {"app.kubernetes.io/name": "toxiproxy", "app.kubernetes.io/part-of": "aftershock"}
"""By which NetworkPolicies know a Toxiproxy pod of ours; the chart has one for it."""

UNREADY = 10.0
"""Seconds for which a pod may be not ready without being lost: its container may be starting anew."""

RESOURCES = {"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}}
_PLACE = "/etc/aftershock"
_FILE = "proxies.json"


class PodSettings(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What of a Toxiproxy pod is the installation's to say."""

    image: str = "ghcr.io/shopify/toxiproxy:2.12.0"
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()
    resources: dict[str, Any] = msgspec.field(default_factory=lambda: RESOURCES)


def settings(environment: Mapping[str, str]) -> PodSettings:
    """Read the settings; what is not said is as usual. InputError where they can't be read."""
    try:
        return msgspec.json.decode(environment.get(SETTINGS) or "{}", type=PodSettings)
    except msgspec.DecodeError as error:
        raise InputError(
            f"{SETTINGS} can't be read: {error}", 'write it like {"image": "registry.example/toxiproxy:2.12.0"}'
        ) from None


def pod_settings() -> PodSettings:
    """Return this process's settings of Toxiproxy pods."""
    return settings(os.environ)


class Pod(msgspec.Struct, frozen=True):
    """A Toxiproxy pod that runs: where its API is, and what it was told to carry (proxy to upstream)."""

    name: str
    uid: str
    host: str
    api: int
    proxies: dict[str, str] = {}

    @property
    def url(self) -> str:
        """The address of Toxiproxy's API."""
        return f"http://{authority(self.host, self.api)}"


def pod_of(tree: Tree) -> Pod | None:
    """Return a Toxiproxy pod of ours as it can be reached; None where it has no address yet, or is none."""
    host = (tree.get("status") or {}).get("podIP")
    ports = [port for each in tree["spec"]["containers"] for port in each.get("ports") or []]
    api = next((int(port["containerPort"]) for port in ports if port.get("name") == front.API), None)
    if not host or api is None:
        return None
    told = (tree["metadata"].get("annotations") or {}).get(PROXIES) or "[]"
    try:
        carried = {str(proxy["name"]): str(proxy["upstream"]) for proxy in json.loads(told)}
    except (ValueError, LookupError, TypeError):  # somebody has spoilt it
        return None
    return Pod(tree["metadata"]["name"], uid_of(tree), host, api, carried)


def manifest(service: Tree, upstream: str, name: str, marks: Tree, told: PodSettings) -> Tree:
    """Return the pod that carries a Service's ports to `upstream`, the address of the Service that leads around it."""
    made = front.passages(service["spec"])
    labels = {**LABELS, **marks["labels"]}
    annotations = {**marks["annotations"], PROXIES: front.config(made, upstream)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels, "annotations": annotations},
        "spec": {
            "restartPolicy": "Always",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 2,
            "securityContext": _security([one.listen for one in made]),
            "tolerations": list(UNDRIVEN),
            "imagePullSecrets": [{"name": each} for each in told.pull_secrets],
            "containers": [_container(made, told)],
            "volumes": [{"name": "proxies", "downwardAPI": {"items": [_config_file()]}}],
        },
    }


def _config_file() -> Tree:
    return {"path": _FILE, "fieldRef": {"fieldPath": f"metadata.annotations['{PROXIES}']"}}


def _security(listened: Sequence[int]) -> Tree:
    """Return the pod's security context: who listens on a low port need not be root for it."""
    secure = dict(UNPRIVILEGED)
    if min(listened) < front.LOWEST:
        secure["sysctls"] = [{"name": "net.ipv4.ip_unprivileged_port_start", "value": str(min(listened))}]
    return secure


def _container(made: Sequence[front.Passage], told: PodSettings) -> Tree:
    ports = [{"containerPort": one.listen, **({"name": one.named} if one.named else {})} for one in made]
    return {
        "name": "toxiproxy",
        "image": told.image,
        "imagePullPolicy": told.pull_policy,
        "command": ["/toxiproxy"],
        "args": ["-host=", f"-port={front.API_PORT}", f"-config={_PLACE}/{_FILE}"],
        "env": [{"name": "LOG_LEVEL", "value": "error"}],
        "ports": [{"name": front.API, "containerPort": front.API_PORT}, *ports],
        "readinessProbe": {"httpGet": {"path": "/version", "port": front.API_PORT}, "periodSeconds": 1},
        "resources": told.resources,
        "securityContext": CONFINED,
        "volumeMounts": [{"name": "proxies", "mountPath": _PLACE, "readOnly": True}],
    }


def ready(tree: Tree) -> bool:
    """Tell whether a pod takes connections."""
    conditions = (tree.get("status") or {}).get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def lost(tree: Tree, now: float) -> bool:
    """Tell whether a pod takes no connections any more, and won't soon: it is over, is going, or its node is lost."""
    if not runs(tree):
        return True
    conditions = (tree.get("status") or {}).get("conditions") or []
    unready = [one for one in conditions if one["type"] == "Ready" and one["status"] != "True"]
    return any(now - _when(one.get("lastTransitionTime"), now) > UNREADY for one in unready)


def restarted(tree: Tree) -> bool:
    """Tell whether its container was started anew: then it has hung up on everybody, and forgotten all that was held in it."""
    containers = (tree.get("status") or {}).get("containerStatuses") or []
    return any(int(each.get("restartCount") or 0) > 0 for each in containers)


def _when(said: str | None, otherwise: float) -> float:
    try:
        return datetime.fromisoformat(said or "").timestamp()
    except ValueError:
        return otherwise


def waiting(tree: Tree) -> str:
    """Say what keeps a pod from being ready, as its status tells."""
    status = tree.get("status") or {}
    for container in status.get("containerStatuses") or []:
        for state in ("waiting", "terminated"):
            if told := (container.get("state") or {}).get(state):
                return f"{told.get('reason', state)}: {told.get('message', '')}".strip(": ")
    for one in status.get("conditions") or []:
        if one["status"] != "True" and one.get("message"):
            return f"{one.get('reason', '')}: {one['message']}".strip(": ")
    return str(status.get("reason") or status.get("message") or f"it is {status.get('phase', 'Pending')}")
