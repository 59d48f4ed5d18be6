"""`aftershock run`: carry out an experiment and judge it."""

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from aftershock.runtime.recorder import Watcher


@click.command(
    epilog="\b\nExamples:\n  aftershock run db-connection-exhaustion\n"
    "  aftershock run mine.yaml --stack ./stack.yaml --era 10k --json"
)
@click.argument("file", metavar="FILE|NAME")
@click.option("--stack", metavar="NAME|FILE", help="Run against this stack instead of the one the experiment names.")
@click.option("--era", "eras", multiple=True, metavar="NAME|FILE", help="Judge by this era; may be repeated, or `all`.")
@click.option("--json", "as_json", is_flag=True, help="Print events and verdict as JSON lines.")
@click.option("--out", metavar="FOLDER", help="Write the run's folder here instead of under the state folder.")
def command(file: str, stack: str | None, eras: tuple[str, ...], *, as_json: bool, out: str | None) -> int:
    """Carry out an experiment: baseline, faults, recovery, cleanup, verdict.

    FILE is an experiment's YAML, or the name of one that comes with the package (see `aftershock catalog`). Every fault
    ends by itself; Ctrl-C heals and judges what there is.
    """
    from aftershock.cli import ending
    from aftershock.reports import outline
    from aftershock.runtime import launch, loading

    request = loading.request(file, stack=stack, eras=eras, runs=Path(out) if out else None)
    for doubt in outline.doubts(request.plan, request.stack.object, request.eras):
        click.echo(f"note: {doubt}", err=True)
    follow, context = watcher(as_json=as_json)
    with context:
        outcome = launch.launch(request, [follow])
    return ending.tell(outcome, request.stack_called, as_json=as_json)


def watcher(*, as_json: bool) -> "tuple[Watcher, AbstractContextManager[object]]":
    """Return what follows the run, and the context that it needs: JSON lines, plain lines, or a live screen."""
    if as_json:
        from aftershock.cli.plain import json_lines

        return json_lines, nullcontext()
    if not sys.stdout.isatty():
        from aftershock.cli.plain import Plain

        return Plain(), nullcontext()
    from rich.console import Console

    from aftershock.cli.live import Screen

    screen = Screen(Console())
    return screen, screen
