"""`aftershock judge`: judge a run again, against any eras."""

import click


@click.command(
    epilog="\b\nExamples:\n  aftershock judge last --era all\n"
    "  aftershock judge db-connection-exhaustion-k3f9a2x1 --era 10k --era ./my-era.yaml\n"
    "  aftershock judge run/db-connection-exhaustion-1 -n staging"
)
@click.argument("run")
@click.option(
    "--era", "eras", multiple=True, metavar="NAME|FILE", help="An era to judge by; may be repeated, or `all`."
)
@click.option("-n", "--namespace", metavar="NS", help="Of a cluster's run: its namespace.")
@click.option("--json", "as_json", is_flag=True, help="Print the judgements as JSON.")
def command(run: str, eras: tuple[str, ...], namespace: str | None, *, as_json: bool) -> int:
    """Judge a run again from its journal: no stack is needed, and nothing is changed.

    RUN is a run's name, the start of one, `last`, a journal's path, or run/NAME for a Run of a cluster. Without --era the
    run's own eras judge.
    """
    from aftershock.adapters import store
    from aftershock.cli import ending, named
    from aftershock.core.judge import judge_all
    from aftershock.runtime import loading

    history = store.read(named.journal(run, namespace))
    judgements = judge_all(history, loading.eras_for(history, eras))
    ending.show(history, judgements, None, as_json=as_json)
    return ending.code(judgements)
