"""The control plane: etcd, API server, controller manager, scheduler and DNS, as processes of this machine.

They listen on the cluster's bridge, which only this machine and the nodes reach.
"""

import json
import secrets
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cluster import ground, programs

API, ETCD, PEERS, NAMES = 28443, 28444, 28445, 28446

USERS = {
    "admin": "system:masters",
    "system:kube-controller-manager": "",
    "system:kube-scheduler": "",
    "system:kube-proxy": "",
}
"""Who talks to the API server, and their groups. Nodes come on top, each as itself."""


@dataclass(frozen=True)
class Plane:
    """A control plane that answers. `tokens` by user."""

    folder: Path
    binaries: Mapping[str, Path]
    tokens: Mapping[str, str]

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.config("admin")

    def config(self, user: str) -> Path:
        """Return the kubeconfig of a user."""
        return self.folder / f"{user.replace(':', '.')}.kubeconfig"

    def kubectl(self, *arguments: str | Path, patience: float = 60.0, feed: str = "") -> str:
        """Run kubectl as the administrator and return what it says. Failed if it fails."""
        line = [
            self.binaries["kubectl"], "--kubeconfig", self.kubeconfig, "--cache-dir", self.folder / "kubectl", *arguments,
        ]  # fmt: skip
        done = subprocess.run(line, check=False, capture_output=True, text=True, timeout=patience, input=feed, cwd="/")
        if done.returncode != 0:
            raise programs.Failed(f"kubectl {' '.join(map(str, arguments))}\nsays: {done.stderr.strip()}")
        return done.stdout

    def apply(self, *objects: Mapping[str, object], namespace: str = "default") -> None:
        """Apply objects."""
        self.kubectl(
            "apply", "-n", namespace, "-f", "-", feed=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        )

    def answers(self) -> bool:
        """Tell whether the API server is ready."""
        try:
            return self.kubectl("get", "--raw", "/readyz", patience=10.0) == "ok"
        except (programs.Failed, subprocess.TimeoutExpired):
            return False


def start(folder: Path, binaries: Mapping[str, Path], nodes: list[str]) -> Plane:
    """Start the control plane for nodes of these names, and wait until it answers."""
    users = {**USERS, **{f"system:node:{name}": "system:nodes" for name in nodes}}
    plane = Plane(folder, binaries, {user: secrets.token_hex(16) for user in users})
    _accounts(plane, users)
    _etcd(plane)
    _api_server(plane)
    programs.until("the API server is ready", plane.answers, folder)
    _controllers(plane)
    _names(plane)
    return plane


def _accounts(plane: Plane, users: Mapping[str, str]) -> None:
    lines = [f'{plane.tokens[user]},{user},{user},"{groups}"' for user, groups in users.items()]
    (plane.folder / "tokens.csv").write_text("\n".join(lines))
    for user in users:
        plane.config(user).write_text(_kubeconfig(plane.tokens[user]))
    key = plane.folder / "accounts.key"
    programs.run(["openssl", "genrsa", "-out", key, "2048"])
    programs.run(["openssl", "rsa", "-in", key, "-pubout", "-out", plane.folder / "accounts.pub"])


def _kubeconfig(token: str) -> str:
    cluster = {"server": f"https://{ground.HOST}:{API}", "insecure-skip-tls-verify": True}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "default"}}],
            "current-context": "test",
        }
    )


def _etcd(plane: Plane) -> None:
    urls = [f"http://{ground.HOST}:{port}" for port in (ETCD, PEERS)]
    line = [
        plane.binaries["etcd"], "--data-dir", plane.folder / "etcd", "--unsafe-no-fsync",
        "--listen-client-urls", urls[0], "--advertise-client-urls", urls[0], "--listen-peer-urls", urls[1],
        "--initial-advertise-peer-urls", urls[1], "--initial-cluster", f"default={urls[1]}",
    ]  # fmt: skip
    programs.start("etcd", line, plane.folder)


def _api_server(plane: Plane) -> None:
    line = [
        plane.binaries["kube-apiserver"],
        f"--etcd-servers=http://{ground.HOST}:{ETCD}",
        f"--secure-port={API}", f"--bind-address={ground.HOST}", f"--advertise-address={ground.HOST}",
        f"--cert-dir={plane.folder / 'certificates'}",
        f"--token-auth-file={plane.folder / 'tokens.csv'}",
        "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
        f"--service-account-key-file={plane.folder / 'accounts.pub'}",
        f"--service-account-signing-key-file={plane.folder / 'accounts.key'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-cluster-ip-range={ground.SERVICES}", "--allow-privileged=true",
        "--kubelet-preferred-address-types=InternalIP",
        "--enable-aggregator-routing=true",  # no kube-proxy stands beside it: webhooks are reached by their pods' addresses
    ]  # fmt: skip
    programs.start("kube-apiserver", line, plane.folder)


def _controllers(plane: Plane) -> None:
    manager = [
        plane.binaries["kube-controller-manager"],
        f"--kubeconfig={plane.config('system:kube-controller-manager')}", "--leader-elect=false", "--secure-port=0",
        f"--service-account-private-key-file={plane.folder / 'accounts.key'}",
        f"--root-ca-file={plane.folder / 'certificates' / 'apiserver.crt'}",
        "--use-service-account-credentials=true",
        "--node-monitor-period=1s", "--node-monitor-grace-period=20s",  # a lost region is noticed sooner than by default
    ]  # fmt: skip
    scheduler = [
        plane.binaries["kube-scheduler"],
        f"--kubeconfig={plane.config('system:kube-scheduler')}", "--leader-elect=false", "--secure-port=0",
    ]  # fmt: skip
    programs.start("kube-controller-manager", manager, plane.folder)
    programs.start("kube-scheduler", scheduler, plane.folder)


def _names(plane: Plane) -> None:
    """DNS is a process of this machine too: it needs no image, and a region that is cut off has none, as in life."""
    config = plane.folder / "Corefile"
    config.write_text(
        f".:{NAMES} {{\n bind {ground.HOST}\n errors\n"
        f" kubernetes cluster.local {{\n  kubeconfig {plane.kubeconfig}\n  ttl 0\n }}\n}}\n"
    )
    programs.start("coredns", [plane.binaries["coredns"], "-conf", config], plane.folder)
    labels = {"kubernetes.io/service-name": "kube-dns"}
    ports = [{"name": each.lower(), "protocol": each, "port": NAMES} for each in ("UDP", "TCP")]
    plane.apply(
        {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "kube-dns"},
            "spec": {"clusterIP": ground.DNS, "ports": [{**each, "port": 53, "targetPort": NAMES} for each in ports]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "kube-dns", "labels": labels},
            "endpoints": [{"addresses": [ground.HOST]}], "ports": ports,
        },
        namespace="kube-system",
    )  # fmt: skip
