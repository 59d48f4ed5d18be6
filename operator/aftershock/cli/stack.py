"""`aftershock stack`: the reference stacks on this machine."""

import click

FIRST = {"1k": "db-connection-exhaustion"}
"""The experiment to begin with, by era."""


class InOrder(click.Group):
    """Lists its commands in the order in which they are learned."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names as they were added."""
        return list(self.commands)


@click.group(
    cls=InOrder,
    epilog="\b\nExamples:\n  aftershock stack up 1k\n"
    "  aftershock stack up 10k --set READS=split\n  aftershock stack up 1k --name second\n  aftershock stack down meetings-1k",
)
def command() -> None:
    """Bring a reference stack up on this machine, or down."""


@command.command(epilog="\b\nExample:\n  aftershock stack up 1k", short_help="Start the stack of an era.")
@click.argument("era")
@click.option(
    "--name", metavar="NAME", help="Its name, so that several can stand side by side (default: meetings-ERA)."
)
@click.option(
    "--set",
    "switches",
    metavar="SWITCH=VALUE",
    multiple=True,
    help="A switch of its services, like POOL_SIZE=20; repeatable.",
)
def up(era: str, name: str | None, switches: tuple[str, ...]) -> None:
    """Start the stack of ERA: real servers on free ports, every link through Toxiproxy. Running it twice is fine.

    `aftershock catalog stacks` lists the eras that have a stack, and its values file says which switches it has. A stack that
    is up is started anew where --set changes something.
    """
    from aftershock.stacks import local

    path = local.up(era, name, progress=click.echo, switched=_switches(switches))
    click.echo(f"up: {path}")
    own = f" --stack {name}" if name else ""
    click.echo(f"next: aftershock run {FIRST[era]}{own}" if era in FIRST else "next: aftershock catalog experiments")


def _switches(given: tuple[str, ...]) -> dict[str, str]:
    for each in given:
        if "=" not in each:
            raise click.BadParameter(f"{each!r} has no `=`; write it like POOL_SIZE=20", param_hint="--set")
    return dict(each.split("=", 1) for each in given)


@command.command(
    epilog="\b\nExample:\n  aftershock stack down meetings-1k",
    short_help="Stop a stack, or all, and leave no process behind.",
)
@click.argument("name", required=False)
def down(name: str | None) -> None:
    """Stop a stack (or all of them) and leave no process behind. An era's name means its default stack."""
    from aftershock.stacks import local

    here = local.listing()
    for stack in [name] if name else here:
        local.down(stack)
        known = not {stack, f"meetings-{stack}"}.isdisjoint(here)
        others = ", ".join(here) or "none"
        click.echo(f"down: {stack}" if known else f"nothing to stop: there is no stack {stack!r} here, but: {others}")
    if not name and not here:
        click.echo("nothing to stop: there is no stack on this machine")


@command.command(
    epilog="\b\nExamples:\n  aftershock stack status\n  aftershock stack status meetings-1k",
    short_help="Show the parts of a stack, or of all, and whether each is up.",
)
@click.argument("name", required=False)
def status(name: str | None) -> int:
    """Show the parts of a stack (or of all of them) and whether each is up. Exit code 8 where one is not."""
    from aftershock.stacks import local

    names = [name] if name else local.listing()
    if not names:
        _none()
    every = True
    for stack in names:
        parts = local.status(stack)
        every = every and bool(parts) and all(part.up for part in parts)
        if not name:
            click.echo(f"{stack}:")
        for part in parts:
            click.echo(f"{part.name:14} {part.state:10} {part.detail}")
    return 0 if every else 8


def _none() -> None:
    click.echo("there is no stack on this machine; `aftershock stack up 1k` starts one", err=True)


@command.command("ls", epilog="\b\nExample:\n  aftershock stack ls")
def listing() -> None:
    """List the stacks of this machine."""
    from aftershock.stacks import local

    names = local.listing()
    if not names:
        _none()
    for name in names:
        click.echo(name)
