"""What carries a Run out: a child process of this machine, or a Job. Started, and asked whether it is still there.

Starting twice is harmless: an executor claims its Run, and a second one finds it claimed. Nothing here decides whether a Run
is to be started.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol

from aftershock.errors import TargetError

Say = Callable[[str], object]
Ended = Callable[[str, str], object]
"""Called with namespace and name of a Run whose executor has ended."""


ENDING = 0.5
"""Seconds that the nursery may take to end: it ends by itself, and nothing waits for it."""


class Launcher(Protocol):
    """One way of carrying Runs out."""

    def start(self, run: Mapping[str, Any]) -> None:
        """See to it that an executor for the Run comes to be. TargetError if that can't be."""

    def under_way(self, run: Mapping[str, Any]) -> bool:
        """Tell whether an executor that was started for the Run is still about."""

    def close(self) -> None:
        """Let go; executors that go on are left alone."""


class ChildLauncher:
    """Executors as processes of this machine, in sessions of their own: they survive whoever launched them.

    They are forked off a process that has everything imported already (`nursery`), so that a start takes milliseconds.
    """

    def __init__(self, ended: Ended, say: Say) -> None:
        self._ended, self._say = ended, say
        self._lock = threading.Lock()
        self._going: set[tuple[str, str]] = set()
        self._nursery: subprocess.Popen[str] | None = None

    def start(self, run: Mapping[str, Any]) -> None:
        """Have one forked, unless one is about."""
        at = _at(run)
        with self._lock:
            if at in self._going:
                return
            self._going.add(at)
            try:
                self._ask({"namespace": at[0], "name": at[1]})
            except OSError as error:
                self._going.discard(at)
                self._nursery = None
                raise TargetError(f"can't start an executor: {error}", "see the operator's log") from None

    def under_way(self, run: Mapping[str, Any]) -> bool:
        """Tell whether it was started here and has not ended."""
        return _at(run) in self._going

    def close(self) -> None:
        """End the nursery; its children go on."""
        with self._lock:
            if self._nursery is not None and self._nursery.stdin is not None:
                with suppress(OSError):
                    self._nursery.stdin.close()
                with suppress(subprocess.TimeoutExpired):
                    self._nursery.wait(ENDING)

    def _ask(self, what: Mapping[str, str]) -> None:
        if self._nursery is None or self._nursery.poll() is not None:
            self._nursery = self._opened()
        assert self._nursery.stdin is not None
        self._nursery.stdin.write(json.dumps(what) + "\n")
        self._nursery.stdin.flush()

    def _opened(self) -> "subprocess.Popen[str]":
        words = [sys.executable, "-m", "aftershock.runtime.cluster.nursery"]
        nursery = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True, env={**os.environ}
        )
        threading.Thread(target=self._listen, args=(nursery,), name="nursery", daemon=True).start()
        return nursery

    def _listen(self, nursery: "subprocess.Popen[str]") -> None:
        """Hear of children that end. If the nursery itself ends, nothing is known of those it had: the Runs tell."""
        assert nursery.stdout is not None
        for line in nursery.stdout:
            with suppress(ValueError, KeyError):
                heard = json.loads(line)
                self._over((heard["namespace"], heard["name"]))
        for at in list(self._going):
            self._over(at)

    def _over(self, at: tuple[str, str]) -> None:
        with self._lock:
            self._going.discard(at)
        self._ended(*at)


def _at(run: Mapping[str, Any]) -> tuple[str, str]:
    return str(run["metadata"]["namespace"]), str(run["metadata"]["name"])
