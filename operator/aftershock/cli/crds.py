"""`aftershock crds`: what a cluster has to know of the kinds, without Helm."""

import click


@click.command(epilog="\b\nExamples:\n  aftershock crds | kubectl apply --server-side -f -")
def command() -> None:
    """Print the CustomResourceDefinitions of Era, Stack, Experiment and Run as YAML.."""
    from aftershock.runtime.cluster import crds

    click.echo(crds.text(), nl=False)
