"""Processes that end with us, however we end: each marked with a folder, and with a log there. Knows not what they are."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from aftershock.errors import StackError
from aftershock.stacks import processes

_ALONE = "unix:///nonexistent"
"""No supervisord keeps these processes."""
_TIE = """
import ctypes, os, signal, sys
parent = int(sys.argv[1])
if ctypes.CDLL(None).prctl(1, signal.SIGKILL) != 0 or os.getppid() != parent:
    sys.exit("can't be tied to its parent")
os.execv(sys.argv[2], sys.argv[2:])
"""
"""PR_SET_PDEATHSIG is 1 (prctl(2)). It fires when the thread that started us ends: start processes from one that lasts."""


class Tied:
    """Processes by name. What they start themselves bears the mark too, and ends with `end_all`."""

    def __init__(self, folder: Path, *, tied: bool = True) -> None:
        self._folder, self._tied = folder, tied
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(
        self, name: str, line: list[str], environment: Mapping[str, str] | None = None, *, output: int | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a program; what it says goes to its log, or to `output` as subprocess has it."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        tie = [sys.executable, "-I", "-S", "-c", _TIE, str(os.getpid())] if self._tied else []
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                [*tie, *line], stdin=subprocess.DEVNULL, stdout=log if output is None else output, stderr=log, cwd="/",
                start_new_session=True, env={**(environment or {}), processes.MARK: str(self._folder)},
            )  # fmt: skip
        self._running[name] = process
        return process

    def send(self, name: str, number: signal.Signals) -> None:
        """Signal one."""
        self._running[name].send_signal(number)

    def end(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        """End one, and wait until it is gone; nothing if it isn't there."""
        process = self._running.pop(name, None)
        if process is not None:
            process.send_signal(how)
            process.send_signal(signal.SIGCONT)  # a frozen one hears nothing but SIGKILL
            process.wait()
            if process.stdout:
                process.stdout.close()

    def end_all(self, patience: float = 0.0) -> None:
        """End them all and what they started: gently for so many seconds, then at once."""
        if patience:
            processes.end(self._folder, _ALONE, patience)
        for name in list(self._running):
            self.end(name)
        processes.end(self._folder, _ALONE)

    def check(self) -> None:
        """Raise StackError, with what it said last, if one has ended by itself."""
        for name, process in self._running.items():
            if process.poll() is not None:
                raise StackError(f"{name} ended: {self._said(name)}", f"read {self.log(name)}")

    def log(self, name: str) -> Path:
        """Return where a program's words are."""
        return self._folder / f"{name}.log"

    def _said(self, name: str) -> str:
        lines = self.log(name).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return " | ".join(lines[-3:])
