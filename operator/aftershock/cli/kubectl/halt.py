"""`kubectl aftershock halt`: end every run."""

from typing import TYPE_CHECKING

import click

from aftershock.cli.kubectl.app import reaches

if TYPE_CHECKING:
    from aftershock.runtime.cluster.asking import Place


@click.command(epilog="\b\nExamples:\n  kubectl aftershock halt -n staging\n  kubectl aftershock halt -A")
@reaches(everywhere=True)
def command(place: "Place") -> int:
    """End every run of the namespace (-A: of the cluster) now, and wait until nothing of them is at a target."""
    from aftershock.adapters.kubernetes import RUNS
    from aftershock.cli.kubectl import telling
    from aftershock.runtime.cluster import asking

    going = [run for run in place.all(RUNS) if not asking.finished(run)]
    for run in going:
        asking.abort(place.api, run, click.echo)
    if not going:
        click.echo("no run is going on")
    return telling.until_clean(place, going)
