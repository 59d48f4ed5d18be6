"""`aftershock operator`: make Runs of Experiments in a cluster, and have them carried out."""

from typing import Literal

import click


@click.command(
    epilog="\b\nExamples:\n  aftershock operator --launcher child\n"
    "  aftershock operator --namespace staging --namespace canary --health-port 8080"
)
@click.option("--namespace", "namespaces", multiple=True, metavar="NS", help="Heed Experiments here; may be repeated.")
@click.option("--all-namespaces", is_flag=True, help="Heed Experiments everywhere (the default without --namespace).")
@click.option(
    "--launcher",
    type=click.Choice(["child", "job"]),
    default="job",
    show_default=True,
    help="Carry runs out as Jobs of the cluster, or as child processes here.",
)
@click.option("--max-runs", "most", type=click.IntRange(1), default=20, show_default=True, help="So many at once.")
@click.option("--health-port", type=click.IntRange(0, 65535), metavar="PORT", help="Answer /healthz there.")
@click.option(
    "--metrics-port", type=click.IntRange(0, 65535), metavar="PORT", help="Serve metrics for Prometheus there."
)
@click.option("--keep-runs", metavar="TIME", help="Delete finished Runs that are older, like 30d (default: keep them).")
@click.option(
    "--notify-format",
    "notify",
    type=click.Choice(["cloudevents", "slack"]),
    default="cloudevents",
    show_default=True,
    help="What the webhook in AFTERSHOCK_NOTIFY_URL gets of each verdict.",
)
def command(
    *,
    namespaces: tuple[str, ...],
    launcher: str,
    most: int,
    health_port: int | None,
    metrics_port: int | None,
    keep_runs: str | None,
    notify: Literal["cloudevents", "slack"],
    all_namespaces: bool,
) -> int:
    """Watch Experiments and Runs: make a Run when one is due, start it when its turn comes, let go of it when it is clean.

    It carries nothing out itself: ending it leaves runs that go on alone, and the next one takes up where it was.
    """
    from aftershock.handlers.serve import Asked, serve
    from aftershock.model.names import label

    if all_namespaces and namespaces:
        raise click.UsageError("give --namespace or --all-namespaces, not both")
    for name in namespaces:
        for problem, advice in label(name):
            raise click.BadParameter(f"{problem}; {advice}", param_hint="--namespace")
    asked = Asked(namespaces, launcher, most, health_port, metrics_port, notify, _age(keep_runs))
    return serve(asked, lambda line: click.echo(line, err=True))


def _age(text: str | None) -> float | None:
    from aftershock.model.units import Duration, UnitError

    try:
        return None if text is None else float(Duration.parse(text))
    except UnitError as error:
        raise click.BadParameter(str(error), param_hint="--keep-runs") from None
