"""The command line: the only importer of click.

`main` answers a bare `--help` from a file, so that the first thing anybody types answers at once; the file is generated
from the commands (`python -m aftershock.cli.help`) and held against them by a test.
"""

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path

HELP = Path(__file__).with_name("help.txt")
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
    sys.exit(code)


def _code(arguments: list[str]) -> int:
    if arguments in ([], ["--help"], ["-h"]) and HELP.exists():
        try:
            sys.stdout.write(HELP.read_text(encoding="utf-8"))
            sys.stdout.flush()
        except OSError as error:
            return silent(error)
        return 0
    gc.disable()  # nothing that importing makes is garbage; the collector would look through all of it again and again
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
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115  # the process's own


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
