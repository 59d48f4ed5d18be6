"""The Python door: the same model, executor and judge that the command line uses. Re-exported by `aftershock`."""

from collections.abc import Sequence
from pathlib import Path

from aftershock.adapters import store
from aftershock.core.history import History
from aftershock.core.judge import judge_all
from aftershock.core.plan import Plan
from aftershock.core.verdict import Judgement
from aftershock.model.problem import Problem
from aftershock.runtime import folders, launch, loading
from aftershock.runtime.recorder import Watcher


def validate(*paths: str | Path) -> Sequence[Problem]:
    """Return every problem of the files and folders; empty where all is good."""
    return loading.validate([Path(path) for path in paths]).problems


def plan(experiment: str | Path, *, stack: str | None = None, eras: Sequence[str] = ()) -> Plan:
    """Work out what a run would do, without touching anything. InputError with every problem where it can't be run."""
    return loading.request(str(experiment), stack=stack, eras=eras).plan


def run(
    experiment: str | Path,
    *,
    stack: str | None = None,
    eras: Sequence[str] = (),
    runs: Path | None = None,
    watchers: Sequence[Watcher] = (),
) -> launch.Outcome:
    """Carry out an experiment in this process and judge it. `watchers` are called with each event of the journal.

    `stack` and `eras` are names or files and override those of the experiment; `runs` is where the run's folder goes.
    Must be called from the main thread (SIGINT and SIGTERM heal), outside a running event loop.
    """
    return launch.launch(loading.request(str(experiment), stack=stack, eras=eras, runs=runs), watchers)


def read(journal: str | Path) -> History:
    """Read a run's journal: a path, a run's name, or `last`."""
    return store.read(folders.find(str(journal)))


def judge(history: History, eras: Sequence[str] = ()) -> Sequence[Judgement]:
    """Hold a journal against eras (names or files, `all` for every one that comes along; default: the run's own)."""
    return judge_all(history, loading.eras_for(history, eras))
