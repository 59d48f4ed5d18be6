"""A replica that doesn't catch up after the fault is healed: the run says so, and leaves nothing of its own behind."""

from pathlib import Path

import psycopg

from aftershock.adapters import secrets
from aftershock.core.history import Observed
from aftershock.core.verdict import Truth, Verdict
from aftershock.runtime import loading
from aftershock.stacks import local
from component.test_stacks_local import quiet
from own_home import own_home
from whole_runs import document, going


def test_a_replica_that_never_catches_up_is_not_called_recovered(tmp_path: Path) -> None:
    """Somebody else holds it back from the middle of the fault on."""
    with own_home() as home:
        stack = local.up("10k", progress=quiet)
        experiment = document(
            tmp_path,
            "Experiment",
            "left-behind",
            {
                "stack": "meetings-10k",
                "expect": [{"indicator": "replica-lag", "during": "recovery", "atLeast": "50%"}],
                "baseline": {"for": "2s"},
                "timeline": [
                    {"at": "1s", "for": "6s", "fault": "replica-lag", "target": "replica", "with": {"lag": "2s"}}
                ],
                "recovery": {"watch": "10s", "steady": "3s"},
            },
        )
        with going(["run", experiment, "--stack", stack, "--json"], home) as run:
            run.until(Observed, lambda seen: seen.when == "during" and seen.holds)
            hold_back(stack, "60s")
            done = run.wait()
        hold_back(stack, "0")
    claim = done.claim("expect", "replica-lag during recovery")
    assert claim.truth is Truth.FALSE, claim
    assert done.verdict == (Verdict.FAILED, 1)
    assert done.condition("CleanedUp").status == "True"
    (bracket,) = [one for one in done.judgement.recovery if one.indicator == "replica-lag"]
    assert bracket.began is not None
    assert bracket.rto is None, "its outage is not over"


def hold_back(stack: Path, delay: str) -> None:
    """Have the replica apply what it gets so much after it was committed."""
    spec = loading.stack_from(stack).spec
    (replica,) = [each for each in spec.databases if each.role == "replica"]
    assert replica.observer is not None
    with psycopg.connect(secrets.read(replica.observer, stack.parent), autocommit=True) as observer:
        observer.execute(f"ALTER SYSTEM SET recovery_min_apply_delay = '{delay}'".encode())
        observer.execute("SELECT pg_reload_conf()")
