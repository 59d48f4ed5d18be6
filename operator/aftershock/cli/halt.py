"""`aftershock halt`: end everything."""

import click


@click.command(epilog="\b\nExamples:\n  aftershock halt\n  aftershock halt db-connection-exhaustion-k3f9a2x1")
@click.argument("run", required=False)
@click.option(
    "--stack", "stacks", multiple=True, metavar="NAME|FILE", help="Also look here (default: every local stack)."
)
def command(run: str | None, stacks: tuple[str, ...]) -> int:
    """End every run on this machine, or RUN alone, and heal every fault whether its lease is over or not.

    RUN is a run's name, as `aftershock report` lists it.
    """
    from aftershock.runtime import reaping

    return reaping.halt(run, stacks, click.echo)
