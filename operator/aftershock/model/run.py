"""`Run`: one execution. Created by the executor, the operator or `kubectl aftershock run`, and seldom by hand."""

from typing import Literal

from aftershock.model.experiment import ExperimentSpec
from aftershock.model.metadata import ApiVersion, Metadata, Record

PhaseName = Literal["Pending", "Baseline", "Active", "Recovery", "Cleanup", "Judging", "Finished"]
VerdictName = Literal["Passed", "Failed", "Inconclusive", "Aborted", "Error"]


class RunCondition(Record, frozen=True, kw_only=True):
    """As Kubernetes writes conditions.

    FaultLanded, ObjectivesHeld, Recovered and CleanedUp are the judge's. `Started` says what a run that has not begun
    waits for; `StuckOnCleanup` that something of it is left which needs somebody's hands.
    """

    type: Literal["FaultLanded", "ObjectivesHeld", "Recovered", "CleanedUp", "Started", "StuckOnCleanup"]
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str
    observed_generation: int | None = None
    last_transition_time: str | None = None


class RunSpec(Record, frozen=True, kw_only=True):
    """Which definition is executed, on what, and judged by which eras (its own, or else the stack's).

    `definition` is the experiment's spec as it was when the run was made, `generation` the number of that version: a
    change of the experiment changes no run. `abort` ends the run: it heals, cleans up and is judged.
    """

    experiment: str
    stack: str
    eras: list[str] = []
    definition: ExperimentSpec | None = None
    generation: int | None = None
    abort: bool = False


class RunStatus(Record, frozen=True, kw_only=True):
    """Where the run stands. `executor` is what carries it out: a process id, or a job's pod. `token` is what its leases bear.

    `journal` says where the journal lies. `era` is the one with the worst verdict, of which conditions and reason speak;
    before there is a verdict, the only one that is to judge.
    """

    phase: PhaseName = "Pending"
    conditions: list[RunCondition] = []
    verdict: VerdictName | None = None
    verdicts: dict[str, VerdictName] = {}
    era: str | None = None
    because: str | None = None
    rto: str | None = None
    journal: str | None = None
    executor: str | None = None
    token: str | None = None
    started: str | None = None
    finished: str | None = None


class Run(Record, frozen=True, kw_only=True, tag_field="kind", tag="Run"):
    """One execution of an Experiment."""

    api_version: ApiVersion
    metadata: Metadata
    spec: RunSpec
    status: RunStatus = RunStatus()
