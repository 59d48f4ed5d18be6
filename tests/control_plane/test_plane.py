"""The plane that the other tests stand on, and what of `control_plane.py` only a real one can show."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aftershock.adapters import kubernetes as k8s
from aftershock.errors import StackError
from aftershock.stacks import golang, processes, programs
from aftershock.stacks.control_plane import ControlPlane
from control_plane.conftest import Kubectl, account_token, api_of, outage, until
from control_plane.cutter import Cutter

ROOT = Path(__file__).parent.parent.parent


def test_kubectl_trusts_the_plane_and_is_its_version(kubectl: Kubectl) -> None:
    told = kubectl("version")
    assert told.count(f"v{programs.KUBERNETES}") == 2, told
    assert "insecure" not in kubectl.kubeconfig.read_text()


def test_users_and_service_accounts_have_no_rights_until_they_are_granted(
    plane: ControlPlane, api: k8s.Api, kubectl: Kubectl, namespace: str
) -> None:
    alice = api_of(plane, "alice")
    account = api_of(plane, token=account_token(api, "robot", namespace))
    for client in (alice, account):
        with pytest.raises(k8s.ForbiddenError, match="list"):
            client.list(k8s.SECRETS, namespace)
    kubectl("create", "role", "reader", "--verb=list", "--resource=secrets")
    kubectl("create", "rolebinding", "readers", "--role=reader", "--user=alice", f"--serviceaccount={namespace}:robot")
    for client in (alice, account):
        until(lambda client=client: _may_list(client, namespace))


def _may_list(client: k8s.Api, namespace: str) -> bool:
    try:
        return client.list(k8s.SECRETS, namespace) == []
    except k8s.ForbiddenError:
        return False  # the authorizer learns of a binding by a watch


def test_an_outage_is_one_and_forgets_nothing(breakable: ControlPlane) -> None:
    api = k8s.Api.connect(breakable.kubeconfig)
    api.create(k8s.NAMESPACES, {"metadata": {"name": "before"}})
    port = breakable.port
    with outage(breakable), pytest.raises(k8s.ApiAwayError):
        api.list(k8s.NAMESPACES)
    assert breakable.port == port
    assert api.get(k8s.NAMESPACES, "before")
    api.delete(k8s.NAMESPACES, "before")


def test_a_frozen_api_server_answers_nobody_and_goes_on(breakable: ControlPlane) -> None:
    impatient = k8s.Api.connect(breakable.kubeconfig, timeout=0.5)
    breakable.freeze_api()
    try:
        with pytest.raises(k8s.ApiAwayError):
            impatient.list(k8s.NAMESPACES)
    finally:
        breakable.thaw_api()
    breakable.await_ready()
    assert k8s.Api.connect(breakable.kubeconfig).list(k8s.NAMESPACES)


def test_a_watch_is_cut_and_another_one_gets_through(
    cutter: Cutter, cut_kubeconfig: Path, kubectl: Kubectl, namespace: str
) -> None:
    through = Kubectl(kubectl.program, cut_kubeconfig, namespace)
    kubectl("create", "configmap", "listed")
    line = through.line("get", "configmaps", "--watch", "--output=name")
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as watch:
        assert watch.stdout
        assert "listed" in watch.stdout.readline()
        kubectl("create", "configmap", "watched")
        assert "watched" in watch.stdout.readline()
        assert cutter.cut() >= 1
        watch.stdout.read()
        watch.wait()
    assert "watched" in through("get", "configmaps", "--output=name")


_PARENT = """
import sys, time
from pathlib import Path
from aftershock.stacks.control_plane import ControlPlane
with ControlPlane(Path(sys.argv[1])) as plane:
    print(plane.port, flush=True)
    time.sleep(1000)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=lambda how: how.name)
def test_a_plane_ends_with_its_parent(plane: ControlPlane, tmp_path: Path, how: signal.Signals) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "operator")}
    line = [sys.executable, "-c", _PARENT, str(tmp_path)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout
        assert parent.stdout.readline().strip().isdigit()
        assert len(processes.of(tmp_path)) == 2
        parent.send_signal(how)
        parent.communicate()
    until(lambda: processes.of(tmp_path) == [])


def test_a_start_that_fails_says_where_to_read_why_and_leaves_nothing(
    plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "kube-apiserver"
    broken.write_text("#!/bin/sh\necho no such flag >&2\nexit 1\n")
    broken.chmod(0o755)
    built = programs.all_of(programs.CONTROL_PLANE)
    monkeypatch.setattr(programs, "all_of", lambda *_: {**built, "kube-apiserver": broken})
    with pytest.raises(StackError, match="api ended: no such flag") as refused:
        ControlPlane(tmp_path / "plane").start()
    assert "api.log" in refused.value.advice
    assert processes.of(tmp_path / "plane") == []


def test_programs_that_are_built_are_not_built_again(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("nothing is to be built")

    monkeypatch.setattr(golang, "_build", never)
    assert programs.missing(programs.CONTROL_PLANE) == []
    assert set(programs.all_of(programs.CONTROL_PLANE, never)) == set(programs.CONTROL_PLANE)
