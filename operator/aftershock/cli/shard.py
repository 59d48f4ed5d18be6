"""`aftershock shard`: send a share of a load. Run by the pods of a load; hidden, as nobody has to type it."""

import os

import click


@click.command(hidden=True, epilog="\b\nExample:\n  aftershock shard")
def command() -> None:
    """Connect to the executor that the environment names, and send what it orders."""
    from aftershock.probes import shard

    os._exit(shard.main())  # no waiting for threads that hang in a query or in a name
