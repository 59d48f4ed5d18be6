"""The experiments that ship, applied as they are to the era's stack in pods: those that fit it come to what is known of them.

Each takes about a minute, so that all of them are for `make soak`; shorter ones of the same faults are in every run.
"""

import os
from pathlib import Path

import pytest

from aftershock.adapters import catalog
from aftershock.faults.registry import FAULTS
from aftershock.model.load import Document, load
from aftershock.model.problem import Invalid
from aftershock.model.stack import Stack
from aftershock.runtime.cluster import objects
from aftershock.runtime.loading import check_fit
from cluster.doors import Namespace, Told

SHIPPED = catalog.data() / "experiments"
LANDED = {"FaultLanded": ("True", "Landed"), "Recovered": ("True", "Held"), "CleanedUp": ("True", "Clean")}
PASSED = Told("Passed", LANDED | {"ObjectivesHeld": ("True", "WithinBudget")})
KNOWN = {
    "database-silent": PASSED,
    "database-unreachable": PASSED,
    "db-connection-exhaustion": PASSED,
    "slow-database": PASSED,
    "traffic-spike": PASSED,
    "kubernetes/pod-kill": PASSED,
    "kubernetes/workload-hold-down": PASSED,
}
"""What each comes to: era 1k allows an incident 3 h 36 min, and none of them stands for as much."""

REFUSED = ("app-killed", "app-paused", "database-down", "kubernetes/region-loss")
"""Their targets are there, and lack what the fault takes: a supervisor, or a word on which nodes are the region's."""


def fits(file: Path, stack: Document[Stack]) -> bool:
    (document,) = load(file, FAULTS).sound()
    try:
        check_fit(document, stack)  # type: ignore[arg-type]
    except Invalid:
        return False
    return True


def test_it_is_known_what_each_comes_to_that_fits(meetings: Namespace) -> None:
    stack = objects.document(meetings.tree("stack", "meetings-1k"), Stack)
    fitting = {file for file in SHIPPED.rglob("*.yaml") if fits(file, stack)}
    assert {str(file.relative_to(SHIPPED).with_suffix("")) for file in fitting} == {*KNOWN, *REFUSED}


@pytest.mark.skipif(not os.environ.get("AFTERSHOCK_SOAK"), reason="AFTERSHOCK_SOAK is not set")
@pytest.mark.parametrize("name", KNOWN)
def test_it_comes_to_what_is_known_of_it(name: str, meetings: Namespace) -> None:
    assert meetings.told(meetings.apply(SHIPPED / f"{name}.yaml")) == KNOWN[name]


@pytest.mark.skipif(not os.environ.get("AFTERSHOCK_SOAK"), reason="AFTERSHOCK_SOAK is not set")
@pytest.mark.parametrize("name", REFUSED)
def test_what_lacks_something_is_refused_and_touches_nothing(name: str, meetings: Namespace) -> None:
    before = meetings.pods("app.kubernetes.io/part-of=meetings-1k")
    told = meetings.told(meetings.apply(SHIPPED / f"{name}.yaml"))
    assert told.verdict == "Error" and told.conditions["CleanedUp"] == ("True", "Clean"), told
    assert meetings.pods("app.kubernetes.io/part-of=meetings-1k") == before
