"""Whole runs, as a user types them: `aftershock run FILE --stack FILE --json` in a process of its own, and what came of it.

A test follows the events that the command prints, so that it acts at a known moment of the run and never by the clock.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from aftershock.adapters import home, store
from aftershock.core.history import Any_, Event, History, decode
from aftershock.core.verdict import Claim, Condition, Judgement
from aftershock.model.run import Run
from aftershock.reports.json_report import Report
from planted import Asked, Server, response, serving

ROOT = Path(__file__).parent.parent
API = "aftershock.dev/v1alpha1"
PATIENCE = 60.0
"""Seconds to wait for an event of another process: long, since it only ends a test that has failed already."""

PROXY = "in"
E = TypeVar("E", bound=Event)
Tree = dict[str, Any]


def command(*words: str | Path) -> list[str]:
    """Return the command line of `aftershock`, as this interpreter runs it."""
    return [sys.executable, "-m", "aftershock", *map(str, words)]


def environment(home_: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return a user's environment with a state folder of its own; what was slow to build stays where it is."""
    ours = {
        "AFTERSHOCK_HOME": str(home_),
        "AFTERSHOCK_CACHE": str(home.cache()),
        "PYTHONPATH": str(ROOT / "operator"),
    }
    users = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}  # a pipe is buffered
    return {**users, **ours, **(extra or {})}


@dataclass(frozen=True)
class Ended:
    """What a command left behind: exit code and both outputs."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err


@dataclass
class Going:
    """A run under way. `events` grows as the run tells them; slices are in its journal alone."""

    process: subprocess.Popen[bytes]
    home: Path
    errors: Any
    events: list[Any_] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    told: threading.Condition = field(default_factory=threading.Condition)
    over: bool = False
    reader: threading.Thread | None = None

    def read(self) -> None:
        """Take in what the command prints, until it ends."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self.told:
                self.lines.append(line.decode())
                if (event := decode(line)) is not None:
                    self.events.append(event)
                self.told.notify_all()
        with self.told:
            self.over = True
            self.told.notify_all()

    def all(self, kind: type[E]) -> list[E]:
        return [event for event in list(self.events) if isinstance(event, kind)]

    def until(self, kind: type[E], which: Callable[[E], object] = lambda _: True, *, count: int = 1) -> E:
        """Wait until so many such events are told; return the last of them. A run that ends before that is a failure."""

        def found() -> list[E]:
            return [event for event in self.all(kind) if which(event)]

        with self.told:
            self.told.wait_for(lambda: len(found()) >= count or self.over, PATIENCE)
            assert len(found()) >= count, f"no {kind.__name__} x {count} in:\n{self.told_so_far()}"
            return found()[count - 1]

    def told_so_far(self) -> str:
        """Return the last of what it printed, for a failure's message."""
        return "\n".join([*(line[:300] for line in self.lines[-12:]), self.stderr()[-2000:]])

    def stderr(self) -> str:
        """Return what it said on standard error so far, without moving the place where it goes on writing."""
        return os.pread(self.errors.fileno(), 1 << 20, 0).decode()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def worker(self, counted: str) -> int:
        """Return the id of the prober that is counted as `probes` or as `load`; the executor starts them in that order."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        mine = [
            pid for pid in map(int, children.split()) if b"probes.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        return sorted(mine)[["probes", "load"].index(counted)]

    @property
    def name(self) -> str:
        return str(next(event.run for event in self.events if hasattr(event, "run")))

    @property
    def folder(self) -> Path:
        return self.home / "runs" / self.name

    def wait(self) -> "Done":
        """Wait for the end of the command."""
        assert self.reader is not None
        self.reader.join(PATIENCE)
        assert self.over, f"the run does not end:\n{self.told_so_far()}"
        return Done(self.process.wait(PATIENCE), "".join(self.lines), self.stderr(), self)


@dataclass(frozen=True)
class Done:
    """A run that is over."""

    code: int
    out: str
    err: str
    going: Going

    @property
    def said(self) -> str:
        return self.out + self.err

    @property
    def history(self) -> History:
        return store.read(self.going.folder / store.NAME)

    @property
    def record(self) -> Run:
        return msgspec.json.decode((self.going.folder / "run.json").read_bytes(), type=Run)

    @property
    def report(self) -> Report:
        """The last line of what was printed: every line before it is an event."""
        assert self.going.lines, self.err
        return msgspec.json.decode(self.going.lines[-1], type=Report)

    @property
    def judgement(self) -> Judgement:
        (only,) = self.report.judgements
        return only

    @property
    def verdict(self) -> tuple[str, int]:
        """Return the verdict and the exit code; a test that fails shows why."""
        print(self.judgement.because)
        return self.judgement.verdict, self.code

    def condition(self, kind: str) -> Condition:
        print(self.judgement.because)
        return next(one for one in self.judgement.conditions if one.type == kind)

    def claim(self, kind: str, name: str | None = None) -> Claim:
        return next(one for one in self.judgement.claims if one.kind == kind and name in {None, one.name})


def type_in(home_: Path, *words: str | Path, **extra: str) -> Ended:
    """Type a command, and wait for it. `extra` goes into its environment."""
    done = subprocess.run(
        command(*words), env=environment(home_, extra), capture_output=True, text=True, timeout=2 * PATIENCE
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def document(folder: Path, kind: str, name: str, spec: Tree) -> Path:
    """Write one document; JSON is YAML."""
    path = folder / f"{kind.lower()}-{name}.yaml"
    path.write_text(json.dumps({"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}, indent=1))
    return path


@dataclass(frozen=True)
class Ground:
    """A service whose truth is known, a Toxiproxy before it, and a state folder: all that a run needs."""

    folder: Path
    service: Server
    toxiproxy: str
    entry: str

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def write(self, kind: str, name: str, spec: Tree) -> Path:
        """Write one document."""
        path = self.folder / f"{kind.lower()}-{name}.yaml"
        path.write_text(
            json.dumps({"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}, indent=1)
        )
        return path

    def era(self, name: str = "planted", target: str = "95%", share: str = "10%", **more: Any) -> Path:
        """Write an era with one objective on `meeting-success`, or with `objectives`; without an RPO."""
        stated = {"kind": "stated"}
        uptime = {"name": "uptime", "indicator": "meeting-success", "target": target, "source": stated}
        return self.write("Era", name, {"window": "30d", "incidentShare": share, "objectives": [uptime], **more})

    def indicator(self, name: str = "meeting-success", path: str = "/meet", every: str = "20ms", **more: Any) -> Tree:
        """An HTTP indicator that goes straight to the service."""
        return {"name": name, "every": every, "timeout": "1s", "http": {"url": f"{self.service.url}{path}"}, **more}

    def stack(self, name: str = "planted", **more: Any) -> Path:
        """A stack with one link, `in`, through the Toxiproxy to the service."""
        spec = {
            "era": "1k",
            "environment": "test",
            "toxiproxies": [{"name": "main", "url": self.toxiproxy}],
            "links": [{"name": PROXY, "toxiproxy": "main", "proxy": PROXY}],
            "indicators": [self.indicator()],
            **more,
        }
        return self.write("Stack", name, spec)

    def experiment(
        self, timeline: Sequence[Tree] = (), name: str = "planted", *, baseline: str = "1s", steady: str = "1s",
        watch: str = "20s", **more: Any,
    ) -> Path:  # fmt: skip
        spec = {
            "stack": "planted",
            "baseline": {"for": baseline},
            "timeline": list(timeline),
            "recovery": {"watch": watch, "steady": steady},
            **more,
        }
        return self.write("Experiment", name, spec)

    @contextlib.contextmanager
    def run(
        self, experiment: Path, stack: Path | None = None, *, era: Path | None = None, **how: Any
    ) -> Iterator[Going]:
        """Start a run; end it with the block, if it has not ended by itself."""
        eras = ["--era", str(era or self.era())]
        words = ["run", experiment, "--stack", stack or self.stack(), "--json", *(eras if era != Path() else [])]
        with going(words, self.home, **how) as one:
            yield one

    def type(self, *words: str | Path, **extra: str) -> Ended:
        """Type another command, and wait for it."""
        return type_in(self.home, *words, **extra)

    @contextlib.contextmanager
    def reaper(self, stack: Path) -> Iterator[subprocess.Popen[str]]:
        """A reaper of its own, as it is started with a stack."""
        process = subprocess.Popen(
            command("reap", "--watch", "--stack", stack), env=environment(self.home),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def toxics(self) -> list[str]:
        """Ask the Toxiproxy itself for what is on all its proxies."""
        return [toxic["name"] for proxy in proxies(self.toxiproxy).values() for toxic in proxy["toxics"]]


@contextlib.contextmanager
def going(words: Sequence[str | Path], home_: Path, *, extra: Mapping[str, str] | None = None) -> Iterator[Going]:
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command(*words), env=environment(home_, extra), stdout=subprocess.PIPE, stderr=errors,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        one = Going(process, home_, errors)
        one.reader = threading.Thread(target=one.read, daemon=True)
        one.reader.start()
        try:
            yield one
        finally:
            process.kill()
            process.wait()
            one.reader.join(PATIENCE)
            assert process.stdout is not None
            process.stdout.close()


def latency(hold: str = "3s", latency: str = "100ms", **more: Any) -> Tree:
    """A timeline's entry: the link `in` is slow."""
    return {"at": "0s", "for": hold, "fault": "latency", "target": PROXY, "with": {"latency": latency}, **more}


# The Toxiproxy's own interface, spoken without the product


def ask(url: str, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes, str]:
    """Return status, body and the server's `Date`."""
    host, port = url.removeprefix("http://").split(":")
    line = HTTPConnection(host, int(port), timeout=PATIENCE)
    try:
        line.request(method, path, body)
        answer = line.getresponse()
        return answer.status, answer.read(), answer.headers["Date"] or ""
    finally:
        line.close()


def proxies(url: str) -> Tree:
    return dict(json.loads(ask(url, "GET", "/proxies")[1]))


@contextlib.contextmanager
def admin(toxiproxy: str, meddle: Callable[[str, str, str], None]) -> Iterator[Server]:
    """Stand before a Toxiproxy's interface: pass everything on, and call `meddle(method, path, name)` in between.

    It is called with the answer there but not yet passed on; `name` is that of the toxic that was added, if one was.
    """

    def answer(asked: Asked) -> bytes:
        method, path = asked.head.split(b" ", 2)[:2]
        status, body, date = ask(toxiproxy, method.decode(), path.decode(), asked.body or None)
        added = re.search(rb'"name":\s*"([^"]+)"', asked.body) if method == b"POST" else None
        meddle(method.decode(), path.decode(), added[1].decode() if added else "")
        return response(status, body, f"Date: {date}\r\nContent-Type: application/json\r\n".encode())

    with serving(answer) as server:
        yield server


# Services with a planted truth


def good(_: Asked) -> bytes:
    return response()


@dataclass
class Outage:
    """Requests that come from `start` to `end` (CLOCK_MONOTONIC) are answered by `failing`; before and after, well."""

    failing: bytes | None
    start: float = float("inf")
    end: float = float("inf")

    def plant(self, delay: float, length: float) -> None:
        self.start = time.monotonic() + delay
        self.end = self.start + length

    def __call__(self, _: Asked) -> bytes | None:
        return self.failing if self.start <= time.monotonic() < self.end else response()


def until(done: Callable[[], object], patience: float = PATIENCE) -> None:
    """Wait for an event of another process that tells nobody."""
    end = time.monotonic() + patience
    while not done():
        assert time.monotonic() < end, f"still not so after {patience} s"
        time.sleep(0.02)
