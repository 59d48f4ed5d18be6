"""How a command about a run ends: the verdict on the terminal, the reports in the run's folder, the exit code."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from aftershock.cli import speak_to_nobody
from aftershock.core.history import Cleaned, History
from aftershock.core.verdict import Judgement, Verdict
from aftershock.errors import JournalError, ResidueError, TargetError
from aftershock.runtime.conclude import overall
from aftershock.runtime.launch import Outcome

CODES = {Verdict.PASSED: 0, Verdict.FAILED: 1, Verdict.INCONCLUSIVE: 2, Verdict.ABORTED: 2, Verdict.ERROR: 3}
Render = Callable[[History, Sequence[Judgement]], str]


def forms() -> dict[str, tuple[str, Render]]:
    """Return the report's forms: name to file name and renderer."""
    from aftershock.reports import html, json_report, junit, markdown

    return {
        "html": ("report.html", html.render),
        "markdown": ("report.md", markdown.render),
        "json": ("report.json", json_report.render),
        "junit": ("report.xml", junit.render),
    }


def write_reports(folder: Path, history: History, judgements: Sequence[Judgement]) -> Path:
    """Write every form beside the journal; return the HTML's path."""
    for name, render in forms().values():
        write(folder / name, render(history, judgements))
    return folder / "report.html"


def write(path: Path, text: str) -> None:
    """Write a file. JournalError with advice where that can't be done."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise JournalError(
            f"can't write {path}: {error.strerror}", "free some space or choose another place"
        ) from error


def tell(outcome: Outcome, stack: str, *, as_json: bool, decisive: Sequence[Judgement] | None = None) -> int:
    """Print the verdict, write the reports; return the exit code. The tool's own failure comes last, and counts.

    `stack`: what `--stack` calls it. `decisive`: the judgements that the exit code speaks of, where more are shown than
    that.
    """
    report, failure = None, outcome.failure
    if not isinstance(failure, JournalError):
        try:
            report = write_reports(outcome.folder.path, outcome.history, outcome.judgements)
        except JournalError as error:
            failure = failure or error
    unheard = _shown(outcome, report, as_json=as_json)
    if failure is not None:
        raise failure
    left = [line for judgement in outcome.judgements for line in _residue(judgement)]
    if left:
        raise ResidueError(left[0], f"`aftershock reap --stack {stack}` tries again")
    unasked = [line for cleaned in outcome.history.all(Cleaned) for line in cleaned.unasked]
    if unasked:
        again = f"once it answers again: `aftershock reap --stack {stack}`"
        raise TargetError(f"nobody can say what is left: {unasked[0]}", again)
    if unheard is not None:
        raise unheard
    return code(decisive or outcome.judgements)


def _shown(outcome: Outcome, report: Path | None, *, as_json: bool) -> OSError | None:
    """Print the verdict; return why it could not be. That nobody reads on (`| head`) is no reason: the exit code counts."""
    try:
        show(outcome.history, outcome.judgements, report, as_json=as_json)
        sys.stdout.flush()  # a pipe is written to when its buffer is full: what went wrong shall show here
    except BrokenPipeError:
        speak_to_nobody()
        return None
    except OSError as error:
        return OSError(error.errno, f"can't print the verdict, which stands in {report}: {error.strerror}")
    return None


def _residue(judgement: Judgement) -> list[str]:
    return [c.message for c in judgement.conditions if c.type == "CleanedUp" and c.status == "False"]


def code(judgements: Sequence[Judgement]) -> int:
    """Return the exit code of a verdict over all eras that judge."""
    return CODES[overall(judgements)]


def show(history: History, judgements: Sequence[Judgement], report: Path | None, *, as_json: bool) -> None:
    """Print judgements as a person or as a machine reads them."""
    if as_json:
        from aftershock.reports import json_report

        click.echo(json_report.line(history, judgements).encode())
        return
    from aftershock.reports import terminal

    terminal.show(history, judgements, report, colour=sys.stdout.isatty())
