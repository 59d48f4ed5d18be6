"""What the parts of an Experiment must be to each other; a Run only names two."""

from aftershock.model import names
from aftershock.model.bounds import LONGEST_TIMELINE, MOST_SHARDS
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
from aftershock.model.rules import cel
from aftershock.model.rules.making import MORE_THAN_ZERO, Cel, Findings, Rules, also, more_than_zero, texts, valid
from aftershock.model.run import RunSpec
from aftershock.model.units import Duration

LONGEST_NAME = 40
"""Characters of an Experiment's name: a Run is named after it with a number behind, and that has to be a label (63)."""


@also(metadata={"properties": {"name": {"type": "string", "maxLength": LONGEST_NAME}}})
def _experiment_name(experiment: Experiment) -> Findings:
    name = experiment.metadata.name
    if len(name) > LONGEST_NAME:
        advice = f"its runs are named after it: at most {LONGEST_NAME}"
        yield ("metadata", "name"), f"a name of {len(name)} characters", advice


@also(eras={"x-kubernetes-list-type": "set", "items": names.name.schema()})
def _eras_named(spec: ExperimentSpec | RunSpec) -> Findings:
    seen: set[str] = set()
    for place, era in enumerate(spec.eras):
        if era in seen:
            yield ("eras", place), f"`{era}` stands twice", "name each era once"
        seen.add(era)
        for message, advice in names.name(era):
            yield ("eras", place), message, advice


_WITHIN = f"{cel.percentage('self.atLeast')} <= {cel.percentage('self.atMost')}"


@also(
    Cel("has(self.atLeast) || has(self.atMost)", 'give a bound, like `atLeast: "99%"`'),
    Cel(f"!has(self.atLeast) || !has(self.atMost) || {_WITHIN}", "no share is within", at=".atLeast"),
)
def _expectation_bounds(claim: Expectation) -> Findings:
    if claim.at_least is None and claim.at_most is None:
        yield (), "found neither `atLeast` nor `atMost`", 'give a bound, like `atLeast: "99%"`'
    elif claim.at_least is not None and claim.at_most is not None and claim.at_least > claim.at_most:
        yield ("atLeast",), f"{claim.at_least} is more than `atMost`, {claim.at_most}", "no share is within; swap them"


@also(
    Cel(
        cel.each("self.expect", "one.during != 'fault' || (has(self.timeline) && self.timeline.size() > 0)"),
        "a claim is about the fault, and there is none in the timeline",
        at=".expect",
    ),
    Cel(
        cel.each("self.expect", "one.counted != 'load' || (has(self.load) && self.load.indicator == one.indicator)"),
        "a claim counts the load, which doesn't go to its indicator",
        at=".expect",
    ),
)
def _expectations_fit(spec: ExperimentSpec) -> Findings:
    for place, claim in enumerate(spec.expect):
        if getattr(claim, "during", None) == "fault" and not spec.timeline:
            yield ("expect", place, "during"), "there is no fault in the timeline", "add one, or leave the claim out"
        if getattr(claim, "counted", None) == "load" and (spec.load is None or spec.load.indicator != claim.indicator):
            message = f"the load doesn't go to `{claim.indicator}`"
            yield ("expect", place, "counted"), message, "count `probes`, or let `load` name that indicator"


_LONG = f"{cel.duration('self.represents')} >= {cel.duration('self.__for__')}"


@also(
    Cel(f"!has(self.represents) || {_LONG}", "a fault can only stand for one that is no shorter", at=".represents"),
    for_=valid(MORE_THAN_ZERO),
)
def _injection_times(injection: Injection) -> Findings:
    if injection.for_ <= 0:
        yield ("for",), f"found {injection.for_}", "hold the fault for more than zero"
    elif injection.represents is not None and injection.represents < injection.for_:
        message = f"{injection.represents} is less than `for`, {injection.for_}"
        yield ("represents",), message, "a fault can only stand for a longer one"


_AT, _FOR = (cel.duration(f"other.{field}") for field in ("at", "__for__"))
_TWICE = (
    f"other.fault == one.fault && other.target == one.target && [{_AT}].exists(at, at < end && begin < at + {_FOR})"
)


@also(
    Cel(
        cel.each(
            "self.timeline",
            f"[{cel.duration('one.at')}].all(begin, [begin + {cel.duration('one.__for__')}].all(end, "
            f"self.timeline.exists_one(other, {_TWICE})))",
        ),
        "the same fault is at the same target twice at once",
        at=".timeline",
    ),
    timeline={"maxItems": LONGEST_TIMELINE},
)
def _injections_apart(spec: ExperimentSpec) -> Findings:
    """Find the same fault at the same target twice at once: which of the two is healed first would be left to chance."""
    if len(spec.timeline) > LONGEST_TIMELINE:
        yield ("timeline",), f"{len(spec.timeline)} items", f"write at most {LONGEST_TIMELINE}"
    readable = [
        (one.at, place, one)
        for place, one in enumerate(spec.timeline)
        if all(hasattr(one, attribute) for attribute in ("at", "for_", "fault", "target"))
    ]
    held: dict[tuple[str, str], tuple[float, int]] = {}  # no text is finer than a microsecond, sums of floats are
    for begin, place, one in sorted(readable, key=lambda entry: entry[:2]):
        until, by = held.get((one.fault, one.target), (0.0, place))
        if begin < until:
            message = f"`{one.fault}` is at `{one.target}` already then, by timeline[{by}]"
            yield ("timeline", place), message, f"begin it at {Duration(until)} or later, or take another target"
        held[one.fault, one.target] = max((until, by), (round(begin + one.for_, 6), place))


@also(
    Cel(
        f"{cel.duration('self.watch')} >= {cel.duration('self.steady')}",
        "watch at least as long as it has to be steady",
        at=".watch",
    )
)
def _recovery_times(recovery: Recovery) -> Findings:
    if recovery.watch < recovery.steady:
        message = f"{recovery.watch} is less than `steady`, {recovery.steady}"
        yield ("watch",), message, "watch at least as long as it has to be steady"


@also(Cel("(self.trigger == 'Schedule') == has(self.schedule)", "`trigger: Schedule` and `schedule` go together"))
def _triggered(spec: ExperimentSpec) -> Findings:
    if spec.trigger == "Schedule" and spec.schedule is None:
        yield ("schedule",), "missing", 'say when: `schedule: {cron: "0 3 * * 1-5"}`'
    elif spec.trigger != "Schedule" and spec.schedule is not None:
        yield ("schedule",), f"`trigger` is {spec.trigger}", "write `trigger: Schedule`, or leave the schedule out"


@also(passed={"minimum": 0}, others={"minimum": 0})
def _limits(limit: HistoryLimit) -> Findings:
    for field in ("passed", "others"):
        if getattr(limit, field) < 0:
            yield (field,), f"found {getattr(limit, field)}", "write zero or more"


_FIXED = "a Run is what it was when it was made, except `abort`: make a new one"


def _kept(field: str) -> str:
    """Say that a field is as it was when the object was made."""
    return f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})"


def _filled_once(field: str) -> str:
    """Say that a field is as it was, once it is there: the operator adds it to a Run that somebody made by hand."""
    return f"!has(oldSelf.{field}) || (has(self.{field}) && self.{field} == oldSelf.{field})"


@also(
    Cel("self.experiment == oldSelf.experiment && self.stack == oldSelf.stack", _FIXED),
    Cel(_kept("eras"), _FIXED),
    *(Cel(_filled_once(field), _FIXED) for field in ("definition", "generation")),
    Cel("self.abort || !oldSelf.abort", "a run that is aborted stays so: make a new one"),
)
def _run_is_fixed(_: RunSpec) -> Findings:
    """What was may not change: only the API server knows what was."""
    yield from ()


@also(shards={"minimum": 1, "maximum": MOST_SHARDS})
def _shards(load: Load) -> Findings:
    if not 1 <= load.shards <= MOST_SHARDS:
        yield ("shards",), f"found {load.shards}", f"write 1 to {MOST_SHARDS}"


RULES: Rules = {
    Experiment: (_experiment_name,),
    Expectation: (texts(indicator=names.label), _expectation_bounds),
    Load: (texts(indicator=names.label), more_than_zero("rate"), _shards),
    Injection: (texts(fault=names.label, target=names.label), _injection_times),
    Guardrail: (texts(indicator=names.label), more_than_zero("below", "for_")),
    Recovery: (_recovery_times,),
    Schedule: (texts(cron=names.cron, time_zone=names.time_zone), more_than_zero("starting_deadline")),
    HistoryLimit: (_limits,),
    ExperimentSpec: (texts(stack=names.name), _eras_named, _expectations_fit, _injections_apart, _triggered),
    RunSpec: (texts(experiment=names.name, stack=names.name), _eras_named, _run_is_fixed),
}
