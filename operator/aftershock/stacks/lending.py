"""Runs Patroni, and hands on none of what it was lent: `python lending.py CONFIGURATION`. A file of its own, which imports
nothing of Aftershock's: whoever runs it may not be able to read that.

The servers' account may be lent the right to read this Python (`patroni.lent`), and Patroni needs it as long as it lives. What
it starts does not: PostgreSQL runs commands for whoever may set it, and each could read every file of this machine. Only the
Python by which Patroni starts PostgreSQL needs it again, and comes by here too: multiprocessing has it import the main program.
"""

import ctypes
import importlib
import sys
from collections.abc import Sequence
from multiprocessing import util
from typing import Any

_PR_CAP_AMBIENT, _IS_SET, _RAISE, _LOWER = 47, 1, 2, 3
"""prctl(2). The ambient capabilities are those that a program gets from who starts it. Each thread has its own."""
_CAP_DAC_READ_SEARCH = 2


def keep() -> bool:
    """Hand nothing on from now on; tell whether there was something."""
    lent = _ambient(_IS_SET) == 1
    if lent and _ambient(_LOWER) != 0:
        sys.exit("can't keep what was lent from what is started")
    return lent


def but_for_python() -> None:
    """Hand it on all the same to each Python that multiprocessing starts."""
    start = util.spawnv_passfds

    def lending(path: bytes, args: Sequence[Any], passfds: Sequence[int]) -> int:
        _ambient(_RAISE)
        try:
            return start(path, args, passfds)
        finally:
            keep()

    util.spawnv_passfds = lending


def _ambient(what: int) -> int:
    return int(ctypes.CDLL(None).prctl(_PR_CAP_AMBIENT, *map(ctypes.c_ulong, (what, _CAP_DAC_READ_SEARCH, 0, 0))))


if __name__ in {"__main__", "__mp_main__"} and keep():
    but_for_python()
if __name__ == "__main__":
    importlib.import_module("patroni.__main__").main()
