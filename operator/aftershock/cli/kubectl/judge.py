"""`kubectl aftershock judge`: judge a run again, from the journal that its Run names."""

from typing import TYPE_CHECKING

import click

from aftershock.cli.kubectl.app import reaches

if TYPE_CHECKING:
    from aftershock.runtime.cluster.asking import Place


@click.command(epilog="\b\nExamples:\n  kubectl aftershock judge db-connection-exhaustion-1 --era all")
@click.argument("name", metavar="RUN|EXPERIMENT")
@click.option(
    "--era", "eras", multiple=True, metavar="NAME|FILE", help="An era to judge by; may be repeated, or `all`."
)
@click.option("--json", "as_json", is_flag=True, help="Print the judgements as JSON.")
@reaches()
def command(place: "Place", name: str, eras: tuple[str, ...], *, as_json: bool) -> int:
    """Judge a run again from its journal: nothing is changed, in the cluster or at a target.

    RUN is a Run's name, or an Experiment's: that means its latest Run. Without --era the run's own eras judge.
    """
    from aftershock.cli import ending
    from aftershock.core.judge import judge_all
    from aftershock.runtime import loading
    from aftershock.runtime.cluster import journals

    history = journals.history(place.api, place.run(name))
    judgements = judge_all(history, loading.eras_for(history, eras))
    ending.show(history, judgements, None, as_json=as_json)
    return ending.code(judgements)
