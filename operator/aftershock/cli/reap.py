"""`aftershock reap`: heal what is past its lease."""

import click


@click.command(epilog="\b\nExamples:\n  aftershock reap\n  aftershock reap --stack meetings-1k --watch")
@click.option(
    "--stack", "stacks", multiple=True, metavar="NAME|FILE", help="Look here only (default: every local stack)."
)
@click.option("--watch", is_flag=True, help="Go on until ended; the local stacks keep one of these running.")
def command(stacks: tuple[str, ...], *, watch: bool) -> int:
    """Look in every place the stacks name, and heal what bears aftershock's name and is past its expiry.

    Remembers nothing and needs no run: what is at the targets is all it goes by. What others left there is not touched.
    """
    from aftershock.runtime import reaping

    return reaping.watch(stacks, click.echo) if watch else reaping.once(stacks, click.echo)
