"""`aftershock judge`: judge a run again, against any eras."""

import click


@click.command(
    epilog="\b\nExamples:\n  aftershock judge last --era all\n"
    "  aftershock judge db-connection-exhaustion-k3f9a2x1 --era 10k --era ./my-era.yaml"
)
@click.argument("run")
@click.option(
    "--era", "eras", multiple=True, metavar="NAME|FILE", help="An era to judge by; may be repeated, or `all`."
)
@click.option("--json", "as_json", is_flag=True, help="Print the judgements as JSON.")
def command(run: str, eras: tuple[str, ...], *, as_json: bool) -> int:
    """Judge a run again from its journal: no stack is needed, and nothing is changed.

    RUN is a run's name, the start of one, `last`, or a journal's path. Without --era the run's own eras judge.
    """
    from aftershock.adapters import store
    from aftershock.cli import ending
    from aftershock.core.judge import judge_all
    from aftershock.runtime import folders, loading

    history = store.read(folders.find(run))
    judgements = judge_all(history, loading.eras_for(history, eras))
    ending.show(history, judgements, None, as_json=as_json)
    return ending.code(judgements)
