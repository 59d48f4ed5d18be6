"""Writes the file that a bare `--help` prints: `python -m aftershock.cli.help`. A test holds it against the commands."""

from pathlib import Path

import click

from aftershock.cli import HELP
from aftershock.cli.app import group


def text() -> str:
    """Return what `aftershock --help` says, 80 columns wide."""
    context = click.Context(
        group, info_name="aftershock", help_option_names=["-h", "--help"], terminal_width=80, max_content_width=80
    )
    return group.get_help(context) + "\n"


if __name__ == "__main__":
    Path(HELP).write_text(text(), encoding="utf-8")
