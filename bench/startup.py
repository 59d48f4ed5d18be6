"""What it costs to be called: `aftershock --help` beside a bare Python, `aftershock run` beside Chaos Toolkit's `chaos run`.

Run: python bench/startup.py [ROUNDS]. Both runs carry out an experiment without faults and without waiting, the smallest
that each tool takes: ours holds the lock of the stack, writes its journal to the disk, asks the one place that the stack has
(its folder) before and after, judges, and writes its reports. Both are compiled, as they are once they are installed. Chaos
Toolkit gets a virtual environment of its own, made on demand in the cache folder.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "operator"))

from aftershock.adapters import home

STACK = """\
apiVersion: aftershock.dev/v1alpha1
kind: Stack
metadata: {name: nothing}
spec: {era: 1k, environment: test}
"""
EXPERIMENT = """\
apiVersion: aftershock.dev/v1alpha1
kind: Experiment
metadata: {name: nothing}
spec:
  stack: nothing
  baseline: {for: 0s}
  recovery: {watch: 0s, steady: 0s}
"""
PEER = '{"version": "1.0.0", "title": "nothing", "description": "nothing", "method": [], "rollbacks": []}'


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    chaos = _chaos()
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "stack.yaml").write_text(STACK)
        (here / "experiment.yaml").write_text(EXPERIMENT)
        (here / "experiment.json").write_text(PEER)
        ours = str(Path(sys.executable).with_name("aftershock"))
        bare, helped = _both([sys.executable, "-c", "pass"], [ours, "--help"], here, rounds)
        peer, run = _both(
            [chaos, "run", "experiment.json"], [ours, "run", "experiment.yaml", "--stack", "stack.yaml"], here, rounds
        )
    print("| what | beside | ratio | aim |")
    print("|---|---|---|---|")
    print(f"| `aftershock --help` | `python -c pass` | {helped / bare:.2f} | <= 3 |")
    print(f"| `aftershock run`, no fault, no wait | `chaos run`, smallest | {run / peer:.2f} | <= 0.33 |")


def _both(one: Sequence[str], other: Sequence[str], folder: Path, rounds: int) -> tuple[float, float]:
    """Take turns, so that whatever else the machine does falls on both; return both medians, seconds."""
    times: tuple[list[float], list[float]] = ([], [])
    environment = {**os.environ, "AFTERSHOCK_HOME": str(folder / "home")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program is compiled
    for turn in range(rounds + 1):
        for command, took in zip((one, other), times, strict=True):
            begun = time.perf_counter()
            subprocess.run(command, cwd=folder, env=environment, capture_output=True)
            if turn:  # the first of each fills the caches
                took.append(time.perf_counter() - begun)
    return statistics.median(times[0]), statistics.median(times[1])


def _chaos() -> str:
    """Return the path of Chaos Toolkit's command."""
    place = home.cache() / "bench-chaostoolkit"
    command = place / "bin" / "chaos"
    if not command.exists():
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        subprocess.run([place / "bin" / "pip", "install", "-q", "chaostoolkit"], check=True)
    return str(command)


if __name__ == "__main__":
    main()
