"""`aftershock demo --operator` without a cluster: a control plane of its own, the operator, and a stack of processes."""

import fcntl
import os
import shutil
import signal
import sys
import webbrowser
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import click

from aftershock.adapters import catalog, home, store
from aftershock.cli import ending
from aftershock.cli.demo_kubectl import Kubectl
from aftershock.core.judge import judge_all
from aftershock.errors import StackError
from aftershock.faults.registry import FAULTS
from aftershock.model.load import load
from aftershock.model.write import dump_yaml
from aftershock.runtime import loading
from aftershock.runtime.cluster import crds, objects
from aftershock.stacks import exported, local, programs
from aftershock.stacks.control_plane import ControlPlane
from aftershock.stacks.tied import Tied

ERA, STACK, EXPERIMENT = "1k", "meetings-1k", "db-connection-exhaustion"
LOCAL = f"{STACK}-operator"
"""The stack's name among those of this machine: one that the user has of the era stays out of this."""
NAMESPACE = "default"
FAREWELL = 10.0
"""Seconds that a run which is interrupted has to heal and to write down its end."""
OPERATOR = ("operator", "--namespace", NAMESPACE, "--launcher", "child")
REAPER = ("reap", "--watch", "--cluster", "--namespace", NAMESPACE)
KINDS = "eras,stacks,experiments,runs"


def command() -> int:
    """Show what `kubectl apply` of an Experiment does, from nothing to the report; return the exit code of the verdict."""
    folder = home.state() / "demo-operator"
    plane, ours = ControlPlane(folder / "plane"), Tied(folder / "aftershock")
    try:
        with _alone(folder), ended(lambda: _end(plane, ours)):
            code = _demo(plane, ours, folder / "home")
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)  # after an error it stays: the logs are in it
    return code


def _demo(plane: ControlPlane, ours: Tied, own: Path) -> int:
    """`own`: the home of the operator and the reaper, whose places are none of this machine's once the demo is over."""
    _start_plane(plane)
    kubectl = Kubectl(plane.kubectl, str(plane.kubeconfig), NAMESPACE, cache=str(plane.folder / "kubectl"))
    stack = local.up(ERA, LOCAL, progress=click.echo)
    _teach(kubectl, stack)
    click.echo("starting the operator and its reaper")
    environment = _environment(plane, own)
    for name, arguments in (("operator", OPERATOR), ("reaper", REAPER)):
        ours.start(name, [sys.executable, "-m", "aftershock", *arguments], environment)
    kubectl.show("apply", "-f", experiment())
    run = kubectl.follow_run(EXPERIMENT, ours.check)
    return _tell(_taken_home(run, own))


def _start_plane(plane: ControlPlane) -> None:
    if absent := programs.missing(programs.CONTROL_PLANE):
        click.echo(f"a control plane has to be built first, once for this machine: {', '.join(absent)}")
    plane.start(click.echo)


def _teach(kubectl: Kubectl, stack: Path) -> None:
    """Tell the cluster of our kinds, the era, and the stack with its secrets."""
    kubectl("apply", "--server-side", "-f", "-", feed=crds.text())
    kubectl.await_("get", KINDS)
    era = next(path for path in catalog.eras() if path.stem == ERA)
    (document,) = load(stack, FAULTS).sound()
    made = exported.objects(document.tree, stack.parent, STACK, NAMESPACE)
    kubectl("apply", "--server-side", "-f", "-", feed=era.read_text(encoding="utf-8") + "\n---\n" + dump_yaml(*made))


def _environment(plane: ControlPlane, own: Path) -> dict[str, str]:
    return {
        **os.environ,
        "KUBECONFIG": str(plane.kubeconfig),
        "AFTERSHOCK_HOME": str(own),
        "PYTHONPATH": str(Path(__file__).parent.parent.parent),
        "PYTHONUNBUFFERED": "1",
    }


def experiment() -> str:
    """Return the experiment's path as a user would type it here."""
    path = next(path for path in catalog.experiments() if path.stem == EXPERIMENT)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _taken_home(run: dict[str, Any], own: Path) -> Path:
    """Put the run's folder among this machine's runs, where `aftershock report` finds it; return it."""
    meta = run["metadata"]
    folder = objects.run_folder(meta["name"], objects.token(meta["uid"]))
    folder.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.move(own / "runs" / folder.name, folder))


def _tell(folder: Path) -> int:
    """Show the verdict of a run and its report, judged from its journal; return the exit code."""
    history = store.read(folder / store.NAME)
    judgements = judge_all(history, loading.eras_for(history, ()))
    report = ending.write_reports(folder, history, judgements)
    click.echo()
    ending.show(history, judgements, report, as_json=False)
    open_(report)
    return ending.code(judgements)


def open_(report: Path) -> None:
    """Open a report where there is a browser and a display to see it on."""
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        with suppress(webbrowser.Error, OSError):
            webbrowser.open(report.absolute().as_uri())


def _end(plane: ControlPlane, ours: Tied) -> None:
    """Leave nothing: what is ours first, so that a run can still heal and say how it ended."""
    click.echo("stopping everything")
    with ExitStack() as last_first:
        last_first.callback(lambda: local.down(LOCAL))
        last_first.callback(plane.stop)
        last_first.callback(lambda: ours.end_all(FAREWELL))
        last_first.callback(lambda: ours.end("operator"))  # from here on nothing is begun
    click.echo("nothing is left running")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second demo out: it would take this one's place."""
    folder.mkdir(parents=True, exist_ok=True)
    locks = home.state() / "locks"
    locks.mkdir(mode=0o700, exist_ok=True)
    with (locks / folder.name).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError("another `aftershock demo --operator` is going on", "wait until it is over") from None
        yield


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def ended(clean: Callable[[], None]) -> Iterator[None]:
    """Clean up in any case: after an error, and after any signal that asks us to end. A second one changes nothing."""
    before = {number: signal.signal(number, _interrupt) for number in SIGNALS}
    try:
        try:
            yield
        finally:
            _deafen()
    except KeyboardInterrupt:
        _deafen()  # again, should the first have been interrupted; and until the end, which is near
        clean()
        raise
    except BaseException:
        clean()
        _hear(before)
        raise
    clean()
    _hear(before)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _deafen() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _hear(before: Mapping[signal.Signals, Any]) -> None:
    for number, handler in before.items():
        signal.signal(number, handler)
