"""`aftershock demo --operator` as `make demo-operator` runs it: from nothing to the verdict and its report, leaving nothing."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aftershock.cli import demo_operator
from aftershock.cli.demo_cluster import NAMESPACE
from aftershock.errors import InputError, StackError
from aftershock.stacks import processes
from aftershock.stacks.control_plane import ControlPlane
from control_plane.conftest import Kubectl, until
from own_home import own_home

ROOT = Path(__file__).parent.parent.parent
LINE = [sys.executable, "-m", "aftershock", "demo", "--operator"]


def environment() -> dict[str, str]:
    """No cluster of one's own, and no display."""
    kept = {
        name: value for name, value in os.environ.items() if name not in {"KUBECONFIG", "DISPLAY", "WAYLAND_DISPLAY"}
    }
    return {**kept, "PYTHONPATH": str(ROOT / "operator")}


@contextmanager
def demo() -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        LINE, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def of(home: Path) -> list[processes.Process]:
    """Everything that runs for a demo in this home."""
    return [each for each in processes.marked() if each.folder.startswith(str(home.parent))]


@pytest.mark.usefixtures("plane")
def test_it_shows_the_way_from_apply_to_the_verdict() -> None:
    with own_home() as home, demo() as process:
        told, _ = process.communicate()
        assert process.returncode == 0, told
        assert "$ kubectl apply -f experiments/db-connection-exhaustion.yaml" in told
        rows = [line.split() for line in told.splitlines() if line.startswith("db-connection-exhaustion-1 ")]
        assert any("Active" in row for row in rows)  # half a minute; shorter ones may pass between two writes
        assert "Passed" in rows[-1]
        (run,) = (home / "runs").iterdir()
        assert str(run / "report.html") in told
        assert {
            each["era"]: each["verdict"] for each in json.loads((run / "report.json").read_text())["judgements"]
        } == {"1k": "Passed"}
        assert told.rstrip().endswith("nothing is left running")
        assert of(home) == []
        assert sorted(each.name for each in home.iterdir()) == ["locks", "runs", "stacks"]
        assert list((home / "stacks").iterdir()) == []


@pytest.mark.usefixtures("plane")
@pytest.mark.parametrize("instant", ["kube-apiserver", "initdb", "supervisor.supervisord", "aftershock.probes.worker"])
def test_interrupted_it_leaves_nothing(instant: str) -> None:
    """SIGINT once the named program runs, and again while it cleans up."""
    with own_home() as home, demo() as process:
        until(lambda: process.poll() is not None or any(instant in each.command for each in of(home)))
        process.send_signal(signal.SIGINT)
        again = threading.Timer(0.5, process.send_signal, (signal.SIGINT,))
        again.start()
        told, _ = process.communicate()
        again.join()
        assert process.returncode == 130, told
        assert of(home) == []
        assert not (home / "demo-operator").exists()
        assert not list((home / "runs").glob("*"))


@pytest.mark.usefixtures("plane")
def test_what_fails_says_where_its_words_are(monkeypatch: pytest.MonkeyPatch) -> None:
    with own_home() as home:
        monkeypatch.delenv("KUBECONFIG", raising=False)
        monkeypatch.setattr(demo_operator, "OPERATOR", ("no-such-command",))
        with pytest.raises(StackError, match=r"operator ended: .*no-such-command") as failed:
            demo_operator.command()
        log = failed.value.advice.removeprefix("read ")
        assert "no-such-command" in Path(log).read_text()
        assert of(home) == []


@pytest.mark.usefixtures("plane")
def test_a_cluster_that_is_not_there_is_named(tmp_path: Path) -> None:
    told = subprocess.run(
        LINE, env={**environment(), "KUBECONFIG": str(tmp_path / "none")}, capture_output=True, text=True
    )
    assert told.returncode == InputError.exit_code
    assert str(tmp_path / "none") in told.stderr and "unset KUBECONFIG" in told.stderr


def test_a_namespace_that_is_there_already_is_left_alone(kubectl: Kubectl, plane: ControlPlane) -> None:
    kubectl("create", "namespace", NAMESPACE)
    told = subprocess.run(
        LINE, env={**environment(), "KUBECONFIG": str(plane.kubeconfig)}, capture_output=True, text=True
    )
    assert told.returncode == InputError.exit_code
    assert NAMESPACE in told.stderr
    assert "Active" in kubectl("get", "namespace", NAMESPACE)


def test_a_second_one_is_refused() -> None:
    with (
        own_home() as home,
        demo_operator._alone(home / "demo-operator"),
        pytest.raises(StackError, match="is going on"),
    ):
        demo_operator.command()


@pytest.mark.parametrize("display", ["", ":0"])
def test_a_report_is_opened_where_it_can_be_seen(display: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", display)
    demo_operator.open_(tmp_path / "report.html")
    assert opened == ([(tmp_path / "report.html").as_uri()] if display else [])
