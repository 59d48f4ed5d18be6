"""The stores of a local stack, before any is kept: made where they are missing, each whole or not at all.

Who writes into a store has a database's servers run commands. So it is closed to all but who knows its password before anybody
can reach it: until then it answers on a socket in a folder of our own.
"""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from aftershock.adapters import etcd
from aftershock.errors import StackError, TargetError
from aftershock.stacks import patroni, processes
from aftershock.stacks.layout import STORES_OWN, Layout
from aftershock.stacks.parts import Values
from aftershock.stacks.place import Place

Progress = Callable[[str], None]
DEADLINE = 30.0
"""Seconds that etcd may take to answer, or to end, on a slow machine."""
_PAUSE = 0.05
_CLIENTS = "clients:0"
"""A socket's file: etcd wants it to look like a host and a port."""


def make(wanted: Values, ground: Place, layout: Layout, installed: Mapping[str, str], progress: Progress) -> None:
    """Make the stores that are not there yet. Nothing of the stack may run. StackError where one can't be made."""
    for store in wanted.stores:
        kept = ground.make_store(store.name)
        if kept.exists():
            continue
        progress(f"making the store {store.name}")
        room = Path(tempfile.mkdtemp(prefix="new.", dir=kept.parent))
        line = patroni.store(store.name, installed[store.program], str(room / kept.name), f"unix://{_CLIENTS}")
        log = ground.logs / f"{store.name}.log"
        with _running(line, room, log, ground) as server:
            _close(server, room / _CLIENTS, layout.passwords[f"{store.name}/{STORES_OWN}"], log)
        (room / kept.name).rename(kept)
        shutil.rmtree(room)


@contextmanager
def _running(line: list[str], room: Path, log: Path, ground: Place) -> Iterator[subprocess.Popen[bytes]]:
    """Run a store for a while. It bears the stack's mark: should we be killed, the next command ends it."""
    with log.open("ab") as said:
        server = subprocess.Popen(
            line, cwd=room, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env={processes.MARK: str(ground.folder)}
        )
    try:
        yield server
        server.terminate()
        server.wait(DEADLINE)
    except subprocess.TimeoutExpired:
        raise StackError(f"the store in {room} would not end", f"read {log}, and try again") from None
    finally:
        server.kill()
        server.wait()


def _close(server: subprocess.Popen[bytes], socket: Path, password: str, log: Path) -> None:
    end = time.monotonic() + DEADLINE
    while server.poll() is None and not socket.exists() and time.monotonic() < end:
        time.sleep(_PAUSE)
    try:
        etcd.close(socket, password)
    except TargetError as error:
        raise StackError(f"a store can't be closed to others: {error.problem}", f"read {log}, and try again") from None
