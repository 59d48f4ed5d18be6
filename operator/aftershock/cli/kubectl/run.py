"""`kubectl aftershock run`: run an Experiment again, as it is now."""

from typing import TYPE_CHECKING

import click

from aftershock.cli.kubectl.app import reaches

if TYPE_CHECKING:
    from aftershock.runtime.cluster.asking import Place


@click.command(
    epilog="\b\nExamples:\n  kubectl aftershock run db-connection-exhaustion --wait\n"
    "  kubectl aftershock run db-connection-exhaustion -n staging --era 10k --json"
)
@click.argument("name", metavar="EXPERIMENT")
@click.option("--era", "eras", multiple=True, metavar="NAME", help="Judge by this Era of the cluster; may be repeated.")
@click.option("--wait", is_flag=True, help="Follow the run; exit with the code of its verdict.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the Run as JSON: as it was made, or with --wait as it ended."
)
@reaches()
def command(place: "Place", name: str, eras: tuple[str, ...], *, wait: bool, as_json: bool) -> int:
    """Make the next Run of an Experiment that is in the cluster: `<experiment>-<generation>-r<number>`.

    The operator carries it out when its turn comes. Ctrl-C ends the waiting, never the run.
    """
    from aftershock.cli.kubectl import telling
    from aftershock.runtime.cluster import asking

    run = asking.run_again(place.api, place.experiment(name), eras)
    made = f"run {run['metadata']['name']} created in {run['metadata']['namespace']}"
    click.echo(made, err=as_json)
    if not wait:
        telling.as_tree(run) if as_json else click.echo(f"  follow it: {telling.called('watch', run)}")
        return 0
    return telling.to_the_end(place.api, run, as_json=as_json)
