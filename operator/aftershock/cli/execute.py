"""`aftershock execute`: carry out one Run of a cluster. Launched by the operator; hidden, as nobody has to type it."""

import click


@click.command(hidden=True, epilog="\b\nExample:\n  aftershock execute db-connection-exhaustion-1 -n staging")
@click.argument("name", metavar="RUN")
@click.option("-n", "--namespace", metavar="NS", help="The Run's namespace; that of the context if left out.")
@click.option("--journal", metavar="PLACE", help="Keep the journal there: s3://bucket/prefix (AFTERSHOCK_JOURNAL).")
def command(name: str, namespace: str | None, journal: str | None) -> int:
    """Claim a Run, carry it out, and write its verdict into its status.

    Exits with 0 whatever the verdict: it stands in the Run.
    """
    from aftershock.adapters.kubernetes import Api
    from aftershock.runtime.cluster.execute import execute

    api = Api.connect()
    return execute(api, namespace or api.namespace, name, lambda line: click.echo(line, err=True), journal)
