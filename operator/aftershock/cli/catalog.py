"""`aftershock catalog`: what there is to use."""

import click


@click.command(epilog="\b\nExamples:\n  aftershock catalog\n  aftershock catalog faults")
@click.argument("what", required=False, type=click.Choice(["faults", "experiments", "eras", "stacks"]))
def command(what: str | None) -> None:
    """List the faults with their parameters, the experiments and eras that come along, and the stacks."""
    from aftershock.runtime import listing

    for heading, lines in listing.catalog().items():
        if what in {None, heading}:
            click.echo(f"{heading}:")
            for line in lines:
                click.echo(f"  {line}")
