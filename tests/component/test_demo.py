"""The first thing that anybody runs, as `make demo` runs it: the documented row, a report, and nothing left running."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aftershock.cli.demo import ROW, STACK
from aftershock.stacks import processes
from own_home import own_home

ROOT = Path(__file__).parent.parent.parent


def test_the_demo_ends_on_its_documented_row() -> None:
    with own_home() as home:
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "operator")}
        command = [sys.executable, "-m", "aftershock", "demo"]
        done = subprocess.run(command, cwd=home.parent, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        (run,) = (home / "runs").iterdir()
        report = json.loads((run / "report.json").read_text(encoding="utf-8"))
        assert {judgement["era"]: judgement["verdict"] for judgement in report["judgements"]} == ROW
        for name in ("report.html", "report.md", "report.xml", "journal.jsonl"):
            assert (run / name).stat().st_size > 1000
        assert processes.of(home / "stacks" / STACK) == []


@pytest.mark.parametrize("era", ROW)
def test_the_readme_shows_the_row_that_the_demo_holds_itself_to(era: str) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (line,) = [line for line in readme.splitlines() if line.startswith(f"| {era} |")]
    assert line.endswith(f"| {ROW[era]} |")
