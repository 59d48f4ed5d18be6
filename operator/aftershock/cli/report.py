"""`aftershock report`: a run's report, in the form one needs."""

from pathlib import Path

import click


@click.command(
    epilog="\b\nExamples:\n  aftershock report                      list the runs there are\n"
    "  aftershock report last                 write report.html and its kin beside the journal\n"
    "  aftershock report last --form markdown --out -\n"
    "  aftershock report run/db-connection-exhaustion-1 -n staging"
)
@click.argument("run", required=False)
@click.option("--form", type=click.Choice(["html", "markdown", "json", "junit"]), help="One form only.")
@click.option("--era", "eras", multiple=True, metavar="NAME|FILE", help="Judge by this era; may be repeated, or `all`.")
@click.option("--out", metavar="FILE", help="Where to write it; `-` is standard output.")
@click.option("-n", "--namespace", metavar="NS", help="Of a cluster's run: its namespace.")
def command(run: str | None, form: str | None, eras: tuple[str, ...], out: str | None, namespace: str | None) -> None:
    """Write the report of a run, judged anew from its journal: all forms beside it, or one form where you say.

    RUN is a run's name, the start of one, `last`, a journal's path, or run/NAME for a Run of a cluster; without it, the
    runs are listed. Without --era the run's own eras judge.
    """
    from aftershock.adapters import store
    from aftershock.cli import ending, named
    from aftershock.core.judge import judge_all
    from aftershock.runtime import loading

    if run is None:
        list_runs()
        return
    journal = named.journal(run, namespace)
    history = store.read(journal)
    judgements = judge_all(history, loading.eras_for(history, eras))
    if form is None and out is None:
        click.echo(ending.write_reports(journal.parent, history, judgements))
        return
    name, render = ending.forms()[form or "html"]
    text = render(history, judgements)
    if out == "-":
        click.echo(text)
    else:
        path = Path(out) if out else journal.parent / name
        ending.write(path, text)
        click.echo(path)


def list_runs() -> None:
    """Print a line a run, the latest last."""
    from aftershock.runtime import folders

    known = folders.every()
    if not known:
        click.echo("no runs yet; `aftershock demo` makes a first one")
    for folder in known:
        run = folder.read()
        verdict: str = (run.status.verdict or run.status.phase) if run else "unknown"
        if run and run.status.phase != "Finished" and not folder.alive():
            verdict = "executor lost"  # the stack's reaper ends the run once its targets are clean
        click.echo(f"{folder.name:50} {verdict:13} {run.status.started if run else ''}")
