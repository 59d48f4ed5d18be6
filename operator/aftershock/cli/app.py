"""The commands by name, each imported when it is called, and one way out for every error."""

import importlib
import traceback
from collections.abc import Mapping, Sequence, Set
from difflib import get_close_matches
from typing import ClassVar

import click

from aftershock.cli import OUT_OF_ORDER, UNHEARD
from aftershock.errors import AftershockError

USAGE = 64
"""click exits with 2 on wrong usage, which would read as Inconclusive."""

INTERNAL = 70
INTERRUPTED = 130
_ROOM = "see that path, its permissions and its free space; AFTERSHOCK_HOME names another place for all state"
_REPORT = "the same with --debug, and report what it prints"
COMMANDS = {
    "validate": "Check YAML files: every error at once, with line and advice.",
    "plan": "Show timeline, targets and blast radius; change nothing.",
    "run": "Carry out an experiment and judge it.",
    "judge": "Judge a run again, against any eras.",
    "report": "Show a run's report, or write it in another form.",
    "stack": "Bring a reference stack up on this machine, or down.",
    "reap": "Heal what is past its lease.",
    "halt": "End every run and every fault, now.",
    "catalog": "List faults, experiments, eras and stacks.",
    "crds": "Print the kinds for a Kubernetes cluster, for `kubectl apply -f -`.",
    "operator": "Heed Experiments in a Kubernetes cluster.",
    "doctor": "Say what this machine lacks, and how to get it.",
    "demo": "A first result: a real database runs out of connections, and recovers.",
}

HIDDEN = {"execute", "farewell", "shard"}
"""Commands that nobody types: the operator and the chart do."""


class Commands(click.Group):
    """Finds `aftershock NAME` in the module of that name."""

    room: ClassVar[str] = "aftershock.cli"
    listed: ClassVar[Mapping[str, str]] = COMMANDS
    unlisted: ClassVar[Set[str]] = HIDDEN

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which they are learned."""
        return list(self.listed)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module."""
        if cmd_name not in {*self.listed, *self.unlisted}:
            return None
        module = importlib.import_module(f"{self.room}.{cmd_name}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; of one that isn't there, say which is nearest."""
        if args and args[0] not in {*self.listed, *self.unlisted} and not args[0].startswith("-"):
            near = get_close_matches(args[0], self.listed, 1)
            raise click.UsageError(
                f"No such command {args[0]!r}." + (f" Did you mean {near[0]!r}?" if near else ""), ctx
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.listed.items()))


EPILOG = """\b
Start here:
  aftershock demo
  aftershock stack up 1k
  aftershock run db-connection-exhaustion

\b
Exit codes: 0 Passed, 1 Failed, 2 Inconclusive or Aborted, 3 and up the tool
failed (each says why and what to do), 64 wrong usage. --debug shows tracebacks.
"""


@click.command(cls=Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="aftershock", message="aftershock %(version)s")
def group() -> None:
    """Chaos engineering and incident replay, with evidence.

    Failures are YAML. They run against a deployed stack; what its clients saw is written down; a judge holds that
    record against the SLA of an era.
    """


def run(arguments: Sequence[str], called: click.Command | None = None, name: str = "aftershock") -> int:
    """Run one command line, of `aftershock` or of what is called by another name; return its exit code."""
    words = [word for word in arguments if word != "--debug"]
    try:
        result = (called or group).main(args=words, prog_name=name, standalone_mode=False)
        return result if isinstance(result, int) else 0
    except BaseException as error:  # noqa: BLE001 - the one way out: no traceback without --debug
        return _explain(error, debug=len(words) != len(arguments))


def _explain(error: BaseException, *, debug: bool) -> int:
    """Say what went wrong and what to do next; return the exit code."""
    text, code = _words(error)
    try:
        if debug:
            traceback.print_exception(error)
        if isinstance(error, click.ClickException):
            error.show()
        elif text:
            click.echo(text, err=True)
    except OSError:
        return code  # nobody hears it; the code says it all the same
    return code


def _words(error: BaseException) -> tuple[str, int]:  # a table, a line a kind
    """Return what to say of an error, nothing where click says it, and the exit code."""
    match error:
        case click.exceptions.Exit():
            return "", error.exit_code
        case click.ClickException():
            return "", USAGE
        case BrokenPipeError() | SystemExit():  # click makes the latter of the former
            return "", UNHEARD
        case click.Abort() | KeyboardInterrupt():
            return "interrupted", INTERRUPTED
        case AftershockError():
            return f"error: {error.problem}\n  try: {error.advice}", error.exit_code
        case OSError() if error.strerror:
            what = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
            return f"error: {what}\n  try: {_ROOM}", OUT_OF_ORDER
        case _:
            return f"error: a bug in aftershock: {type(error).__name__}: {error}\n  try: {_REPORT}", INTERNAL
