"""`Experiment`: faults on a timeline with a hypothesis."""

from typing import Any, Literal

from aftershock.model.metadata import ApiVersion, Metadata, Record
from aftershock.model.stack import Allow
from aftershock.model.units import Duration, Percentage, Rate


class Expectation(Record, frozen=True, kw_only=True):
    """A part of the hypothesis as a claim: a share of good requests of one indicator, during the fault or the recovery."""

    indicator: str
    during: Literal["fault", "recovery"]
    at_least: Percentage | None = None
    at_most: Percentage | None = None
    counted: Literal["probes", "load"] = "probes"


class Load(Record, frozen=True, kw_only=True):
    """An open-loop load: the indicator's request, `rate` times a second, sent on schedule whatever comes back.

    `shards` generators send it together, each every `shards`-th request: pods in a cluster, else processes.
    """

    indicator: str
    rate: Rate
    shards: int = 1


class Injection(Record, frozen=True, kw_only=True):
    """One fault on the timeline. `at` counts from the end of the baseline; `represents` is the time it stands for."""

    at: Duration = Duration(0)
    for_: Duration
    represents: Duration | None = None
    fault: str
    target: str
    with_: dict[str, Any] = {}


class Guardrail(Record, frozen=True, kw_only=True):
    """Abort when the share of good requests of `indicator` stays below `below` for `for`."""

    indicator: str
    below: Percentage
    for_: Duration


class Baseline(Record, frozen=True, kw_only=True):
    """How long the stack is watched before anything is injected."""

    for_: Duration = Duration(10)


class Recovery(Record, frozen=True, kw_only=True):
    """After healing: wait until every objective has held for `steady`, at the most `watch`."""

    watch: Duration = Duration(120)
    steady: Duration = Duration(10)


class Schedule(Record, frozen=True, kw_only=True):
    """When runs begin by themselves: `cron` has five fields (minute, hour, day, month, weekday), read in `timeZone`.

    A run that could not begin within `startingDeadline` of its time is skipped. `concurrency` says what happens while the
    one before is still going on: both (`Allow`), the new one is skipped (`Forbid`), or the old one is ended (`Replace`).
    """

    cron: str
    time_zone: str = "Etc/UTC"
    concurrency: Literal["Allow", "Forbid", "Replace"] = "Forbid"
    starting_deadline: Duration = Duration(600)


class HistoryLimit(Record, frozen=True, kw_only=True):
    """How many finished runs of the experiment are kept in the cluster; the oldest go first."""

    passed: int = 5
    others: int = 20


class ExperimentSpec(Record, frozen=True, kw_only=True):
    """What is done, to which stack, under which load, and what is expected of it.

    In a cluster, `trigger` says when a Run is made: when the definition is applied or its spec changes, only when somebody
    asks, or on a `schedule`. A Run waits up to `waitFor` for its Stack, its Secrets and its target to be there and free.
    """

    stack: str
    eras: list[str] = []
    hypothesis: str | None = None
    expect: list[Expectation] = []
    load: Load | None = None
    baseline: Baseline = Baseline()
    timeline: list[Injection] = []
    guardrails: list[Guardrail] = []
    recovery: Recovery = Recovery()
    allow: Allow = Allow()
    trigger: Literal["OnApply", "Manual", "Schedule"] = "OnApply"
    schedule: Schedule | None = None
    wait_for: Duration = Duration(600)
    history_limit: HistoryLimit = HistoryLimit()


class ExperimentCondition(Record, frozen=True, kw_only=True):
    """Whether the definition can be run, as Kubernetes writes conditions."""

    type: Literal["Ready"]
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str
    observed_generation: int | None = None
    last_transition_time: str | None = None


class ExperimentStatus(Record, frozen=True, kw_only=True):
    """What the operator made of the definition. Never written by hand."""

    observed_generation: int | None = None
    conditions: list[ExperimentCondition] = []
    active: list[str] = []
    last_run: str | None = None
    last_verdict: str | None = None
    last_scheduled: str | None = None


class Experiment(Record, frozen=True, kw_only=True, tag_field="kind", tag="Experiment"):
    """Faults on a timeline with a hypothesis."""

    api_version: ApiVersion
    metadata: Metadata
    spec: ExperimentSpec
    status: ExperimentStatus = ExperimentStatus()
