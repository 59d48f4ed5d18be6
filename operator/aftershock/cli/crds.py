"""`aftershock crds`: what a cluster has to know of the kinds, without Helm."""

import click


@click.command(epilog="\b\nExamples:\n  aftershock crds | kubectl apply --server-side -f -\n  aftershock crds --wait")
@click.option("--wait", is_flag=True, help="Print nothing; wait until the cluster serves them all.")
def command(*, wait: bool) -> None:
    """Print the CustomResourceDefinitions of Era, Stack, Experiment and Run as YAML."""
    from aftershock.runtime.cluster import crds

    if wait:
        from aftershock.adapters.kubernetes import Api

        crds.await_served(Api.connect())
    else:
        click.echo(crds.text(), nl=False)
