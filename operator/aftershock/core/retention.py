"""What is old enough to go: by age, by count, or both. Pure; whoever asks does the deleting."""

from collections.abc import Iterable, Sequence

import msgspec


class Kept(msgspec.Struct, frozen=True):
    """Something that can be thrown away: its name, and when it was finished (seconds since the epoch)."""

    name: str
    finished: float


class Limits(msgspec.Struct, frozen=True):
    """`age`: seconds that something is kept after it finished; `count`: the newest so many stay. None: no limit."""

    age: float | None = None
    count: int | None = None


def outdated(things: Iterable[Kept], limits: Limits, now: float) -> Sequence[str]:
    """Return the names of what goes, the oldest first: what is older than the age, or beyond the count.

    >>> outdated([Kept("a", 10), Kept("b", 20), Kept("c", 30)], Limits(age=15, count=2), now=30)
    ['a']
    """
    newest_first = sorted(things, key=lambda thing: (thing.finished, thing.name), reverse=True)
    gone = [
        thing.name
        for number, thing in enumerate(newest_first)
        if (limits.age is not None and now - thing.finished > limits.age)
        or (limits.count is not None and number >= limits.count)
    ]
    return gone[::-1]
