"""The command line: the only importer of click.

`main` answers a bare `--help` from a file, so that the first thing anybody types answers at once; the file is generated
from the commands (`python -m aftershock.cli.help`) and held against them by a test.
"""

import gc
import os
import sys
from collections.abc import Callable

HELP = os.path.join(os.path.dirname(__file__), "help.txt")  # noqa: PTH118, PTH120 - pathlib costs more than the answer
SELDOM = 100_000
"""How many new objects make the collector look for garbage: nothing that importing makes is any, so not before that is over;
but it has to look, as the reaper and the operator live for months.
"""
UNHEARD = 141
"""Nobody reads our output any more (`| head`): what a shell makes of SIGPIPE, and not an error worth a word."""
OUT_OF_ORDER = 74
"""This machine refuses us a file, or the output can't be written (sysexits.h: EX_IOERR)."""


def main() -> None:
    """Run the command line and exit with its code."""
    stand(_code)


def stand(code_of: Callable[[list[str]], int]) -> None:
    """Run a command line on streams that can be relied on, and exit with its code."""
    _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # an ASCII terminal gets no traceback
    code = _flushed(code_of(sys.argv[1:]))
    gc.freeze()  # or the interpreter looks through all that was imported once more before it ends
    sys.exit(code)


def _code(arguments: list[str]) -> int:
    if arguments in ([], ["--help"], ["-h"]) and os.path.exists(HELP):  # noqa: PTH110
        try:
            with open(HELP, encoding="utf-8") as text:  # noqa: PTH123
                sys.stdout.write(text.read())
            sys.stdout.flush()
        except OSError as error:
            return silent(error)
        return 0
    gc.set_threshold(SELDOM)
    from aftershock.cli.app import run

    return run(arguments)


def _open_what_is_closed() -> None:
    """Put /dev/null where a standard stream is closed: else the next file opened, the journal, would take its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115  # the process's own


def _flushed(code: int) -> int:
    """Say the last now: what the interpreter can't write when it ends, it complains of in words of its own."""
    try:
        sys.stdout.flush()
    except OSError as error:
        speak_to_nobody()
        return code or silent(error)
    return code


def speak_to_nobody() -> None:
    """Send what is still to be printed nowhere: what could not be written stays in the buffer, and would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def silent(error: OSError) -> int:
    """Return the exit code where the output can't be written."""
    return UNHEARD if isinstance(error, BrokenPipeError) else OUT_OF_ORDER
