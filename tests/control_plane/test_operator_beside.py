"""What the operator's own process does beside its work: metrics, a look at its rights, and Runs that are old enough to go."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from aftershock.adapters import kubernetes as k8s
from aftershock.stacks.control_plane import ControlPlane
from control_plane.conftest import account_token, until
from control_plane.granted import EACH, granting

ROOT = Path(__file__).parent.parent.parent
OLD = "2020-01-01T00:00:00Z"
MISSING = next(one for one in EACH if str(one) == "operator:create:events")


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def read(port: int, path: str) -> str:
    try:
        return str(urlopen(f"http://127.0.0.1:{port}/{path}", timeout=10).read().decode())
    except URLError:
        return ""


@pytest.fixture
def started(
    plane: ControlPlane, api: k8s.Api, applied_crds: None, tmp_path: Path, port: int
) -> Iterator[tuple[Path, str]]:
    """The operator, as a service account that lacks one of its rights: what it says, and its namespace."""
    with granting(plane, api) as bind:
        user = bind("operator", without=MISSING)
        namespace, token = user.namespace, account_token(api, user.account, user.namespace)
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(plane.address(token=token).kubeconfig())
        spec = {"experiment": "slow", "stack": "shop"}
        tree = {
            "apiVersion": k8s.OURS,
            "kind": "Run",
            "metadata": {"name": "old-1", "namespace": namespace},
            "spec": spec,
        }
        api.create(k8s.RUNS, tree)
        clean = {"type": "CleanedUp", "status": "True", "reason": "Clean", "message": "Nothing is left"}
        status = {"phase": "Finished", "verdict": "Passed", "finished": OLD, "conditions": [clean]}
        api.patch(k8s.RUNS, "old-1", {"status": status}, namespace, subresource="status")
        words = ["operator", "--launcher", "child", "--namespace", namespace, "--metrics-port", str(port)]
        line = [sys.executable, "-m", "aftershock", *words, "--keep-runs", "30d"]
        own = {"PYTHONPATH": str(ROOT / "operator"), "KUBECONFIG": str(kubeconfig), "AFTERSHOCK_HOME": str(tmp_path)}
        with (tmp_path / "said").open("w") as said:
            process = subprocess.Popen(line, env={**os.environ, **own}, stdin=subprocess.DEVNULL, stderr=said)
        try:
            yield tmp_path / "said", namespace
            process.send_signal(signal.SIGTERM)
            assert process.wait(120) == 0
        finally:
            process.kill()
            process.wait()


def test_it_counts_says_what_it_lacks_and_throws_old_runs_away(
    started: tuple[Path, str], api: k8s.Api, port: int
) -> None:
    said, namespace = started
    until(lambda: MISSING.missing in said.read_text())
    until(lambda: 'aftershock_build_info{part="operator"' in read(port, "metrics"))
    until(lambda: "run old-1 finished long ago" in said.read_text())
    until(lambda: api.find(k8s.RUNS, "old-1", namespace) is None)
