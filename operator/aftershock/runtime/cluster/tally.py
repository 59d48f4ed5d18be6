"""What is counted, and when: Runs as the operator sees them go by, and looks of the reaper. It writes metrics, nothing else.

A watch shows an object many times, and shows all of them again after a restart. Each run is counted once, and only if it
finished after this process began.
"""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aftershock.core.lease import Lease
from aftershock.core.phases import Phase
from aftershock.runtime.cluster import metrics
from aftershock.runtime.cluster.metrics import Metrics
from aftershock.runtime.cluster.objects import condition
from aftershock.runtime.reaper import Sweep

PHASES = tuple(phase.name.capitalize() for phase in Phase if phase is not Phase.FINISHED)


@dataclass(frozen=True)
class _Seen:
    """How a run stood when it was seen last; `since` is None where the beginning of its phase was not seen."""

    namespace: str
    phase: str
    since: float | None
    stuck: bool


class RunTally:
    """The operator's counts."""

    def __init__(self, to: Metrics) -> None:
        self._to = to
        self._began = datetime.now(UTC).replace(microsecond=0)  # the API writes whole seconds
        self._seen: dict[str, _Seen] = {}
        self._namespaces: set[str] = set()

    def saw(self, run: Mapping[str, Any]) -> None:
        """Take in a Run as the API has it, however often."""
        meta, status = run["metadata"], run.get("status") or {}
        before = self._seen.get(meta["uid"])
        now = _Seen(meta["namespace"], status.get("phase") or "Pending", self._since(before, run), _stuck(status))
        self._seen[meta["uid"]] = now
        if before is not None and before.phase != now.phase and before.since is not None:
            self._to.observe(metrics.PHASE, time.monotonic() - before.since, phase=before.phase)
        if now.phase == "Finished" and self._is_news(before, status):
            self._finished(run)
        self._now()

    def gone(self, run: Mapping[str, Any]) -> None:
        """A Run was deleted: it is no longer among those that are."""
        self._seen.pop(run["metadata"]["uid"], None)
        self._now()

    def _since(self, before: _Seen | None, run: Mapping[str, Any]) -> float | None:
        phase = (run.get("status") or {}).get("phase") or "Pending"
        if before is not None and before.phase == phase:
            return before.since
        created = _time(run["metadata"].get("creationTimestamp"))
        fresh = before is not None or (phase == "Pending" and created is not None and created >= self._began)
        return time.monotonic() if fresh else None

    def _is_news(self, before: _Seen | None, status: Mapping[str, Any]) -> bool:
        if before is not None:
            return before.phase != "Finished"
        finished = _time(status.get("finished"))
        return finished is not None and finished >= self._began

    def _finished(self, run: Mapping[str, Any]) -> None:
        status, where = run["status"], run["metadata"]["namespace"]
        experiment = str(run["spec"]["experiment"])
        era, verdict = str(status.get("era") or ""), str(status.get("verdict") or "Error")
        self._to.count(metrics.RUNS, namespace=where, experiment=experiment, era=era, verdict=verdict)
        landed = _condition(status, "FaultLanded")
        if landed.get("status") == "False":
            reason = str(landed.get("reason") or "")
            self._to.count(metrics.NOT_LANDED, namespace=where, experiment=experiment, reason=reason)

    def _now(self) -> None:
        going = Counter(seen.phase for seen in self._seen.values())
        for phase in PHASES:
            self._to.set(metrics.GOING, going[phase], phase=phase)
        stuck = Counter(seen.namespace for seen in self._seen.values() if seen.stuck)
        self._namespaces |= {seen.namespace for seen in self._seen.values()}
        for namespace in self._namespaces:
            self._to.set(metrics.STUCK, stuck[namespace], namespace=namespace)


@dataclass(frozen=True)
class _Look:
    """What one place showed, and when."""

    at: float
    held: frozenset[Lease]
    overdue: frozenset[Lease]
    unreachable: bool


STALE = 300.0
"""Seconds after which a place that is looked at no more (its stack is gone) is forgotten."""


class ReaperTally:
    """The reaper's counts."""

    def __init__(self, to: Metrics) -> None:
        self._to = to
        self._looks: dict[tuple[str, str], _Look] = {}

    def looked(self, stack: str, place: str, swept: Sweep) -> None:
        """Take in what one look at one place of a stack came to."""
        before = self._looks.get((stack, place))
        due = frozenset(swept.due)
        for lease in due - (before.overdue if before is not None else frozenset()):
            self._to.count(metrics.RESIDUE, stack=stack, fault=lease.fault)
        overdue = frozenset() if swept.healed else due
        for lease in due - overdue:
            self._to.count(metrics.HEALS, stack=stack, fault=lease.fault)
        self._looks[stack, place] = _Look(time.time(), frozenset(swept.held), overdue, bool(swept.unreachable))
        self._forget()
        self._now(stack)

    def _now(self, stack: str) -> None:
        looks = [look for (of, _), look in self._looks.items() if of == stack]
        self._to.set(metrics.HELD, len(frozenset[Lease]().union(*(look.held for look in looks))), stack=stack)
        self._to.set(metrics.OVERDUE, len(frozenset[Lease]().union(*(look.overdue for look in looks))), stack=stack)
        self._to.set(metrics.UNREACHABLE, sum(look.unreachable for look in looks), stack=stack)
        self._to.set(metrics.LOOKED, max(look.at for look in looks), stack=stack)

    def _forget(self) -> None:
        known = {stack for stack, _ in self._looks}
        self._looks = {key: look for key, look in self._looks.items() if time.time() - look.at < STALE}
        for stack in known - {stack for stack, _ in self._looks}:
            for metric in (metrics.HELD, metrics.OVERDUE, metrics.UNREACHABLE, metrics.LOOKED):
                self._to.remove(metric, stack)


def _stuck(status: Mapping[str, Any]) -> bool:
    return _condition(status, "StuckOnCleanup").get("status") == "True"


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return condition(status.get("conditions") or [], kind) or {}


def _time(text: object) -> datetime | None:
    try:
        read = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)
