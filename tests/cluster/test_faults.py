"""Faults through the Kubernetes API, on real pods."""

from cluster.doors import Namespace


def test_a_killed_pod_is_gone_and_replaced(meetings: Namespace) -> None:
    before = meetings.pods("app.kubernetes.io/name=app")
    told = meetings.told(meetings.apply("pod-killed"))
    assert told.conditions["FaultLanded"] == ("True", "Landed"), told
    assert told.conditions["Recovered"] == ("True", "Held"), told
    assert told.conditions["CleanedUp"] == ("True", "Clean"), told
    after = meetings.pods("app.kubernetes.io/name=app")
    assert len(after) == len(before) == 1 and after != before


def test_a_policy_that_no_network_enforces_has_not_landed(meetings: Namespace) -> None:
    told = meetings.told(meetings.apply("not-cut-off"))
    assert told.verdict == "Inconclusive", told
    assert told.conditions["FaultLanded"] == ("False", "NeverLanded"), told
    assert told.conditions["CleanedUp"] == ("True", "Clean"), told
    assert meetings.tree("networkpolicies", "-l", "aftershock.dev/run")["items"] == []
