"""The operator's work: brings what there is in line with what Experiments and Runs ask for. It holds no fault and runs nothing.

Whatever the watch shows marks something to be looked at; each look reads the levels and acts, and may be repeated at any
time, by another operator too. Runs of one Stack are looked at one after the other, so that the oldest gets its turn first.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from aftershock.adapters.kubernetes import EXPERIMENTS, RUNS, Api, Tree
from aftershock.adapters.threads import within
from aftershock.errors import AftershockError
from aftershock.runtime.cluster.experiments import Experiments
from aftershock.runtime.cluster.launchers import Launcher
from aftershock.runtime.cluster.runs import Runs
from aftershock.runtime.cluster.world import World, absent, key
from aftershock.runtime.telling import Teller

Say = Callable[[str], object]
What = tuple[Literal["experiment", "stack"], str, str]
"""What is to be looked at: an Experiment, or the Runs of a Stack; namespace and name."""

WIDTH = 8
"""Looks that go on at once."""

DEADLINE = 60.0
"""Seconds that one look may take: a dozen calls, each with a deadline of its own."""

AGAIN = 2.0
"""Seconds before a look that failed, or found something to wait for, is repeated."""

RESYNC = 20.0
"""Seconds between two comparisons of what the watch has shown with what the API lists."""

LATE = 2
"""Comparisons in a row that find the watch behind what was listed a comparison ago: then it delivers no more."""


@dataclass
class Operator:
    """The looks that are due, and who does them. `namespaces`: where; None alone is everywhere."""

    api: Api
    launcher: Callable[["Operator"], Launcher]
    namespaces: Sequence[str | None]
    say: Say
    most: int = 20
    run_seen: Callable[[Tree], object] = lambda run: None
    run_gone: Callable[[Tree], object] = lambda run: None
    world: World = field(default_factory=World)

    def __post_init__(self) -> None:
        """Set up what looks."""
        self._launcher = self.launcher(self)
        self._teller = Teller(self.say)
        self._runs = Runs(self.api, self.world, self._launcher, self.most, self.say)
        self._experiments = Experiments(self.api, self.world, self.say)
        self._due: dict[What, None] = {}
        self._busy: set[What] = set()
        self._later: dict[What, float] = {}
        self._bell = asyncio.Event()
        self._resynced = 0.0
        self._lagging = 0
        self._shown: dict[str, int] = {}  # by uid: the version that the watch has shown
        self._expected: dict[
            str, int
        ] = {}  # by uid: the version that was listed last, which the watch has to show by now
        self._loop = asyncio.get_running_loop()

    # What the watch shows

    def experiment_seen(self, tree: Tree, *, gone: bool = False) -> None:
        """Take in an Experiment."""
        self._shown.pop(tree["metadata"]["uid"], None) if gone else self._was_shown(tree)
        self._take_experiment(tree, gone=gone)

    def _take_experiment(self, tree: Tree, *, gone: bool = False) -> None:
        if self.world.saw_experiment(tree, gone=gone):
            self.mark("experiment", *key(tree))

    def run_shown(self, tree: Tree, *, gone: bool = False) -> None:
        """Take in a Run."""
        self._shown.pop(tree["metadata"]["uid"], None) if gone else self._was_shown(tree)
        self._take_run(tree, gone=gone)

    def _take_run(self, tree: Tree, *, gone: bool = False) -> None:
        (self.run_gone if gone else self.run_seen)(tree)
        new = self.world.run(key(tree)) is None
        if self.world.saw_run(tree, gone=gone):
            namespace, _ = key(tree)
            self.mark("stack", namespace, tree["spec"]["stack"])
            if new or gone or (tree.get("status") or {}).get("phase") in {None, "Finished"}:
                self.mark(
                    "experiment", namespace, tree["spec"]["experiment"]
                )  # it may be gone, and nobody has seen it go

    def _was_shown(self, tree: Tree) -> None:
        self._shown[tree["metadata"]["uid"]] = int(tree["metadata"]["resourceVersion"])

    def stack_seen(self, tree: Tree) -> None:
        """A Stack is there, or has changed: Runs may have waited for it."""
        self.mark("stack", *key(tree))

    def era_seen(self) -> None:
        """An Era is there, or has changed."""
        for run in self.world.runs():
            if not (run.get("status") or {}).get("executor"):
                self.mark("stack", key(run)[0], run["spec"]["stack"])

    def executor_ended(self, namespace: str, name: str) -> None:
        """An executor ended (told from another thread): there is room for another, or its Run waits again."""
        run = self.world.run((namespace, name))
        stacks = {(namespace, run["spec"]["stack"])} if run is not None else set()
        waiting = {(key(each)[0], each["spec"]["stack"]) for each in self._runs.waiting()}
        for at in stacks | waiting:
            self._loop.call_soon_threadsafe(self.mark, "stack", *at)

    def mark(self, kind: Literal["experiment", "stack"], namespace: str, name: str) -> None:
        """Have something looked at."""
        self._due[kind, namespace, name] = None
        self._bell.set()

    # The work

    async def work(self) -> None:
        """Look at what is due, for ever. Ends by being cancelled."""
        room = asyncio.Semaphore(WIDTH)
        going: set[asyncio.Task[None]] = set()
        ticking = asyncio.create_task(self._tick())
        try:
            while True:
                await self._bell.wait()
                self._bell.clear()
                for what in [what for what in self._due if what not in self._busy]:
                    del self._due[what]
                    self._busy.add(what)
                    await room.acquire()
                    task = asyncio.create_task(self._look(what, room))
                    going.add(task)
                    task.add_done_callback(going.discard)
        finally:
            ticking.cancel()
            self._launcher.close()

    async def _look(self, what: What, room: asyncio.Semaphore) -> None:
        kind, namespace, name = what
        look = self._runs.look if kind == "stack" else self._experiments.look
        try:
            if await within(DEADLINE, look, namespace, name):
                self._later[what] = self._loop.time() + AGAIN
        except AftershockError as error:
            self._teller.amiss(f"{kind} {namespace}/{name}: {error.problem}; {error.advice}")
            self._later[what] = self._loop.time() + AGAIN
        except Exception as error:  # noqa: BLE001 - one object that can't be dealt with must not stop the others
            self.say(f"{kind} {namespace}/{name}: a bug in aftershock: {type(error).__name__}: {error}")
            self._later[what] = self._loop.time() + 10 * AGAIN
        finally:
            self._busy.discard(what)
            room.release()
            if what in self._due:
                self._bell.set()

    async def _tick(self) -> None:
        """What no event tells of: time that has passed."""
        while True:
            now = self._loop.time()
            for what in [what for what, when in self._later.items() if when <= now]:
                del self._later[what]
                self.mark(*what)
            for namespace, name in self._experiments.scheduled():
                self.mark("experiment", namespace, name)
            if now - self._resynced > RESYNC:
                self._resynced = now
                await self._resync()
            await asyncio.sleep(1.0)

    async def _resync(self) -> None:
        """Compare what the watch has shown with what there is: a watch that delivers no more is seen, and made up for."""
        known_experiments, known_runs = self.world.experiments(), self.world.runs()
        try:
            experiments = await self._listed(EXPERIMENTS)
            runs = await self._listed(RUNS)
        except AftershockError as error:
            self._teller.amiss(f"{error.problem}: {error.advice}")
            return
        late = [uid for uid, version in self._expected.items() if self._shown.get(uid, 0) < version]
        self._lagging = self._lagging + 1 if late else 0
        everything = (*experiments, *runs)
        self._expected = {each["metadata"]["uid"]: int(each["metadata"]["resourceVersion"]) for each in everything}
        for each in experiments:
            self._take_experiment(each)
        for each in runs:
            self._take_run(each)
        for each in absent(known_experiments, experiments):
            self._take_experiment(each, gone=True)
        for each in absent(known_runs, runs):
            self._take_run(each, gone=True)

    async def _listed(self, resource: object) -> list[Tree]:
        found: list[Tree] = []
        for namespace in self.namespaces:
            found += await within(DEADLINE, self.api.list, resource, namespace)  # type: ignore[arg-type]
        return found

    def amiss(self) -> str:
        """Say what is wrong with this process; nothing where nothing is. That the API is away is no reason to restart."""
        if self._loop.time() - self._resynced > 6 * RESYNC + DEADLINE and self._resynced:
            return "no look at the API's lists for two minutes"
        return "the watch delivers nothing any more" if self._lagging >= LATE else ""
