"""`aftershock reap`: heal what is past its lease."""

import click


@click.command(
    epilog="\b\nExamples:\n  aftershock reap\n  aftershock reap --stack meetings-1k --watch\n"
    "  aftershock reap --watch --cluster"
)
@click.option(
    "--stack", "stacks", multiple=True, metavar="NAME|FILE", help="Look here only (default: every local stack)."
)
@click.option("--watch", is_flag=True, help="Go on until ended; the local stacks keep one of these running.")
@click.option("--cluster", is_flag=True, help="Look where the Stacks of a cluster say, and end runs that are lost.")
@click.option(
    "--namespace", "-n", "namespaces", multiple=True, help="With --cluster: only these (default: all that are visible)."
)
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="With --cluster: serve metrics for Prometheus there.",
)
@click.option(
    "--health-port", type=click.IntRange(0, 65535), metavar="PORT", help="With --cluster: answer /healthz there."
)
def command(
    stacks: tuple[str, ...],
    namespaces: tuple[str, ...],
    metrics_port: int | None,
    health_port: int | None,
    *,
    watch: bool,
    cluster: bool,
) -> int:
    """Look in every place the stacks name, and heal what bears aftershock's name and is past its expiry.

    Remembers nothing and needs no run: what is at the targets is all it goes by. What others left there is not touched.
    In a cluster it keeps a list of the places on disk, so that it goes on while the API is away.
    """
    from aftershock.runtime import reaping

    if cluster and (stacks or not watch):
        raise click.UsageError("--cluster goes with --watch, and without --stack")
    if not cluster and (namespaces or (metrics_port, health_port) != (None, None)):
        raise click.UsageError("--namespace, --metrics-port and --health-port go with --cluster")
    if cluster:
        from aftershock.runtime.cluster import reaping as in_cluster

        return in_cluster.command(in_cluster.Asked(namespaces, metrics_port, health_port), click.echo)
    return reaping.watch(stacks, click.echo) if watch else reaping.once(stacks, click.echo)
