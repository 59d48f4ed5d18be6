"""`kubectl aftershock abort`: end one run."""

from typing import TYPE_CHECKING

import click

from aftershock.cli.kubectl.app import reaches

if TYPE_CHECKING:
    from aftershock.runtime.cluster.asking import Place


@click.command(epilog="\b\nExamples:\n  kubectl aftershock abort db-connection-exhaustion-1")
@click.argument("name", metavar="RUN|EXPERIMENT")
@reaches()
def command(place: "Place", name: str) -> int:
    """End a run now: it heals, cleans up, and is judged Aborted. Waits until nothing of it is at a target.

    RUN is a Run's name, or an Experiment's: that means its latest Run.
    """
    from aftershock.cli.kubectl import telling
    from aftershock.runtime.cluster import asking

    run = place.run(name)
    asking.abort(place.api, run, click.echo)
    return telling.until_clean(place, [run])
