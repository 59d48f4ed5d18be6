"""`halt` comes back only when the executors it ended are gone: until then nobody could end their runs for them."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aftershock.model.metadata import Metadata
from aftershock.model.run import Run, RunSpec, RunStatus
from aftershock.runtime import reaping
from aftershock.runtime.folders import RunFolder

# It ignores SIGTERM, as a stopped process does. Its child shares the lock and outlives it for a moment, as the kernel may
# take a moment over a killed process.
UNWILLING = """
import fcntl, os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
if os.fork():
    print("held", flush=True)
    signal.pause()
parent = os.getppid()
while os.getppid() == parent:
    time.sleep(0.01)
time.sleep(0.5)
"""


@pytest.fixture
def unwilling(tmp_path: Path) -> Iterator[RunFolder]:
    folder = RunFolder(tmp_path / "planted-k3f9a2x1")
    folder.path.mkdir()
    process = subprocess.Popen([sys.executable, "-c", UNWILLING, folder.path / "lock"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    metadata, spec = Metadata(name=folder.name), RunSpec(experiment="planted", stack="planted")
    status = RunStatus(phase="Active", executor=str(process.pid))
    folder.write(Run(api_version="aftershock.dev/v1alpha1", metadata=metadata, spec=spec, status=status))
    yield folder
    process.kill()
    process.wait()
    process.stdout.close()


def test_halt_awaits_the_end_of_what_it_kills(unwilling: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(reaping, "PATIENCE", 2.0)
    code = reaping._await([unwilling], said.append)
    assert not unwilling.alive()
    assert (code, said) == (0, [f"{unwilling.name}: did not end, and was killed"])


def test_halt_says_so_where_even_force_does_not_end_a_run(
    unwilling: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(reaping, "PATIENCE", 0.2)
    assert reaping._await([unwilling], said.append) == reaping.STUCK
    assert "STUCK" in said[0]
