"""What is wrong with a file, told so that it can be put right: where, what was found, and what would do.

Problems are collected, never raised one by one: whoever reads files wants all of them at once.
"""

from collections.abc import Sequence
from difflib import get_close_matches

import msgspec

from aftershock.errors import InputError

Path = tuple[str | int, ...]
"""The way from a document to one of its values: field names and list indices."""


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong. `line` counts from 1, None for what stood in no file; `field` is empty for a whole document."""

    file: str
    line: int | None
    field: str
    message: str
    advice: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return _escaped(": ".join(part for part in (place, self.field, self.message) if part) + f"; {self.advice}")


class Invalid(InputError):
    """Documents that can't be used, with every problem that they have."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n".join([f"{count} found", *map(str, problems)]), "put them right and try again")
        self.problems = tuple(problems)


def printable(text: str) -> str:
    """Return a text for use within a line: cut to 60 characters, control characters escaped."""
    return _escaped(text if len(text) <= 60 else text[:59] + "…")


def _escaped(text: str) -> str:
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def written(path: Path) -> str:
    """Write a path as a field.

    >>> written(("spec", "timeline", 0, "for"))
    'spec.timeline[0].for'
    """
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{printable(step)}" if text else printable(step)
    return text


def nearest(wrong: str, known: Sequence[str]) -> str | None:
    """Return the one of `known` that was probably meant by `wrong`."""
    near = get_close_matches(wrong[:100], known[:200], n=1)  # matching takes long for what nobody wrote by hand
    return near[0] if near else None


def choose(wrong: str, known: Sequence[str], otherwise: str = "leave it out") -> str:
    """Advise one of `known` in place of `wrong`: the nearest if one is near, else all of them; `otherwise` if there are none.

    >>> choose("fro", ["at", "for"])
    'did you mean `for`?'
    >>> choose("x", ["at", "for"])
    'use one of `at`, `for`'
    """
    if near := nearest(wrong, known):
        return f"did you mean `{near}`?"
    if not known:
        return otherwise
    names = ", ".join(f"`{name}`" for name in known[:20]) + (", …" if len(known) > 20 else "")
    return f"use {names}" if len(known) == 1 else f"use one of {names}"
