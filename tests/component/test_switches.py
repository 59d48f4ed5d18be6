"""What history changed after an incident changes the verdict: on real stacks, as they come and with a switch turned.

The journals of all such runs lie in `docs/evidence/` and are judged anew by the unit tests. Here one pair runs live; with
AFTERSHOCK_SOAK=1 all do.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from aftershock.stacks import local
from component.test_stacks_local import quiet
from evidence import EXPERIMENTS, SWITCHED
from own_home import own_home
from whole_runs import type_in

SOAK = bool(os.environ.get("AFTERSHOCK_SOAK"))
AS_IT_COMES = ""
PASSED, FAILED = 0, 1
CODES = {
    ("overload", AS_IT_COMES): FAILED,
    ("peak-hour", "CACHE=off"): FAILED,
    ("replica-lag", AS_IT_COMES): FAILED,
}
"""The exit codes of what does not pass."""

LIVE = [("10k", "replica-lag", AS_IT_COMES), ("10k", "replica-lag", "READS=split")]
"""What doesn't depend on how fast the machine is: no load is too much for a machine of any size."""

ALL = [
    (era, experiment, way)
    for era, each in SWITCHED.items()
    for experiment, ways in each.items()
    for way in (AS_IT_COMES, *ways)
]


@pytest.fixture
def home() -> Iterator[Path]:
    with own_home() as folder:
        yield folder


@pytest.mark.parametrize(("era", "experiment", "way"), ALL if SOAK else LIVE)
def test_a_switch_changes_the_verdict(home: Path, era: str, experiment: str, way: str) -> None:
    stack = local.up(era, progress=quiet, switched=dict(one.split("=", 1) for one in way.split(",") if one))
    done = type_in(home, "run", EXPERIMENTS / f"{experiment}.yaml", "--stack", stack)
    assert done.code == CODES.get((experiment, way), PASSED), done.said
