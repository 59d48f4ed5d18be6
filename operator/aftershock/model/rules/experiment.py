"""What the parts of an Experiment must be to each other; a Run only names two."""

from aftershock.model import names
from aftershock.model.experiment import (
    Expectation,
    Experiment,
    ExperimentSpec,
    Guardrail,
    HistoryLimit,
    Injection,
    Load,
    Recovery,
    Schedule,
)
from aftershock.model.rules.making import Findings, Rules, more_than_zero, texts
from aftershock.model.run import RunSpec
from aftershock.model.units import Duration

LONGEST_NAME = 40
"""Characters of an Experiment's name: a Run is named after it with a number behind, and that has to be a label (63)."""


def _experiment_name(experiment: Experiment) -> Findings:
    name = experiment.metadata.name
    if len(name) > LONGEST_NAME:
        advice = f"its runs are named after it: at most {LONGEST_NAME}"
        yield ("metadata", "name"), f"a name of {len(name)} characters", advice


def _eras_named(spec: ExperimentSpec | RunSpec) -> Findings:
    seen: set[str] = set()
    for place, era in enumerate(spec.eras):
        if era in seen:
            yield ("eras", place), f"`{era}` stands twice", "name each era once"
        seen.add(era)
        for message, advice in names.name(era):
            yield ("eras", place), message, advice


def _expectation_bounds(claim: Expectation) -> Findings:
    if claim.at_least is None and claim.at_most is None:
        yield (), "found neither `atLeast` nor `atMost`", 'give a bound, like `atLeast: "99%"`'
    elif claim.at_least is not None and claim.at_most is not None and claim.at_least > claim.at_most:
        yield ("atLeast",), f"{claim.at_least} is more than `atMost`, {claim.at_most}", "no share is within; swap them"


def _expectations_fit(spec: ExperimentSpec) -> Findings:
    for place, claim in enumerate(spec.expect):
        if getattr(claim, "during", None) == "fault" and not spec.timeline:
            yield ("expect", place, "during"), "there is no fault in the timeline", "add one, or leave the claim out"
        if getattr(claim, "counted", None) == "load" and (spec.load is None or spec.load.indicator != claim.indicator):
            message = f"the load doesn't go to `{claim.indicator}`"
            yield ("expect", place, "counted"), message, "count `probes`, or let `load` name that indicator"


def _injection_times(injection: Injection) -> Findings:
    if injection.for_ <= 0:
        yield ("for",), f"found {injection.for_}", "hold the fault for more than zero"
    elif injection.represents is not None and injection.represents < injection.for_:
        message = f"{injection.represents} is less than `for`, {injection.for_}"
        yield ("represents",), message, "a fault can only stand for a longer one"


def _injections_apart(spec: ExperimentSpec) -> Findings:
    """Find the same fault at the same target twice at once: which of the two is healed first would be left to chance."""
    readable = [
        (one.at, place, one)
        for place, one in enumerate(spec.timeline)
        if all(hasattr(one, attribute) for attribute in ("at", "for_", "fault", "target"))
    ]
    held: dict[tuple[str, str], tuple[float, int]] = {}
    for begin, place, one in sorted(readable, key=lambda entry: entry[:2]):
        until, by = held.get((one.fault, one.target), (0.0, place))
        if begin < until:
            message = f"`{one.fault}` is at `{one.target}` already then, by timeline[{by}]"
            yield ("timeline", place), message, f"begin it at {Duration(until)} or later, or take another target"
        held[one.fault, one.target] = max((until, by), (begin + one.for_, place))


def _recovery_times(recovery: Recovery) -> Findings:
    if recovery.watch < recovery.steady:
        message = f"{recovery.watch} is less than `steady`, {recovery.steady}"
        yield ("watch",), message, "watch at least as long as it has to be steady"


def _triggered(spec: ExperimentSpec) -> Findings:
    if spec.trigger == "Schedule" and spec.schedule is None:
        yield ("schedule",), "missing", 'say when: `schedule: {cron: "0 3 * * 1-5"}`'
    elif spec.trigger != "Schedule" and spec.schedule is not None:
        yield ("schedule",), f"`trigger` is {spec.trigger}", "write `trigger: Schedule`, or leave the schedule out"


def _limits(limit: HistoryLimit) -> Findings:
    for field in ("passed", "others"):
        if getattr(limit, field) < 0:
            yield (field,), f"found {getattr(limit, field)}", "write zero or more"


RULES: Rules = {
    Experiment: (_experiment_name,),
    Expectation: (texts(indicator=names.label), _expectation_bounds),
    Load: (texts(indicator=names.label), more_than_zero("rate")),
    Injection: (texts(fault=names.label, target=names.label), _injection_times),
    Guardrail: (texts(indicator=names.label), more_than_zero("below", "for_")),
    Recovery: (_recovery_times,),
    Schedule: (texts(cron=names.cron, time_zone=names.time_zone), more_than_zero("starting_deadline")),
    HistoryLimit: (_limits,),
    ExperimentSpec: (texts(stack=names.name), _eras_named, _expectations_fit, _injections_apart, _triggered),
    RunSpec: (texts(experiment=names.name, stack=names.name), _eras_named),
}
