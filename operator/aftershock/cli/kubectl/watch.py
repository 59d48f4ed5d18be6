"""`kubectl aftershock watch`: follow one run to its verdict, or all runs of a namespace until one has seen enough."""

from typing import TYPE_CHECKING

import click

from aftershock.cli.kubectl.app import reaches

if TYPE_CHECKING:
    from aftershock.runtime.cluster.asking import Place


@click.command(
    epilog="\b\nExamples:\n  kubectl aftershock watch db-connection-exhaustion-1\n"
    "  kubectl aftershock watch -A                  all runs, until Ctrl-C"
)
@click.argument("name", metavar="[RUN|EXPERIMENT]", required=False)
@reaches(everywhere=True)
def command(place: "Place", name: str | None) -> int:
    """Show phase and conditions of a run as they change, and exit with the code of its verdict.

    RUN is a Run's name, or an Experiment's: that means its latest Run. Without it, all runs are shown until Ctrl-C.
    """
    from aftershock.cli.kubectl import telling
    from aftershock.runtime.cluster.following import looks

    if name is not None:
        if place.namespace is None:
            raise click.UsageError("A run has one namespace: give -n, or leave out -A.")
        return telling.to_the_end(place.api, place.run(name), as_json=False)
    lines, patient = telling.Lines(named=True), False
    for runs in looks(place, telling.note):
        if not runs and not patient:
            telling.note(f"there is no Run in {place.called} yet; each that comes is shown, until Ctrl-C")
            patient = True
        for run in runs:
            lines(run)
    return 0
