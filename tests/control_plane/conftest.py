"""A real control plane: etcd and kube-apiserver, started once for the session (4 s; the first ever builds them, minutes).

There is no controller manager: nothing is garbage-collected (a Run stays when its Experiment goes), Jobs make no pods,
and a deleted namespace stays `Terminating`. There is no node either. What needs those is in tests/cluster.

`plane`      the session's plane; leave its API server running
`breakable`  another one, whose API server may be stopped, frozen and started (`outage(breakable)`)
`cutter`     a proxy in front of `plane` that cuts connections; `cut_kubeconfig` leads through it
`namespace`  a new namespace on `plane`; what is ours in it goes at the end, finalizers or not
`api`        aftershock's adapter for `plane`, as its administrator
`kubectl`    the real kubectl on `plane`, in `namespace`
`field`      such a namespace with a Toxiproxy and a service, where operators and reapers can be started (operating.py)
`applied_crds`  our CRDs are on `plane` (and, by `install_crds`, on any other)
"""

import secrets
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aftershock.adapters import kubernetes as k8s
from aftershock.errors import StackError
from aftershock.runtime.cluster.crds import crds
from aftershock.stacks import programs
from aftershock.stacks.control_plane import ControlPlane
from component.conftest import end, free_port, start_toxiproxy
from control_plane.cutter import Cutter

if TYPE_CHECKING:
    from control_plane.operating import Field

DEFINITIONS = k8s.Resource("apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False)
SERVICE_ACCOUNTS = k8s.Resource("v1", "serviceaccounts")
USERS = ("alice", "bob")
"""Users of `plane` without any rights: `plane.token("alice")`, `plane.address("alice").kubeconfig()`."""


def until(done: Callable[[], object], patience: float = 60.0) -> None:
    """Wait for an event of another process; the patience is for a machine that is busy."""
    end = time.monotonic() + patience
    while not done():
        assert time.monotonic() < end, f"still not so after {patience} s"
        time.sleep(0.02)


@contextmanager
def started_plane() -> Iterator[ControlPlane]:
    """A plane of one's own, in a temporary folder. Its processes end with ours, however we end."""
    try:
        programs.all_of(programs.CONTROL_PLANE)
    except StackError as error:
        pytest.skip(f"no control plane: {error.problem.splitlines()[0]}")
    with (
        tempfile.TemporaryDirectory(prefix="aftershock-plane.") as folder,
        ControlPlane(Path(folder), USERS) as running,
    ):
        yield running


@pytest.fixture(scope="session")
def plane() -> Iterator[ControlPlane]:
    with started_plane() as running:
        yield running


@pytest.fixture(scope="session")
def breakable() -> Iterator[ControlPlane]:
    with started_plane() as running:
        yield running


@contextmanager
def outage(plane: ControlPlane, how: signal.Signals = signal.SIGKILL) -> Iterator[None]:
    """The API server is away for the length of the block; afterwards it is ready again, on the same port."""
    plane.stop_api(how)
    try:
        yield
    finally:
        plane.start_api()


def api_of(plane: ControlPlane, user: str = "admin", *, token: str | None = None) -> k8s.Api:
    """Aftershock's adapter as one of the plane's users, or as whom a token names."""
    path = plane.folder / f"kubeconfig.{secrets.token_hex(4)}"
    path.write_text(plane.address(user, token=token).kubeconfig())
    return k8s.Api.connect(path)


def account_token(api: k8s.Api, name: str, namespace: str) -> str:
    """Return a token of a service account, as a pod would get one; the account is made if need be."""
    if api.find(SERVICE_ACCOUNTS, name, namespace) is None:
        api.create(SERVICE_ACCOUNTS, {"metadata": {"name": name, "namespace": namespace}})
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    answer = api.call("POST", SERVICE_ACCOUNTS, f"{name}/token", namespace, json=asked)
    return str(answer["status"]["token"])


@pytest.fixture
def api(plane: ControlPlane) -> k8s.Api:
    return k8s.Api.connect(plane.kubeconfig)


@pytest.fixture
def namespace(api: k8s.Api) -> Iterator[str]:
    with new_namespace(api) as name:
        yield name


@contextmanager
def new_namespace(api: k8s.Api) -> Iterator[str]:
    """A namespace of one's own, with the service account that pods need. What is ours in it goes at the end."""
    name = f"test-{secrets.token_hex(4)}"
    api.create(k8s.NAMESPACES, {"metadata": {"name": name}})
    api.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": name}})
    try:
        yield name
    finally:
        clear(api, name)


def clear(api: k8s.Api, namespace: str) -> None:
    """Remove all custom resources of ours from a namespace, experiments first, whatever finalizers they bear."""
    for resource in (k8s.EXPERIMENTS, k8s.RUNS, k8s.STACKS):
        until(lambda resource=resource: _listed(api, resource))
        try:
            found = api.list(resource, namespace)
        except k8s.MissingError:
            continue  # no such CRD here
        for each in found:
            _remove(api, resource, each["metadata"]["name"], namespace)


def _listed(api: k8s.Api, resource: k8s.Resource) -> bool:
    """After a start of the API server our kinds take a moment longer than it does: 429 until then."""
    try:
        api.list(resource)
    except k8s.ApiAwayError:
        return False
    except k8s.MissingError:
        return True
    return True


def _remove(api: k8s.Api, resource: k8s.Resource, name: str, namespace: str) -> None:
    api.delete(resource, name, namespace)
    try:
        api.patch(resource, name, {"metadata": {"finalizers": None}}, namespace)
    except k8s.MissingError:
        return


@dataclass(frozen=True)
class Kubectl:
    """Runs kubectl as a user would: `kubectl("apply", "-f", "-", feed=text)` returns what it prints."""

    program: Path
    kubeconfig: Path
    namespace: str

    def __call__(self, *arguments: str | Path, feed: str = "") -> str:
        done = self.run(*arguments, feed=feed)
        assert done.returncode == 0, f"kubectl {' '.join(map(str, arguments))}: {done.stderr}"
        return done.stdout

    def refused(self, *arguments: str | Path, feed: str = "") -> str:
        """Return what it complains of."""
        done = self.run(*arguments, feed=feed)
        assert done.returncode != 0, f"kubectl {' '.join(map(str, arguments))} did it: {done.stdout}"
        return done.stderr

    def run(self, *arguments: str | Path, feed: str = "") -> "subprocess.CompletedProcess[str]":
        return subprocess.run(self.line(*arguments), input=feed, capture_output=True, text=True)

    def line(self, *arguments: str | Path) -> list[str]:
        """Return the command line, for those who start it themselves (`get --watch`)."""
        return [
            str(self.program), "--kubeconfig", str(self.kubeconfig), "--namespace", self.namespace,
            "--cache-dir", str(self.kubeconfig.parent / "kubectl-cache"), *map(str, arguments),
        ]  # fmt: skip


@pytest.fixture
def kubectl(plane: ControlPlane, namespace: str) -> Kubectl:
    return Kubectl(plane.kubectl, plane.kubeconfig, namespace)


@pytest.fixture
def cutter(plane: ControlPlane) -> Iterator[Cutter]:
    """`cutter.cut()` cuts all connections, `with cutter.cutting(1.0):` again and again."""
    with Cutter(plane.port) as running:
        yield running


@pytest.fixture
def cut_kubeconfig(plane: ControlPlane, cutter: Cutter, tmp_path: Path) -> Path:
    """The administrator's kubeconfig, through the cutter."""
    path = tmp_path / "kubeconfig"
    path.write_text(plane.address(port=cutter.port).kubeconfig())
    return path


@pytest.fixture(scope="session")
def applied_crds(plane: ControlPlane) -> None:
    install_crds(k8s.Api.connect(plane.kubeconfig))


def install_crds(api: k8s.Api) -> None:
    """Put our CRDs on an API server and wait until it serves them all."""
    wanted = crds()
    for tree in wanted:
        if api.find(DEFINITIONS, tree["metadata"]["name"]) is None:
            api.create(DEFINITIONS, tree)
    for tree in wanted:
        until(lambda name=tree["metadata"]["name"]: _established(api, name))


def _established(api: k8s.Api, name: str) -> bool:
    """Tell whether objects of a kind can be had: it is said to be established a moment before its storage is up."""
    tree = api.get(DEFINITIONS, name)
    conditions = tree.get("status", {}).get("conditions", [])
    said = any(each["type"] == "Established" and each["status"] == "True" for each in conditions)
    return said and _served(api, tree["spec"])


def _served(api: k8s.Api, spec: k8s.Tree) -> bool:
    version = f"{spec['group']}/{spec['versions'][0]['name']}"
    try:
        api.list(k8s.Resource(version, spec["names"]["plural"], spec["scope"] == "Namespaced"))
    except (k8s.ApiAwayError, k8s.MissingError):
        return False
    return True


@pytest.fixture(scope="session")
def shared_toxiproxy() -> Iterator[str]:
    """A Toxiproxy for the session; each test makes proxies of its own."""
    port = free_port()
    process = start_toxiproxy(port)
    yield f"http://127.0.0.1:{port}"
    end(process)


@pytest.fixture
def field(
    api: k8s.Api, applied_crds: None, plane: ControlPlane, shared_toxiproxy: str, tmp_path: Path
) -> "Iterator[Field]":
    from control_plane.operating import field_on

    with field_on(api, plane.kubeconfig, shared_toxiproxy, tmp_path) as one:
        yield one
