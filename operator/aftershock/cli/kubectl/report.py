"""`kubectl aftershock report`: a run's report, from the journal that its Run names."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from aftershock.cli.kubectl.app import reaches

if TYPE_CHECKING:
    from aftershock.runtime.cluster.asking import Place


@click.command(
    epilog="\b\nExamples:\n  kubectl aftershock report db-connection-exhaustion-1\n"
    "  kubectl aftershock report db-connection-exhaustion --form markdown --out -"
)
@click.argument("name", metavar="RUN|EXPERIMENT")
@click.option("--form", type=click.Choice(["html", "markdown", "json", "junit"]), default="html", show_default=True)
@click.option("--era", "eras", multiple=True, metavar="NAME|FILE", help="Judge by this era; may be repeated, or `all`.")
@click.option(
    "--out", metavar="FILE", help="Where to write it (default: here, named after the run); `-`: standard output."
)
@reaches()
def command(place: "Place", name: str, form: str, eras: tuple[str, ...], out: str | None) -> None:
    """Write the report of a run, judged anew from its journal.

    RUN is a Run's name, or an Experiment's: that means its latest Run. Without --era the run's own eras judge.
    """
    from aftershock.cli import ending
    from aftershock.core.judge import judge_all
    from aftershock.runtime import loading
    from aftershock.runtime.cluster import journals

    run = place.run(name)
    history = journals.history(place.api, run)
    file, render = ending.forms()[form]
    text = render(history, judge_all(history, loading.eras_for(history, eras)))
    if out == "-":
        click.echo(text)
        return
    path = Path(out) if out else Path(f"{run['metadata']['name']}{Path(file).suffix}")
    ending.write(path, text)
    click.echo(path)
