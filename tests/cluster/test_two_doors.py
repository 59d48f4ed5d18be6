"""The same experiment through the command line, on processes, and through `kubectl apply`, on pods: the same comes out."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from aftershock.stacks import local
from cluster import ground
from cluster.doors import CommandLine, Namespace, Told
from own_home import own_home

LANDED = {"FaultLanded": ("True", "Landed"), "Recovered": ("True", "Held"), "CleanedUp": ("True", "Clean")}
WITHIN = LANDED | {"ObjectivesHeld": ("True", "WithinBudget")}
KNOWN = {
    "slow-database": Told("Passed", WITHIN),
    "no-slots": Told("Passed", WITHIN),
    "connections-reset": Told("Passed", WITHIN),
    "database-unreachable": Told("Failed", LANDED | {"ObjectivesHeld": ("False", "BudgetSpent")}),
    "too-few-to-tell": Told("Inconclusive", WITHIN),
}
"""What each comes to on stack 1k; its file says why."""


@pytest.fixture(scope="module")
def runs() -> Iterator[Path]:
    """Where the command line keeps its runs; stack 1k is up, as processes of this machine."""
    with ground.beside_pods(), own_home() as home:
        local.up("1k", progress=lambda _: None)
        yield home / "runs"


@pytest.mark.parametrize("name", KNOWN)
def test_the_same_experiment_comes_to_the_same_through_both(name: str, runs: Path, meetings: Namespace) -> None:
    typed = CommandLine(name, runs)
    applied = meetings.told(meetings.apply(name))
    assert applied == typed.told() == KNOWN[name]
