"""The Toxiproxy pod in front of a Service: what it looks like, what is the installation's to say of it, and how it is told from
its status. It reads its proxies from its own annotation, so that a container that was started anew carries what it carried.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from aftershock.core import front
from aftershock.errors import InputError
from aftershock.faults.cluster import LEASE, Tree, uid_of

PROXIES = "aftershock.dev/proxies"
"""Annotation of a Toxiproxy pod: its configuration, which it reads as a file, also after its container was started anew."""

SETTINGS = "AFTERSHOCK_TOXIPROXY"
"""Environment variable with the pod's settings, as JSON: `image`, `pullPolicy`, `pullSecrets`, `resources`."""

USER = 10001
_PLACE = "/etc/aftershock"
_FILE = "proxies.json"


class PodSettings(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What of a Toxiproxy pod is the installation's to say."""

    image: str = "ghcr.io/shopify/toxiproxy:2.12.0"
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()
    resources: dict[str, Any] = {
        "requests": {"cpu": "50m", "memory": "32Mi"},
        "limits": {"cpu": "1", "memory": "256Mi"},
    }


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


@dataclass(frozen=True)
class Pod:
    """A Toxiproxy pod that runs: where its API is, and what it was told to carry (proxy to upstream)."""

    name: str
    uid: str
    host: str
    api: int
    proxies: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The address of Toxiproxy's API."""
        return f"http://{_bracketed(self.host)}:{self.api}"


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
    api = front.api_port(made)
    labels = {"app.kubernetes.io/name": "toxiproxy", "app.kubernetes.io/part-of": "aftershock", **marks["labels"]}
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
            "tolerations": [{"key": LEASE, "operator": "Exists"}],
            "imagePullSecrets": [{"name": each} for each in told.pull_secrets],
            "containers": [_container(made, api, told)],
            "volumes": [{"name": "proxies", "downwardAPI": {"items": [_config_file()]}}],
        },
    }


def _config_file() -> Tree:
    return {"path": _FILE, "fieldRef": {"fieldPath": f"metadata.annotations['{PROXIES}']"}}


def _security(listened: Sequence[int]) -> Tree:
    """Return what the restricted profile of Pod Security asks for; and who listens on a low port need not be root for it."""
    secure: Tree = {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if min(listened) < front.LOWEST:
        secure["sysctls"] = [{"name": "net.ipv4.ip_unprivileged_port_start", "value": str(min(listened))}]
    return secure


def _container(made: Sequence[front.Passage], api: int, told: PodSettings) -> Tree:
    ports = [{"containerPort": one.listen, **({"name": one.named} if one.named else {})} for one in made]
    return {
        "name": "toxiproxy",
        "image": told.image,
        "imagePullPolicy": told.pull_policy,
        "command": ["/toxiproxy"],
        "args": ["-host=", f"-port={api}", f"-config={_PLACE}/{_FILE}"],
        "env": [{"name": "LOG_LEVEL", "value": "error"}],
        "ports": [{"name": front.API, "containerPort": api}, *ports],
        "readinessProbe": {"httpGet": {"path": "/version", "port": api}, "periodSeconds": 1},
        "resources": told.resources,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "proxies", "mountPath": _PLACE, "readOnly": True}],
    }


def ready(tree: Tree) -> bool:
    """Tell whether a pod takes connections."""
    conditions = (tree.get("status") or {}).get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


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


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
