"""A plan as text: what would happen, to what, for how long, and what it would be judged by. Pure."""

from collections.abc import Iterator, Sequence

from aftershock.core import front
from aftershock.core.held import says, target_of
from aftershock.core.plan import Plan, Step, lease_seconds
from aftershock.core.settling import too_short
from aftershock.faults.registry import FAULTS
from aftershock.model.against import TARGETS, names
from aftershock.model.era import Era
from aftershock.model.experiment import Expectation, Experiment
from aftershock.model.stack import Stack
from aftershock.reports.wording import duration, one_line, share

WIDTH = 50
"""Columns of the drawn timeline."""


def text(plan: Plan, experiment: Experiment, stack: Stack, eras: Sequence[Era]) -> str:
    """Return the outline of a run: at most as long as plan and recovery can take."""
    parts = [_head(plan, experiment), _timeline(plan), _blast_radius(plan, stack), _judged(experiment, stack, eras)]
    notes = [f"note: {one}" for one in doubts(plan, stack, eras)]
    return "\n".join([*(line for part in parts for line in part), *([""] if notes else []), *notes])


def doubts(plan: Plan, stack: Stack, eras: Sequence[Era]) -> list[str]:
    """Return why a run of this plan can't be decided, whatever it shows, and what would do: a line each."""
    return [
        *_unmeasured(stack, eras),
        *(
            f"{short.step.fault} at {short.step.target} is held for {duration(short.step.end - short.step.start)}, too short "
            f"to stand for {duration(short.step.represents or 0)}: {short.objective} needs at least {duration(short.needed)}, "
            f"since the last {duration(short.timeout)} (a timeout) don't count"
            for short in too_short(plan, stack, eras)
        ),
    ]


def _unmeasured(stack: Stack, eras: Sequence[Era]) -> Iterator[str]:
    """Yield what the eras judge and the stack doesn't measure: a line for each indicator that it lacks."""
    measured = {indicator.name for indicator in stack.spec.indicators}
    lacking: dict[str, list[str]] = {}
    for era in eras:
        for one in era.spec.objectives:
            if one.indicator not in measured:
                lacking.setdefault(one.indicator, []).append(f"{one.name} (era {era.metadata.name})")
    for indicator, objectives in lacking.items():
        yield (
            f"stack {stack.metadata.name} doesn't measure {indicator}, so {', '.join(objectives)} can't be decided: add an "
            f"indicator {indicator} to the Stack, or take an era that judges what it measures"
        )


def _head(plan: Plan, experiment: Experiment) -> Iterator[str]:
    yield f"{plan.experiment} on {plan.stack} ({plan.environment}), at most {duration(plan.longest)}"
    if experiment.spec.hypothesis:
        yield f"  {one_line(experiment.spec.hypothesis.strip())}"
    yield ""


def _timeline(plan: Plan) -> Iterator[str]:
    yield "timeline:"
    begin = plan.baseline
    yield f"  {0:6.1f} s  baseline: every objective is watched for {duration(plan.baseline)}"
    for step in plan.steps:
        stands = f", standing for {duration(step.represents)}" if step.represents else ""
        yield f"  {begin + step.start:6.1f} s  {step.fault} at {step.target} until {begin + step.end:.1f} s{stands}"
        yield f"            |{_bar(step, plan.active)}|"
    yield (
        f"  {begin + plan.active:6.1f} s  recovery: until every objective has held for {duration(plan.steady)}, "
        f"at most {duration(plan.watch)}"
    )
    if plan.load:
        yield f"  load: {plan.load[1]:g} requests a second on {plan.load[0]}, throughout{_together(plan)}"
    yield ""


def _together(plan: Plan) -> str:
    return f", sent by {plan.shards} generators together" if plan.shards > 1 else ""


def _bar(step: Step, length: float) -> str:
    first = round(step.start / length * WIDTH) if length else 0
    last = max(first + 1, round(step.end / length * WIDTH)) if length else WIDTH
    return " " * first + "█" * (last - first) + " " * (WIDTH - last)


def _blast_radius(plan: Plan, stack: Stack) -> Iterator[str]:
    yield "blast radius:"
    if not plan.steps:
        yield "  none: no fault is injected"
    for step in plan.steps:
        given = ", ".join(f"{name} {value}" for name, value in step.parameters.items())
        what = f"{step.fault} ({given})" if given else step.fault
        lease = f"lease {duration(lease_seconds(step))}, then it ends without us"
        yield f"  {step.target} ({_kind(step, stack)}): {what}; {lease}"
    for service in front.concerned(stack, plan.steps):
        yield f"  the Service {service}: all that connects to it meanwhile goes through a Toxiproxy that is put in front of it"
    yield ""


def _kind(step: Step, stack: Stack) -> str:
    """Return what the target is to this fault: a database is also a workload, where it is killed."""
    kind = FAULTS[step.fault].target
    return next(each for each in TARGETS if step.target in names(stack.spec, each)) if kind == "part" else kind


def _judged(experiment: Experiment, stack: Stack, eras: Sequence[Era]) -> Iterator[str]:
    yield "judged by:"
    for era in eras:
        yield from (f"  era {era.metadata.name}, {line}" for line in _allowed(era, stack))
    for one in experiment.spec.expect:
        yield f"  expected: {_expected(one)}"
    for rule in experiment.spec.guardrails:
        below = f"{share(rule.below)} for {duration(rule.for_)}"
        yield f"  guardrail: the run is cut short and fails once good {rule.indicator} requests stay below {below}"


def _allowed(era: Era, stack: Stack) -> Iterator[str]:
    for objective in era.spec.objectives:
        target, _ = target_of(objective, era.spec.objectives)
        allowance = duration(float(era.spec.window) * (1 - target) * era.spec.incident_share)
        yield f"{objective.name}: {says(objective)}; one incident may spend {allowance}"
    rpo = era.spec.recovery.rpo
    limit = f"may span {duration(rpo.value)} (RPO)" if rpo is not None else "are not allowed"
    for indicator in stack.spec.indicators:
        if indicator.ledger is not None or indicator.shared_ledger is not None:
            yield f"{indicator.name}: acknowledged writes that are gone {limit}"


def _expected(one: Expectation) -> str:
    limits = [f"at least {share(one.at_least)}"] if one.at_least is not None else []
    limits += [f"at most {share(one.at_most)}"] if one.at_most is not None else []
    whose = "requests of the load" if one.counted == "load" else "requests"
    when = "while the fault is held" if one.during == "fault" else "during the recovery"
    return f"{' and '.join(limits)} of {one.indicator} {whose} are good {when}"
