"""`Era`: an SLA profile of one scale. Every figure says where it comes from."""

from typing import Literal

from aftershock.model.metadata import ApiVersion, Metadata, Record
from aftershock.model.units import Duration, Percentage, Quantity


class Source(Record, frozen=True, kw_only=True):
    """How sure a figure is. A stated figure is a promise, an achieved one a measurement; neither is printed as the other."""

    kind: Literal["stated", "achieved", "inherited", "derived"]
    note: str | None = None


class Objective(Record, frozen=True, kw_only=True):
    """An indicator with a target.

    With `target` alone: a share of good requests. With `below`: a latency objective, whose `statistic` over a rolling
    second has to stay under `below`; the share of time in which it must is `target`, or where that is absent the target
    of the era's first availability objective.
    """

    name: str
    indicator: str
    target: Percentage | None = None
    statistic: Literal["mean", "p50", "p90", "p95", "p99", "max"] | None = None
    below: Duration | None = None
    source: Source


class RecoveryPoint(Record, frozen=True, kw_only=True):
    """A duration with its source: an RPO or an RTO."""

    value: Duration
    source: Source


class EraRecovery(Record, frozen=True, kw_only=True):
    """What the era says of recovery. `rto` is derived from budget and share where no era states one."""

    rpo: RecoveryPoint | None = None
    rto: RecoveryPoint | None = None


class Figure(Record, frozen=True, kw_only=True):
    """A figure of the history that is carried but not judged (`why` says why not)."""

    name: str
    value: str
    source: Source
    why: str


class Scale(Record, frozen=True, kw_only=True):
    """How large the service was. Counts, with the source that they have in common."""

    users: Quantity | None = None
    concurrent_users: Quantity | None = None
    concurrent_meetings: Quantity | None = None
    source: Source | None = None


class EraSpec(Record, frozen=True, kw_only=True):
    """The window and how much of its error budget one incident may spend; objectives; recovery."""

    years: str | None = None
    scale: Scale = Scale()
    window: Duration = Duration(30 * 86400)
    incident_share: Percentage = Percentage(0.10)
    objectives: list[Objective]
    recovery: EraRecovery = EraRecovery()
    figures: list[Figure] = []


class Era(Record, frozen=True, kw_only=True, tag_field="kind", tag="Era"):
    """An SLA profile of one scale."""

    api_version: ApiVersion
    metadata: Metadata
    spec: EraSpec
