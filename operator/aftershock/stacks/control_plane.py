"""A Kubernetes control plane as processes of this machine: etcd and kube-apiserver on loopback, for tests and the demo.

Real ones, but alone: no controller manager (nothing is garbage-collected, no Job makes pods, no namespace is emptied), no
scheduler, no node. Its key and certificate are those that the API server makes for itself, so nothing but its two programs
is needed; the same key signs service accounts' tokens, which is good enough for a plane that lives on one machine.
"""

import json
import os
import secrets
import shutil
import signal
import ssl
import time
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Self

from aftershock.errors import StackError
from aftershock.stacks import ports, programs
from aftershock.stacks.place import write
from aftershock.stacks.programs import Progress
from aftershock.stacks.tied import Tied

TRIES = 4
"""How often ports are chosen, should somebody take one between our choosing and our listening."""
PATIENCE = 180.0
"""Seconds that the API server may take to be ready; 4 s is usual on an idle machine."""
ADMIN = "admin"


@dataclass(frozen=True)
class Address:
    """How to reach the API server as somebody."""

    port: int
    certificates: Path
    token: str

    @property
    def url(self) -> str:
        """The server's address."""
        return f"https://127.0.0.1:{self.port}"

    def kubeconfig(self, namespace: str = "default") -> str:
        """Return a kubeconfig's text: that of one cluster, one user and one context, in YAML that is JSON too."""
        cluster = {"server": self.url, "certificate-authority": str(self.certificates)}
        context = {"cluster": "aftershock", "user": "user", "namespace": namespace}
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "aftershock", "cluster": cluster}],
                "users": [{"name": "user", "user": {"token": self.token}}],
                "contexts": [{"name": "aftershock", "context": context}],
                "current-context": "aftershock",
            },
            indent=1,
        )


class ControlPlane:
    """A plane in a folder of its own. `tied`: its processes end with the one that starts it, however that ends.

    `users` are names of people without any rights, for RBAC: each can log in by `token(name)`.
    """

    def __init__(self, folder: Path, users: Iterable[str] = (), *, tied: bool = True) -> None:
        self.folder = folder
        self._running = Tied(folder, tied=tied)
        self._tokens = {name: secrets.token_hex(16) for name in (ADMIN, *users)}
        self._programs: dict[str, Path] = {}
        self._ports: dict[str, int] = {}

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of somebody who may do everything."""
        return self.folder / "kubeconfig"

    @property
    def port(self) -> int:
        """The API server's port on 127.0.0.1; it stays the same while the plane is there."""
        return self._ports["api"]

    @property
    def kubectl(self) -> Path:
        """The kubectl program that fits."""
        return self._programs["kubectl"]

    def token(self, user: str = ADMIN) -> str:
        """Return the bearer token of one of the plane's users."""
        return self._tokens[user]

    def address(self, user: str = ADMIN, *, token: str | None = None, port: int | None = None) -> Address:
        """Return how to reach the API server as a user, or as whom a token names; `port` of what stands in front of it."""
        return Address(port or self.port, self._certificates, token or self.token(user))

    def start(self, progress: Progress = lambda _: None) -> None:
        """Start etcd and the API server, once they are built; return when it answers. StackError with the log if it doesn't."""
        self._programs = programs.all_of(programs.CONTROL_PLANE, progress)
        self._prepare()
        progress(f"starting a control plane of Kubernetes {programs.KUBERNETES}")
        try:
            self._start_somewhere()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End both, at once: nothing in them is worth keeping. Nothing of the plane runs afterwards."""
        self._running.end_all()

    def stop_api(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End the API server alone and wait until it is gone; etcd keeps what it knew."""
        self._running.end("api", how)

    def start_api(self) -> None:
        """Start the API server again on its old port, and return when it answers."""
        self.launch_api()
        self.await_ready()

    def launch_api(self) -> None:
        """Start the API server again and don't wait for it."""
        self._running.start("api", self._api(), _environment())

    def freeze_api(self) -> None:
        """Stop the API server with SIGSTOP: connections are accepted by the kernel, and nobody answers."""
        self._running.send("api", signal.SIGSTOP)

    def thaw_api(self) -> None:
        """Let a frozen API server go on."""
        self._running.send("api", signal.SIGCONT)

    def await_ready(self) -> None:
        """Return when the API server is ready to be written to. StackError if it ends, or takes too long."""
        limit = time.monotonic() + PATIENCE
        while not self._answers("/readyz") or not self._answers("/api/v1/namespaces/default"):
            self._running.check()
            if time.monotonic() > limit:
                raise StackError(
                    f"the API server was not ready within {PATIENCE:.0f} s", f"read {self._running.log('api')}"
                )
            time.sleep(0.05)

    @property
    def _certificates(self) -> Path:
        """The API server's certificate, and that of the authority which it made for it."""
        return self.folder / "certificates" / "apiserver.crt"

    def _prepare(self) -> None:
        self._running.end_all()  # what an earlier plane in this folder left
        shutil.rmtree(self.folder / "etcd", ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        lines = [f'{token},{name},{name},"{_groups(name)}"\n' for name, token in self._tokens.items()]
        write(self.folder / "tokens.csv", "".join(lines))

    def _start_somewhere(self) -> None:
        for attempt in range(TRIES):
            self._ports = dict(zip(("api", "etcd", "peers"), ports.choose(3), strict=True))
            self._running.start("etcd", self._etcd(), _environment())
            self._running.start("api", self._api(), _environment())
            try:
                self.await_ready()
            except StackError:
                self._running.end_all()
                if attempt + 1 == TRIES or not any(map(ports.taken, self._ports.values())):
                    raise
            else:
                write(self.kubeconfig, self.address().kubeconfig())
                return

    def _etcd(self) -> list[str]:
        clients, peers = (f"http://127.0.0.1:{self._ports[name]}" for name in ("etcd", "peers"))
        return [
            str(self._programs["etcd"]), f"--data-dir={self.folder / 'etcd'}", "--log-level=warn", "--unsafe-no-fsync",
            f"--listen-client-urls={clients}", f"--advertise-client-urls={clients}", f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}", f"--initial-cluster=default={peers}",
        ]  # fmt: skip

    def _api(self) -> list[str]:
        key = self._certificates.with_suffix(".key")
        return [
            str(self._programs["kube-apiserver"]),
            f"--etcd-servers=http://127.0.0.1:{self._ports['etcd']}",
            f"--secure-port={self.port}",
            "--bind-address=127.0.0.1",
            "--advertise-address=192.0.2.1",  # it wants one that is not loopback, and tells it to nobody: see the next line
            "--endpoint-reconciler-type=none",
            f"--cert-dir={self._certificates.parent}",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--authorization-mode=RBAC,Node",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--allow-privileged=true",
        ]

    def _answers(self, path: str) -> bool:
        url, headers = self.address().url + path, {"Authorization": f"Bearer {self.token()}"}
        asked = urllib.request.Request(url, headers=headers)  # noqa: S310  # our own https address
        try:
            trust = ssl.create_default_context(cafile=self._certificates)
            with urllib.request.urlopen(asked, timeout=5, context=trust) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (OSError, HTTPException):  # URLError, and a certificate that isn't there yet, are an OSError
            return False


def _groups(user: str) -> str:
    return "system:masters" if user == ADMIN else "people"


def _environment() -> Mapping[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
