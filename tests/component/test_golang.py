"""Building with Go: which Go, what is said when it fails, and that a build which is cut short ends with all it started."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aftershock.errors import StackError
from aftershock.stacks import golang, processes, programs, toxiproxy
from component.conftest import until

OPERATOR = Path(golang.__file__).parent.parent.parent


def script(folder: Path, text: str) -> None:
    """Put a `go` of our own at the head of the PATH."""
    folder.mkdir(exist_ok=True)
    (folder / "go").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "go").chmod(0o755)


@pytest.fixture
def own_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("AFTERSHOCK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "bin"


@pytest.mark.parametrize(
    ("version", "fits"),
    [("go1.19.8", False), ("go1.23.0", False), ("go1.24", True), ("go1.26.8", True), ("devel", False)],
)
def test_a_go_that_is_too_old_is_passed_over(own_go: Path, version: str, *, fits: bool) -> None:
    script(own_go, f"echo go version {version} linux/amd64")
    assert (golang.own() == str(own_go / "go")) is fits


def test_without_its_module_proxy_it_says_what_to_set(own_go: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOPROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("GOMODCACHE", str(own_go.parent / "modules"))
    with pytest.raises(StackError, match="127\\.0\\.0\\.1:1") as refused:
        toxiproxy.program()
    assert "GOPROXY" in refused.value.advice


def test_a_full_disk_is_named(own_go: Path) -> None:
    script(own_go, 'case $1 in version) echo go1.24;; *) echo "write: no space left on device" >&2; exit 1;; esac')
    with pytest.raises(StackError, match=r"etcd-.* could not be built: go says:") as refused:
        programs.program("etcd", lambda _: None)
    assert str(own_go.parent / "cache") in refused.value.advice
    assert list((own_go.parent / "cache").glob("etcd*")) == []


def test_a_build_that_is_interrupted_ends_with_all_that_it_started(own_go: Path, tmp_path: Path) -> None:
    script(own_go, "case $1 in version) echo go1.24;; *) sleep 1000 & wait;; esac")
    line = [sys.executable, "-c", "from aftershock.stacks import toxiproxy; toxiproxy.program()"]
    environment = {**os.environ, "PYTHONPATH": str(OPERATOR), processes.MARK: str(tmp_path)}
    with subprocess.Popen(line, env=environment, stderr=subprocess.DEVNULL) as build:
        until(lambda: any(each.command == "sleep 1000" for each in processes.of(tmp_path)))
        build.send_signal(signal.SIGINT)
    until(lambda: processes.of(tmp_path) == [])
