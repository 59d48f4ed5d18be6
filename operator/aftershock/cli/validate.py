"""`aftershock validate`: every error of every file at once."""

from pathlib import Path

import click


@click.command(epilog="\b\nExamples:\n  aftershock validate experiments/\n  aftershock validate mine.yaml stack.yaml")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
def command(paths: tuple[str, ...]) -> int:
    """Check YAML files and folders of them. Each error has file, line, field, what was found and what would do.

    Experiments are checked against the stacks they name where those are among the paths or stand on this machine.
    """
    from aftershock.core.wording import counted
    from aftershock.runtime import loading

    if "" in paths:
        raise click.BadParameter("an empty name for a path")
    found = loading.validate([Path(path) for path in paths])
    for problem in found.problems:
        click.echo(str(problem))
    files, documents = len(found.files), found.documents
    if found.problems:
        click.echo(f"{counted(len(found.problems), 'error')} in {counted(files, 'file')}", err=True)
        return 4
    click.echo(f"{counted(documents, 'document')} in {counted(files, 'file')}: all good")
    return 0
