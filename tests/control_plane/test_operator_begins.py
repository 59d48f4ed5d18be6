"""What an operator says that can't do what it was started for: one clear message, with what to do next."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aftershock.adapters import kubernetes as k8s
from aftershock.stacks.control_plane import ControlPlane
from control_plane.conftest import api_of
from control_plane.operating import ROOT, Field


def started(plane: ControlPlane, folder: Path, *words: str, token: str | None = None) -> tuple[int, str]:
    """Start an operator that ends by itself; return its exit code and what it said."""
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(plane.address(token=token).kubeconfig())
    line = [sys.executable, "-m", "aftershock", "operator", "--launcher", "child", *words]
    surroundings = {"PYTHONPATH": str(ROOT / "operator"), "KUBECONFIG": str(kubeconfig), "AFTERSHOCK_HOME": str(folder)}
    done = subprocess.run(line, env={**os.environ, **surroundings}, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_credentials_that_nobody_knows(plane: ControlPlane, applied_crds: None, tmp_path: Path) -> None:
    code, said = started(plane, tmp_path, token="of-nobody")
    assert code == 5
    assert "log in anew" in said
    assert "grant" not in said


@pytest.mark.parametrize(
    "words",
    [("--health-port", "99999"), ("--metrics-port", "-1"), ("--namespace", "Not_One"), ("--namespace", "a.b")],
    ids=" ".join,
)
def test_a_port_or_a_namespace_that_can_be_none(words: tuple[str, str], plane: ControlPlane, tmp_path: Path) -> None:
    code, said = started(plane, tmp_path, *words)
    assert code == 64
    assert words[0] in said
    assert "bug" not in said


def test_a_namespace_that_is_not_there_is_told(field: Field) -> None:
    operator = field.operator("--namespace", "nowhere-at-all")
    operator.until_said("there is no namespace nowhere-at-all yet")
    operator.until_said("watching")


def test_what_is_missing_is_looked_for_where_it_would_be(plane: ControlPlane, applied_crds: None, api: k8s.Api) -> None:
    with pytest.raises(k8s.MissingError) as missing:
        api.get(k8s.SECRETS, "db", "default")
    assert missing.value.advice == "see `kubectl get secrets`, and apply it"
    with pytest.raises(k8s.MissingError) as ours:
        api_of(plane).get(k8s.STACKS, "planted", "default")
    assert "CRDs" in ours.value.advice
