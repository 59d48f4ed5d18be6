"""`Run`: one execution. Created by the executor, never written by hand."""

from typing import Literal

from aftershock.model.metadata import ApiVersion, Metadata, Record

PhaseName = Literal["Pending", "Baseline", "Active", "Recovery", "Cleanup", "Judging", "Finished"]
VerdictName = Literal["Passed", "Failed", "Inconclusive", "Aborted", "Error"]


class RunCondition(Record, frozen=True, kw_only=True):
    """One of FaultLanded, ObjectivesHeld, Recovered, CleanedUp, as Kubernetes writes conditions."""

    type: Literal["FaultLanded", "ObjectivesHeld", "Recovered", "CleanedUp"]
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str


class RunSpec(Record, frozen=True, kw_only=True):
    """Which definition is executed, on what."""

    experiment: str
    stack: str


class RunStatus(Record, frozen=True, kw_only=True):
    """Where the run stands. `executor` is `pid:start-time` of the local executor while it lives."""

    phase: PhaseName = "Pending"
    conditions: list[RunCondition] = []
    verdict: VerdictName | None = None
    verdicts: dict[str, VerdictName] = {}
    because: str | None = None
    rto: str | None = None
    journal: str | None = None
    executor: str | None = None
    started: str | None = None
    finished: str | None = None


class Run(Record, frozen=True, kw_only=True, tag_field="kind", tag="Run"):
    """One execution of an Experiment."""

    api_version: ApiVersion
    metadata: Metadata
    spec: RunSpec
    status: RunStatus = RunStatus()
