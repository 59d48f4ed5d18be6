"""Every error that a user can meet, in one tree.

Each says what is wrong and what to do next; the command line prints both and exits with the class's code. Nothing else
in the house prints errors, and nothing raises a bare Exception for a state of the world.
"""

from typing import ClassVar


class AftershockError(Exception):
    """What went wrong (`str(error)`) and what to do about it (`error.advice`)."""

    exit_code: ClassVar[int] = 3

    def __init__(self, problem: str, advice: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.advice = advice


class InputError(AftershockError):
    """What the user wrote can't be carried out: wrong YAML, an unknown fault, a target that the stack doesn't name."""

    exit_code = 4


class TargetError(AftershockError):
    """A target can't be reached, or refuses: a dead database, a wrong password, a Toxiproxy that is gone."""

    exit_code = 5


class WedgedError(TargetError):
    """A target answers, but not to what would heal it: a Toxiproxy whose DELETE hangs."""


class HeldError(AftershockError):
    """Another run holds the target; two runs never hold one."""

    exit_code = 6


class JournalError(AftershockError):
    """The journal can't be written (a full disk) or isn't one. A run whose journal fails heals and ends."""

    exit_code = 7


class StackError(AftershockError):
    """The local stack can't be brought up, found or taken down."""

    exit_code = 8


class ResidueError(AftershockError):
    """A fault could not be removed: something of a run is still at a target."""

    exit_code = 9
