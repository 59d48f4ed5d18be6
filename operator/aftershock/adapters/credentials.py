"""How requests to an API server say who sends them: token, token file, certificate, password, or a login command.

A login command (`exec`) stands in the user's own kubeconfig and is run as kubectl runs it; nothing else ever names one. What
it hands out is kept in memory until it expires or is refused. Private keys touch the disk only in a folder nobody else may
read, which goes with the process.
"""

import atexit
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from aftershock.adapters import kubeconfig
from aftershock.adapters.kubeconfig import Access, Tree
from aftershock.errors import InputError, TargetError

GROUP = "client.authentication.k8s.io"
VERSIONS = (f"{GROUP}/v1", f"{GROUP}/v1beta1")
DEADLINE = 60.0
"""Seconds that a login command may take that can't ask anybody. One that asks in a terminal may take its time."""


class LoginError(TargetError):
    """The login command of the kubeconfig failed, or isn't there."""


class Credential(msgspec.Struct, frozen=True):
    """What a request shows: a header, a certificate with its key (paths), or both. `expires`: seconds since the epoch."""

    header: str | None = None
    certificate: tuple[str, str] | None = None
    expires: float | None = None


class Credentials:
    """The credential of one user, as it is now. Threads share it: a login command runs once for all of them."""

    def __init__(self, access: Access) -> None:
        self._user = access.user
        self._cluster = access.cluster
        self._lock = threading.Lock()
        self._kept: Credential | None = None

    def now(self) -> Credential:
        """Return what to show now. LoginError or InputError if it can't be had."""
        with self._lock:
            if self._kept is None or _over(self._kept):
                self._kept = self._new()
            return self._kept if not self._user.get("tokenFile") else self._from_file(self._kept)

    def refused(self, shown: Credential) -> bool:
        """Take note that the server took it no more; tell whether another may be had."""
        with self._lock:
            if self._kept is shown:
                self._kept = None
        return "exec" in self._user

    def _new(self) -> Credential:
        user = self._user
        pair = _both(path(user, "client-certificate"), path(user, "client-key"))
        if user.get("tokenFile") or user.get("token"):
            return Credential(f"Bearer {user['token']}" if user.get("token") else None, pair)
        if user.get("username"):
            both = f"{user['username']}:{user.get('password') or ''}"
            return Credential(f"Basic {base64.b64encode(both.encode()).decode()}", pair)
        return _credential(_login(user["exec"], self._cluster), pair) if user.get("exec") else Credential(None, pair)

    def _from_file(self, kept: Credential) -> Credential:
        """Read the token anew: who keeps it in a file renews it there."""
        file = Path(self._user["tokenFile"])
        try:
            return Credential(f"Bearer {file.read_text(encoding='utf-8').strip()}", kept.certificate)
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"can't read the token {file}: {error}", "see the user's `tokenFile`") from None


# Login commands (https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins)


def _login(asked: Tree, cluster: Tree) -> Tree:
    """Run the login command; return the status of the ExecCredential that it prints."""
    version, command = str(asked.get("apiVersion")), str(asked.get("command") or "")
    if version not in VERSIONS:
        raise InputError(
            f"the login command {command} speaks {version}, which neither kubectl nor aftershock knows",
            f"set the user's exec.apiVersion to {VERSIONS[0]}; newer versions of the command speak it",
        )
    can_ask = asked.get("interactiveMode") != "Never" and sys.stdin is not None and sys.stdin.isatty()
    if asked.get("interactiveMode") == "Always" and not can_ask:
        raise LoginError(f"the login command {command} has to ask somebody, and there is no terminal", "run it in one")
    printed = _run(asked, command, _environment(asked, cluster, interactive=can_ask), can_ask=can_ask)
    return _status(printed, command, version)


def _run(asked: Tree, command: str, environment: dict[str, str], *, can_ask: bool) -> bytes:
    line = [command, *map(str, asked.get("args") or [])]
    hint = str(asked.get("installHint") or "").strip()
    try:
        done = subprocess.run(
            line,
            env=environment,
            stdin=None if can_ask else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=None if can_ask else DEADLINE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LoginError(f"the login command {command} took more than {DEADLINE:g} s", "run it by hand") from None
    except OSError as error:
        raise LoginError(f"can't run the login command {command}: {error.strerror}", hint or "install it") from None
    if done.returncode:
        raise LoginError(f"the login command {command} failed with exit code {done.returncode}", "see what it says")
    return done.stdout


def _environment(asked: Tree, cluster: Tree, *, interactive: bool) -> dict[str, str]:
    """Return the command's environment: ours, what the kubeconfig adds, and what the protocol has it know."""
    spec: Tree = {"interactive": interactive}
    if asked.get("provideClusterInfo"):
        spec["cluster"] = _told_of(cluster)
    info = {"apiVersion": asked["apiVersion"], "kind": "ExecCredential", "spec": spec}
    added = {str(each["name"]): str(each["value"]) for each in asked.get("env") or []}
    return {**os.environ, **added, "KUBERNETES_EXEC_INFO": json.dumps(info)}


def _told_of(cluster: Tree) -> Tree:
    authority = kubeconfig.data(cluster, "certificate-authority")
    extensions = cluster.get("extensions") or []
    config = next((each.get("extension") for each in extensions if each.get("name") == f"{GROUP}/exec"), None)
    told = {
        "server": cluster.get("server"),
        "tls-server-name": cluster.get("tls-server-name"),
        "insecure-skip-tls-verify": cluster.get("insecure-skip-tls-verify"),
        "certificate-authority-data": base64.b64encode(authority).decode() if authority else None,
        "proxy-url": cluster.get("proxy-url"),
        "config": config,
    }
    return {key: value for key, value in told.items() if value is not None}


def _status(printed: bytes, command: str, version: str) -> Tree:
    try:
        said = json.loads(printed)
        found, status = (said["kind"], said["apiVersion"]), dict(said["status"])
    except (ValueError, KeyError, TypeError):
        raise LoginError(
            f"the login command {command} printed no ExecCredential", "run it by hand and see what it says"
        ) from None
    if found != ("ExecCredential", version):
        raise LoginError(
            f"the login command {command} was asked for ExecCredential {version} and printed {' '.join(found)}",
            "set the user's exec.apiVersion to what the command speaks",
        )
    return status


def _credential(status: Tree, otherwise: tuple[str, str] | None) -> Credential:
    """Return what the command handed out. Its certificate goes before the kubeconfig's."""
    certificate, key = (_kept(status.get(name)) for name in ("clientCertificateData", "clientKeyData"))
    pair = _both(certificate, key) or otherwise
    header = f"Bearer {status['token']}" if status.get("token") else None
    if header is None and pair is None:
        raise LoginError("the login command handed out neither a token nor a certificate", "run it by hand")
    return Credential(header, pair, _seconds(status.get("expirationTimestamp")))


def _seconds(timestamp: Any) -> float | None:
    if not timestamp:
        return None
    try:
        return datetime.fromisoformat(str(timestamp)).timestamp()
    except ValueError:
        raise LoginError(f"the login command's expirationTimestamp is no time: {timestamp}", "run it by hand") from None


def _over(kept: Credential) -> bool:
    return kept.expires is not None and datetime.now(UTC).timestamp() >= kept.expires


# Keys: TLS takes them from files only


def _both(certificate: str | None, key: str | None) -> tuple[str, str] | None:
    return (certificate, key or certificate) if certificate else None


def path(tree: Tree, name: str) -> str | None:
    """Return a file that holds what the kubeconfig gives in a file or in its own text (which goes first)."""
    if not tree.get(f"{name}-data"):
        return str(tree[name]) if tree.get(name) else None
    return _kept((kubeconfig.data(tree, name) or b"").decode(errors="replace"))


def _kept(text: str | None) -> str | None:
    return _written(str(text), os.getpid()) if text else None


@cache
def _written(text: str, process: int) -> str:
    """Put it where only this user can read it, until the process ends; the same text once."""
    folder = Path(tempfile.mkdtemp(prefix="aftershock-login."))
    atexit.register(_forget, folder, process)
    path = folder / "pem"
    path.touch(0o600)
    path.write_text(text, encoding="utf-8")
    return str(path)


def _forget(folder: Path, process: int) -> None:
    """Remove it, unless this is a fork of the process that keeps it."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)
