"""The process that executors are forked from: everything is imported here once, so that a start takes milliseconds.

It reads a line a Run (`{"namespace": …, "name": …}`) and writes the same line when that Run's executor has ended. It ends with
its standard input; its children are in sessions of their own, and go on.
"""

import gc
import json
import os
import select
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module

from aftershock.adapters.kubernetes import Api
from aftershock.errors import AftershockError
from aftershock.faults.registry import FAULTS
from aftershock.model.era import Era
from aftershock.model.experiment import Experiment
from aftershock.model.stack import Stack
from aftershock.runtime.cluster import objects
from aftershock.runtime.cluster.execute import execute

NEEDED = (
    "aftershock.adapters.door",
    "aftershock.adapters.toxiproxy_python",
    "aftershock.probes.process",
    "pykube",
    *(f"aftershock.runtime.{kind}_place" for kind in ("toxiproxy", "database", "kubernetes", "folder")),
)
"""What a run imports only if it needs it."""

Children = dict[int, Mapping[str, str]]


def say(line: str) -> None:
    """Write to standard error; that nobody hears it keeps no run from going on."""
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Fork for each line, until there are no more."""
    _import()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the operator's to hear
    bell, clapper = os.pipe()
    os.set_blocking(clapper, False)
    signal.set_wakeup_fd(clapper, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: Children = {}
    rest = b""
    while True:
        ready, _, _ = select.select([0, bell], [], [])
        if bell in ready:
            os.read(bell, 4096)
            _bury(children)
        if 0 in ready:
            read = os.read(0, 65536)
            if not read:
                return
            *lines, rest = (rest + read).split(b"\n")
            for line in lines:
                _fork(line, children)


def _import() -> None:
    """Import what else a run may use, for those who are forked."""
    for module in NEEDED:
        import_module(module)
    for _ in FAULTS.values():  # looking is importing
        continue
    _rehearse()
    gc.collect()
    gc.freeze()  # what is here stays, and a child's collector neither visits nor copies it


def _rehearse() -> None:
    """Read a document of each kind: what is found out about types once a process is found out here, for all."""
    for kind in (Era, Stack, Experiment):
        with suppress(AftershockError):
            objects.document({"metadata": {"name": "rehearsal"}, "spec": {}}, kind)


def _fork(line: bytes, children: Children) -> None:
    asked = json.loads(line)
    child = os.fork()
    if child:
        children[child] = asked
        return
    try:
        _grown_up()
        os._exit(_execute(asked["namespace"], asked["name"]))
    finally:
        os._exit(70)


def _grown_up() -> None:
    """Be a process of one's own: no terminal, no pipes of the nursery's, signals as they come."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.closerange(3, 64)


def _execute(namespace: str, name: str) -> int:
    try:
        return execute(Api.connect(), namespace, name, say)
    except AftershockError as error:
        say(f"Run {namespace}/{name}: {error.problem}\n  try: {error.advice}")
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the reaper ends what is left of it; nobody wants a traceback
        say(f"Run {namespace}/{name}: a bug in aftershock: {type(error).__name__}: {error}")
        return 70


def _bury(children: Children) -> None:
    while True:
        try:
            child, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not child:
            return
        if (asked := children.pop(child, None)) is not None:
            with suppress(OSError):
                os.write(1, (json.dumps(asked) + "\n").encode())


if __name__ == "__main__":
    main()
