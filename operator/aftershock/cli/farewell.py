"""`aftershock farewell`: what `helm uninstall` runs before it takes anything away."""

import click


@click.command()
@click.option(
    "-n", "--namespace", "namespaces", multiple=True, metavar="NAME", help="Here (more than one may be given)."
)
@click.option("--all-namespaces", is_flag=True, help="Everywhere.")
@click.option("--timeout", default="4m", show_default=True, metavar="TIME", help="How long runs may take to end.")
def command(namespaces: tuple[str, ...], timeout: str, *, all_namespaces: bool) -> int:
    """Abort every Run of the cluster, wait until their targets are clean, and let go of the finished ones."""
    from aftershock.adapters.kubernetes import Api
    from aftershock.model.units import Duration, UnitError
    from aftershock.runtime.cluster.farewell import farewell

    try:
        patience = Duration.parse(timeout)
    except UnitError as error:
        raise click.BadParameter(str(error), param_hint="--timeout") from None
    if not namespaces and not all_namespaces:
        raise click.UsageError("Say where: --namespace NAME, or --all-namespaces.")
    farewell(Api.connect(), [None] if all_namespaces else list(namespaces), patience, click.echo)
    return 0
