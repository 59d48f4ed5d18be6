"""The real kubectl, as a user would use it: shown with what it prints. Only for the demo, which shows how it is done."""

import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import click
import msgspec

from aftershock.adapters.kubernetes import RUNS, Api
from aftershock.errors import StackError
from aftershock.runtime.cluster import objects

PATIENCE = 60.0
"""Seconds until what was told is known."""
LONGEST = 600.0
"""Seconds that the run may take; it takes one minute."""
PAUSE = 0.5


class Kubectl(msgspec.Struct, frozen=True):
    """Where it is, and which cluster and namespace it speaks to."""

    program: Path
    kubeconfig: str
    namespace: str
    cache: str = ""
    """Where it keeps what it learned of the cluster; empty: in the user's home, as always."""

    def __call__(self, *arguments: str, feed: str = "") -> str:
        """Run it quietly; return what it prints. StackError with what it complains of."""
        done = self.run(*arguments, feed=feed)
        if done.returncode != 0:
            raise StackError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}", "see the cluster's own logs")
        return done.stdout

    def succeeds(self, *arguments: str) -> bool:
        """Run it quietly; tell whether it succeeds."""
        return self.run(*arguments).returncode == 0

    def await_(self, *arguments: str) -> None:
        """Run it until it succeeds: the API server learns of a new kind a moment after it was told."""
        end = time.monotonic() + PATIENCE
        while not self.succeeds(*arguments) and time.monotonic() < end:
            time.sleep(0.1)
        self(*arguments)

    def show(self, *arguments: str) -> None:
        """Run it and show the command line and what it prints."""
        self._shown(*arguments)
        click.echo(self(*arguments), nl=False)

    def follow_run(self, experiment: str, check: Callable[[], None]) -> dict[str, Any]:
        """Show `kubectl get runs --watch` until the experiment's run has a verdict; return the Run.

        `check` raises where nothing can be expected any more. StackError where no verdict comes.
        """
        self._shown("get", "runs", "--watch")
        end = time.monotonic() + LONGEST
        with _Watch(self._line("get", "runs", "--watch"), self._environment) as watch:
            while time.monotonic() < end:
                line = watch.next(PAUSE)
                check()
                if line is not None:
                    click.echo(line, nl=False)
                    if (run := self._finished(experiment)) and run["status"].get("verdict") in line.split():
                        return run
        raise StackError(f"no verdict within {LONGEST:.0f} s: {self._because(experiment)}", "see the operator's log")

    def _finished(self, experiment: str) -> dict[str, Any] | None:
        return next((run for run in self._runs(experiment) if run.get("status", {}).get("phase") == "Finished"), None)

    def _because(self, experiment: str) -> str:
        """Say what the run waits for."""
        conditions = [each for run in self._runs(experiment) for each in run.get("status", {}).get("conditions", [])]
        return "; ".join(str(each.get("message")) for each in conditions) or "there is no Run"

    def _runs(self, experiment: str) -> list[dict[str, Any]]:
        api = Api.connect(Path(self.kubeconfig.split(os.pathsep)[0]))
        return api.list(RUNS, self.namespace, labels=f"{objects.EXPERIMENT}={experiment}")

    def run(self, *arguments: str, feed: str = "") -> "subprocess.CompletedProcess[str]":
        """Run it quietly, whatever comes of it."""
        return subprocess.run(
            self._line(*arguments), input=feed, capture_output=True, text=True, check=False, env=self._environment
        )

    @property
    def _environment(self) -> dict[str, str]:
        cache = {"KUBECACHEDIR": self.cache} if self.cache else {}
        return {**os.environ, "KUBECONFIG": self.kubeconfig, **cache}

    def _line(self, *arguments: str) -> list[str]:
        return [str(self.program), "--namespace", self.namespace, *arguments]

    def _shown(self, *arguments: str) -> None:
        where = [] if self.namespace == "default" else ["--namespace", self.namespace]
        click.echo(f"\n$ kubectl {' '.join([*where, *arguments])}")


class _Watch:
    """A kubectl that goes on printing. One that ends is started again: its server may end a watch at any time."""

    def __init__(self, line: list[str], environment: dict[str, str]) -> None:
        self._line, self._environment = line, environment
        self._lines: queue.Queue[str | None] = queue.Queue()

    def __enter__(self) -> "_Watch":
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._reader.join()
        self._process.wait()

    def next(self, patience: float) -> str | None:
        """Return the next line; None if there is none within so many seconds."""
        try:
            line = self._lines.get(timeout=patience)
        except queue.Empty:
            return None
        if line is None:
            self._process.wait()
            time.sleep(patience)
            self._start()
        return line

    def _start(self) -> None:
        self._process = subprocess.Popen(
            self._line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True,
            env=self._environment,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self._lines.put(line)
        self._lines.put(None)
