"""What goes, and what stays."""

import random

import pytest

from aftershock.core.retention import Kept, Limits, outdated

THINGS = [Kept("a", 100.0), Kept("c", 300.0), Kept("b", 200.0)]


@pytest.mark.parametrize(
    ("limits", "gone"),
    [
        (Limits(), []),
        (Limits(age=150), ["a"]),
        (Limits(age=200), []),
        (Limits(count=1), ["a", "b"]),
        (Limits(count=0), ["a", "b", "c"]),
        (Limits(age=50, count=2), ["a", "b"]),
    ],
    ids=str,
)
def test_the_oldest_go_first(limits: Limits, gone: list[str]) -> None:
    assert outdated(THINGS, limits, now=300.0) == gone


def test_whatever_the_limits_nothing_newer_goes_before_something_older() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(200):
        things = [Kept(str(n), float(rng.randrange(50))) for n in range(rng.randrange(12))]
        limits = Limits(rng.choice([None, 10.0]), rng.choice([None, rng.randrange(8)]))
        gone = outdated(things, limits, now=50.0)
        stays = [thing.finished for thing in things if thing.name not in gone]
        left = [thing.finished for thing in things if thing.name in gone]
        assert not stays or not left or max(left) <= min(stays)
