"""What Patroni is lent, nobody has whom it starts. A program that does as Patroni does stands in for it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aftershock.stacks import lending, patroni
from aftershock.stacks.account import Account

PATRONI = """
import json, multiprocessing, os, subprocess, threading

def rights(of="self"):
    lines = open(f"/proc/{of}/status").read().splitlines()
    return [line.split()[1].lstrip("0") for line in lines if line.startswith(("CapEff", "CapAmb"))]

def starts():
    server = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True).stdout.splitlines()
    return [line.split()[1].lstrip("0") for line in server if line.startswith(("CapEff", "CapAmb"))]

def python(told):
    told.send([rights(), starts()])

def main():
    import sys
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(False)
    process = context.Process(target=python, args=(theirs,))
    process.start()
    by_thread = []
    thread = threading.Thread(target=lambda: by_thread.append(starts()))
    thread.start()
    thread.join()
    by_python, server = ours.recv()
    process.join()
    told = {"own": rights(), "command": starts(), "by_thread": by_thread[0], "python": by_python, "server": server}
    print(json.dumps({"read": open(sys.argv[1]).read(), **told}))
"""


@pytest.fixture
def managed(tmp_path: Path) -> Path:
    """A folder as a member's manager has one, which nobody but us can read, and a Patroni beside it."""
    (tmp_path / "patroni").mkdir()
    (tmp_path / "patroni" / "__init__.py").touch()
    (tmp_path / "patroni" / "__main__.py").write_text(PATRONI)
    folder = tmp_path / "managers"
    folder.mkdir(mode=0o700)
    for name, text in patroni.programs().items():
        (folder / name).write_text(text)
    (folder / patroni.CONFIG).write_text("said")
    return folder


def run(folder: Path, *before: str) -> dict[str, object]:
    line = [*before, *patroni.kept(sys.executable, folder)]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder.parent)}
    done = subprocess.run(line, env=environment, capture_output=True, text=True, cwd="/", check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can lend a right")
def test_what_patroni_is_lent_it_keeps_to_itself(managed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patroni, "_runs", lambda line, _: line[0] == "setpriv")
    before, user = patroni.lent(sys.executable, Account("another", 64321, 64321))
    assert user is None
    told = run(managed, *before)
    assert told["read"] == "said", "what another account can't read"
    assert told["own"] == ["4", ""]
    assert told["python"] == ["4", ""], "the one that starts the server has to read this Python too"
    assert told["command"] == told["by_thread"] == told["server"] == ["", ""]


def test_where_nothing_is_lent_it_is_run_all_the_same(managed: Path) -> None:
    told = run(managed)
    assert told["read"] == "said"
    assert told["own"] == told["python"] == told["server"]


def test_it_imports_nothing_of_ours() -> None:
    """Whoever runs it may not be able to read that."""
    assert "aftershock." not in Path(lending.__file__).read_text()
