"""What is counted, and that it is counted once; the page, the alerts and the dashboard speak of metrics that exist."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import yaml

from aftershock.core.lease import Lease
from aftershock.errors import TargetError
from aftershock.runtime.cluster import metrics, tally
from aftershock.runtime.cluster.metrics import Metrics
from aftershock.runtime.cluster.tally import ReaperTally, RunTally
from aftershock.runtime.reaper import Sweep

ROOT = Path(__file__).parent.parent.parent
CHART = ROOT / "charts" / "aftershock"


def now(seconds: float = 0) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="seconds")


def run(phase: str | None, uid: str = "u", created: float = 1, **status: Any) -> dict[str, Any]:
    meta = {"uid": uid, "name": "slow-1", "namespace": "shop", "creationTimestamp": now(created).replace("+00:00", "Z")}
    return {
        "metadata": meta,
        "spec": {"experiment": "slow", "stack": "s"},
        "status": {"phase": phase, **status} if phase else {},
    }


PASSED = {"verdict": "Passed", "era": "1k", "finished": now(86400)}  # later than any test begins
LABELS = {"namespace": "shop", "experiment": "slow", "era": "1k", "verdict": "Passed"}


def test_a_finished_run_is_counted_once_however_often_it_is_seen() -> None:
    to = Metrics("operator")
    counts = RunTally(to)
    for _ in range(3):
        counts.saw(run("Judging"))
    for _ in range(3):
        counts.saw(run("Finished", **PASSED))
    assert to.value(metrics.RUNS, **LABELS) == 1


def test_a_restarted_operator_does_not_count_what_had_finished_before() -> None:
    to = Metrics("operator")
    counts = RunTally(to)
    counts.saw(run("Finished", **{**PASSED, "finished": now(-60)}))
    assert to.value(metrics.RUNS, **LABELS) is None
    counts.saw(run("Finished", uid="another", **PASSED))
    assert to.value(metrics.RUNS, **LABELS) == 1


def test_phases_are_timed_from_beginnings_that_were_seen() -> None:
    to = Metrics("operator")
    counts = RunTally(to)
    counts.saw(run(None, uid="old", created=-60))
    counts.saw(run("Baseline", uid="old", created=-60))
    assert to.registry.get_sample_value("aftershock_run_phase_seconds_count", {"phase": "Pending"}) is None
    counts.saw(run(None))
    counts.saw(run("Baseline"))
    counts.saw(run("Active"))
    for phase in ("Pending", "Baseline"):
        assert to.registry.get_sample_value("aftershock_run_phase_seconds_count", {"phase": phase}) == 1
    assert to.value(metrics.GOING, phase="Baseline") == 1
    counts.gone(run("Baseline", uid="old"))
    assert to.value(metrics.GOING, phase="Baseline") == 0


def test_a_fault_that_did_not_land_and_a_stuck_run_are_counted() -> None:
    to = Metrics("operator")
    counts = RunTally(to)
    stuck = [{"type": "StuckOnCleanup", "status": "True"}]
    counts.saw(run("Cleanup", conditions=stuck))
    assert to.value(metrics.STUCK, namespace="shop") == 1
    missed = [{"type": "FaultLanded", "status": "False", "reason": "NotObserved"}]
    counts.saw(run("Finished", **PASSED, conditions=missed))
    assert to.value(metrics.STUCK, namespace="shop") == 0
    assert to.value(metrics.NOT_LANDED, namespace="shop", experiment="slow", reason="NotObserved") == 1


LEASE = Lease("latency", "k3f9a2x1", 1790000000)


def test_residue_is_found_once_stays_overdue_and_is_healed_once() -> None:
    to = Metrics("reaper")
    counts = ReaperTally(to)
    counts.looked("shop", "database primary", Sweep(held=[LEASE, LEASE]))
    assert to.value(metrics.HELD, stack="shop") == 1
    for _ in range(3):
        counts.looked("shop", "database primary", Sweep(due=[LEASE], left=["won't go"]))
    assert (to.value(metrics.OVERDUE, stack="shop"), to.value(metrics.HELD, stack="shop")) == (1, 0)
    assert to.value(metrics.HEALS, stack="shop", fault="latency") is None
    counts.looked("shop", "database primary", Sweep(due=[LEASE], healed=["healed it"]))
    counts.looked("shop", "database primary", Sweep())
    assert to.value(metrics.OVERDUE, stack="shop") == 0
    assert to.value(metrics.HEALS, stack="shop", fault="latency") == 1
    assert to.value(metrics.RESIDUE, stack="shop", fault="latency") == 1


def test_a_place_that_does_not_answer_is_told_and_one_that_is_gone_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    to = Metrics("reaper")
    counts = ReaperTally(to)
    counts.looked("gone", "database primary", Sweep(unreachable=["no answer"]))
    assert to.value(metrics.UNREACHABLE, stack="gone") == 1
    monkeypatch.setattr(tally, "STALE", -1.0)
    counts._forget()
    assert to.value(metrics.UNREACHABLE, stack="gone") is None


def test_they_are_served_and_a_port_that_is_taken_is_said() -> None:
    to = Metrics("reaper")
    end = to.serve(0, "127.0.0.1")
    try:
        port = end.port
        page = urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
        assert re.search(r'aftershock_build_info\{part="reaper",version="[^"]+"\} 1.0', page)
        with pytest.raises(TargetError, match=f"port {port}"):
            to.serve(port, "127.0.0.1")
    finally:
        end()


def test_the_page_is_up_to_date() -> None:
    page = (ROOT / metrics.FILE).read_text(encoding="utf-8")
    assert page == metrics.text(), "run: python -m aftershock.runtime.cluster.metrics"


EXPORTED = {metric.exported for metric in metrics.METRICS} | {
    f"{metric.name}{suffix}"
    for metric in metrics.METRICS
    if metric.kind == "histogram"
    for suffix in ("_bucket", "_sum", "_count")
}


def test_alerts_and_dashboard_ask_only_for_what_is_exported() -> None:
    rules = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    board = json.loads((CHART / "files" / "dashboard.json").read_text())
    asked = [alert["expr"] for alert in alerts]
    asked += [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    named = {name for expression in asked for name in re.findall(r"\baftershock_\w+", expression)}
    assert named <= EXPORTED
    assert len(alerts) >= 6
    assert all({"summary", "description"} <= set(alert["annotations"]) for alert in alerts)
