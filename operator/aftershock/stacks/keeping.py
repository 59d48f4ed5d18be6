"""Runs a program, and keeps what it lets go of: `python keeping.py PROGRAM ARGUMENT…`. A file of its own, which imports nothing
of Aftershock's: whoever runs it may not be able to read that.

Patroni lets the PostgreSQL that it starts go. It would belong to process 1 then, and no longer to the program that supervisord
keeps: whoever stops that would leave it running.
"""

import ctypes
import os
import signal
import sys
from contextlib import suppress

_PR_SET_CHILD_SUBREAPER = 36
"""prctl(2)."""


def main(line: list[str]) -> int:
    """Run the program until it ends, whatever is left of others; return its exit code, 128 and more for a signal."""
    if ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1) != 0:
        sys.exit("can't keep what the program starts")
    signals = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # until there is somebody to hand them to
    program = os.posix_spawn(line[0], line, os.environ, setsigmask=[])
    for number in signals:
        signal.signal(number, lambda got, _: _hand_on(program, got))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
    while True:
        ended, how = os.wait()
        if ended == program:
            code = os.waitstatus_to_exitcode(how)
            return code if code >= 0 else 128 - code


def _hand_on(program: int, number: int) -> None:
    with suppress(ProcessLookupError):  # it has just ended
        os.kill(program, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
