"""`aftershock plan`: what a run would do. Changes nothing; it may ask who manages a target."""

import click


@click.command(
    epilog="\b\nExamples:\n  aftershock plan db-connection-exhaustion\n  aftershock plan mine.yaml --stack ./stack.yaml"
)
@click.argument("file", metavar="FILE|NAME")
@click.option("--stack", metavar="NAME|FILE", help="Plan for this stack instead of the one the experiment names.")
@click.option("--era", "eras", multiple=True, metavar="NAME|FILE", help="Judge by this era; may be repeated, or `all`.")
def command(file: str, stack: str | None, eras: tuple[str, ...]) -> None:
    """Show timeline, targets, leases, blast radius of a run and what judges it, without changing anything.

    FILE is an experiment's YAML, or the name of one that comes with the package (see `aftershock catalog`).
    """
    import asyncio

    from aftershock.reports import outline
    from aftershock.runtime import loading

    request = loading.request(file, stack=stack, eras=eras, runs=None)
    unasked = asyncio.run(request.doubt())
    click.echo(outline.text(request.plan, request.experiment.object, request.stack.object, request.eras))
    for one in unasked:
        click.echo(f"note: {one}")
