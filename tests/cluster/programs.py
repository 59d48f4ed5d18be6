"""Programs of the cluster: each ends when this process does, however that ends, and carries the cluster's mark."""

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from cluster.ground import MARK, PATH

Line = Sequence[str | Path]
_started: list[subprocess.Popen[bytes]] = []


class Failed(AssertionError):
    """The cluster did not come up; the message has what its programs said last."""


def start(name: str, line: Line, folder: Path) -> subprocess.Popen[bytes]:
    """Start a program, output to `<folder>/<name>.log`. To be called in the main thread: with it the program ends."""
    with (folder / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *line],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True, env=environment(),
        )  # fmt: skip
    _started.append(process)
    return process


def bury() -> None:
    """Wait for the programs that were started: to be called once they were killed."""
    while _started:
        _started.pop().wait(30)


def environment() -> dict[str, str]:
    """Return what a program of the cluster inherits."""
    return {"PATH": PATH, "LC_ALL": "C", MARK: "1"}


def until(what: str, done: Callable[[], object], folder: Path, patience: float = 120.0) -> None:
    """Wait for an event of another process; Failed says what its logs in `folder` end in."""
    end = time.monotonic() + patience
    while not done():
        if time.monotonic() > end:
            raise Failed(f"{what}: still not so after {patience:.0f} s\n{tails(folder)}")
        time.sleep(0.1)


def tails(folder: Path) -> str:
    """Return the last lines of every log."""
    logs = {log: log.read_text(errors="replace").splitlines()[-5:] for log in sorted(folder.rglob("*.log"))}
    return "\n".join(f"{log}:\n    " + "\n    ".join(line[:300] for line in lines) for log, lines in logs.items())


def run(line: Line, patience: float = 120.0, **more: str) -> str:
    """Run a command to its end and return what it said. Failed if it fails."""
    done = subprocess.run(
        line, check=False, capture_output=True, text=True, timeout=patience, stdin=subprocess.DEVNULL,
        env={**os.environ, "PATH": PATH, **more}, cwd="/",
    )  # fmt: skip
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, line))}\nsays: {done.stderr.strip()[-3000:]}\n{done.stdout.strip()[-3000:]}")
    return done.stdout
