"""A kubeconfig as kubectl reads one: where a cluster is, and as whom a user goes there. It reads files, and sends nothing.

$KUBECONFIG may name several files: of each cluster, user and context the first that names it counts, and a file that isn't
there is passed over. Paths in a file start at the folder in which that file lies.
"""

import base64
import binascii
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from aftershock.core.wording import authority
from aftershock.errors import InputError

Tree = dict[str, Any]
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_PATHS = {"certificate-authority", "client-certificate", "client-key", "tokenFile"}
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SECTIONS = {"clusters": "cluster", "users": "user", "contexts": "context"}
_UNKNOWN = {
    "auth-provider": "kubectl has taken it out too: `exec` with your provider's plugin does the same",
    "as": "give a user that needs no impersonation",
}
"""Ways to log in that are not for us, and what to do instead."""


@dataclass(frozen=True)
class Access:
    """One cluster as one user. `cluster` and `user` are the file's own trees, with paths that are absolute."""

    server: str
    namespace: str
    cluster: Tree = field(repr=False)
    user: Tree = field(repr=False)


def access(kubeconfig: Path | None = None, context: str | None = None) -> Access:
    """Read how to reach the cluster: the file, $KUBECONFIG, the pod's service account, or ~/.kube/config, in this order.

    InputError where there is none that can be read, or where it lacks something.
    """
    paths = _paths(kubeconfig)
    if paths is None:
        return _of_pod()
    merged = _merged(paths)
    where = os.pathsep.join(map(str, paths))
    name = context or merged["current-context"]
    if not name:
        raise _amiss(where, "it has no current context", "`kubectl config use-context NAME`, or --context NAME")
    chosen = _named(merged, "contexts", name, where)
    cluster = _named(merged, "clusters", str(chosen.get("cluster") or ""), where)
    user = _named(merged, "users", str(chosen["user"]), where) if chosen.get("user") else {}
    for way, instead in _UNKNOWN.items():
        if way in user:
            raise _amiss(where, f"the user {chosen['user']} logs in by `{way}`, which aftershock doesn't know", instead)
    if not cluster.get("server"):
        raise _amiss(where, f"the cluster {chosen['cluster']} has no `server`", "give its address there")
    return Access(str(cluster["server"]).rstrip("/"), str(chosen.get("namespace") or "default"), cluster, user)


def data(tree: Mapping[str, Any], name: str) -> bytes | None:
    """Return what `<name>-data` holds, or else the file `<name>`; None where neither is given. InputError if unreadable."""
    try:
        if tree.get(f"{name}-data"):
            return base64.b64decode(tree[f"{name}-data"], validate=True)
        return Path(tree[name]).read_bytes() if tree.get(name) else None
    except (OSError, binascii.Error, TypeError, ValueError) as error:
        raise _amiss("the kubeconfig", f"its `{name}` can't be read: {error}", "see what it names") from None


def _paths(kubeconfig: Path | None) -> list[Path] | None:
    """Return the files to read; None in a pod, where the service account says it all."""
    if kubeconfig is not None:
        return [kubeconfig]
    if named := [part for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]:
        return [Path(part) for part in named]
    return None if (SERVICE_ACCOUNT / "token").exists() else [Path.home() / ".kube" / "config"]


def _merged(paths: Sequence[Path]) -> Tree:
    """Return the files as one. A single file has to be there; of several, one has to."""
    found = [(path, _read(path)) for path in paths if path.exists()]
    if not found:
        where = os.pathsep.join(map(str, paths))
        raise _amiss(where, "there is no such file", "set KUBECONFIG to a file that `kubectl get nodes` works with")
    merged: Tree = {"current-context": "", **{section: {} for section in _SECTIONS}}
    for path, tree in found:
        merged["current-context"] = merged["current-context"] or str(tree.get("current-context") or "")
        for section in _SECTIONS:
            for name, entry in _entries(path, tree, section):
                merged[section].setdefault(name, entry)
    return merged


def _read(path: Path) -> Tree:
    try:
        tree = yaml.load(path.read_bytes(), _LOADER)  # noqa: S506 - a safe one, either way
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise _amiss(str(path), f"it can't be read: {error}", "see whether `kubectl config view` reads it") from None
    if not isinstance(tree or {}, dict):
        raise _amiss(str(path), "it is no kubeconfig", "see whether `kubectl config view` reads it")
    return tree or {}


def _entries(path: Path, tree: Tree, section: str) -> Iterator[tuple[str, Tree]]:
    """Go through the named entries of a section, with their paths made absolute."""
    try:
        for each in tree.get(section) or []:
            entry = dict(each.get(_SECTIONS[section]) or {})
            yield str(each["name"]), _placed(entry, path.absolute().parent)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise _amiss(str(path), f"its `{section}` are no list of names", "`kubectl config view` shows it") from None


def _placed(entry: Tree, folder: Path) -> Tree:
    placed = {key: str(folder / value) if key in _PATHS and value else value for key, value in entry.items()}
    command = (entry.get("exec") or {}).get("command") or ""
    if os.sep in command:  # without one it is looked for in PATH, as a shell does
        placed["exec"] = {**entry["exec"], "command": str(folder / command)}
    return placed


def _named(merged: Tree, section: str, name: str, where: str) -> Tree:
    if name in merged[section]:
        return dict(merged[section][name])
    there = ", ".join(sorted(merged[section])) or "none"
    raise _amiss(where, f"it has no {_SECTIONS[section]} {name!r}; there are: {there}", "see `kubectl config view`")


def _of_pod() -> Access:
    """Read what a pod is given. Its token is renewed in its file: the file is on record, not what it holds now."""
    try:
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
        namespace = (SERVICE_ACCOUNT / "namespace").read_text(encoding="utf-8").strip()
    except (OSError, KeyError) as error:
        raise _amiss("the pod", f"it doesn't say where its API server is: {error}", "set KUBECONFIG") from None
    server = f"https://{authority(host, port)}"
    cluster = {"server": server, "certificate-authority": str(SERVICE_ACCOUNT / "ca.crt")}
    return Access(server, namespace, cluster, {"tokenFile": str(SERVICE_ACCOUNT / "token")})


def _amiss(where: str, problem: str, advice: str) -> InputError:
    return InputError(f"can't tell from {where} how to reach a cluster: {problem}", advice)
