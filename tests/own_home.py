"""For tests: a home of their own for local stacks, where an unprivileged account can pass; everything in it ends at the end."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aftershock.adapters import home
from aftershock.stacks import local, processes

OPERATOR = Path(__file__).parent.parent / "operator"


@contextmanager
def own_home() -> Iterator[Path]:
    """Point AFTERSHOCK_HOME at a new folder; what was slow to build stays where it is."""
    before = {name: os.environ.get(name) for name in ("AFTERSHOCK_HOME", "AFTERSHOCK_CACHE")}
    folder = Path(tempfile.mkdtemp(prefix="as."))
    folder.chmod(0o755)
    os.environ["AFTERSHOCK_CACHE"] = str(home.cache())
    os.environ["AFTERSHOCK_HOME"] = str(folder / "home")
    try:
        yield folder / "home"
    finally:
        try:
            for name in local.listing():
                local.down(name)
            left = [each for each in processes.marked() if each.folder.startswith(str(folder))]
            for each in {each.folder for each in left}:
                processes.end(Path(each), "unix:///nonexistent")
            assert left == []
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name)
                else:
                    os.environ[name] = value
            shutil.rmtree(folder)


def command(code: str, python: str = sys.executable) -> list[str]:
    """Return the command line of a process of its own that runs `code` with `local` imported."""
    return [
        python,
        "-c",
        f"import sys; sys.path.insert(0, {str(OPERATOR)!r})\nfrom aftershock.stacks import local\n{code}",
    ]


def start(code: str) -> subprocess.Popen[str]:
    """Start such a process, as a user's shell would: a session of its own."""
    return subprocess.Popen(
        command(code), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
