"""`kubectl aftershock`: what a person asks of a cluster. kubectl finds it on PATH as `kubectl-aftershock`."""

from aftershock import cli


def main() -> None:
    """Run the command line and exit with its code."""
    cli.stand(_code)


def _code(arguments: list[str]) -> int:
    from aftershock.cli.app import run
    from aftershock.cli.kubectl.app import PROGRAM, group

    return run(arguments, group, PROGRAM)
