"""What the figures of an Era must be to each other."""

import re

from aftershock.model import names
from aftershock.model.era import EraRecovery, EraSpec, Figure, Objective, Source
from aftershock.model.rules import cel
from aftershock.model.rules.making import MORE_THAN_ZERO, Cel, Findings, Rules, also, more_than_zero, once, texts


@also(
    Cel(
        f"!(self.kind in ['inherited', 'derived']) || (has(self.note) && self.note.matches({cel.text(names.MARK)}))",
        "a figure that is inherited says from which era, a derived one the formula",
        at=".note",
    )
)
def _source_note(source: Source) -> Findings:
    if source.kind in ("inherited", "derived") and not re.search(names.MARK, source.note or ""):
        what = "from which era" if source.kind == "inherited" else "the formula"
        yield ("note",), f"missing for a figure that is {source.kind}", f"say {what}"


@also(
    Cel("has(self.statistic) == has(self.below)", "a latency objective has `statistic` and `below` together"),
    Cel("has(self.target) || has(self.statistic) || has(self.below)", "give `target`, or `statistic` and `below`"),
)
def _objective_shape(objective: Objective) -> Findings:
    latency = [objective.statistic is not None, objective.below is not None]
    if any(latency) and not all(latency):
        absent = "below" if latency[0] else "statistic"
        yield (absent,), "missing", "a latency objective has `statistic` and `below` together"
    elif objective.target is None and not any(latency):
        yield (), "found neither `target` nor `statistic` and `below`", "say what the objective is"


@also(objectives={"minItems": 1})
def _era_has_objectives(spec: EraSpec) -> Findings:
    if not spec.objectives:
        yield ("objectives",), "found none", "an era has at least one objective"


@also(
    Cel(
        "self.objectives.exists(one, has(one.target) || !has(one.below))",
        "a latency objective needs a `target`: the era has no availability objective to take it from",
        at=".objectives",
    )
)
def _latency_has_target(spec: EraSpec) -> Findings:
    if all(objective.below is not None and objective.target is None for objective in spec.objectives):
        for place, objective in enumerate(spec.objectives):
            yield (
                ("objectives", place, "target"),
                f"missing for `{objective.name}`, and the era has no availability objective to take it from",
                'add it, like "99%": the share of time in which the latency has to be kept',
            )


@also(
    Cel(
        f"!has(self.rto) || {MORE_THAN_ZERO.holds.replace('self', 'self.rto.value')}", "write more than zero", at=".rto"
    )
)
def _era_recovery(recovery: EraRecovery) -> Findings:
    if recovery.rto is not None and recovery.rto.value <= 0:
        yield ("rto", "value"), f"found {recovery.rto.value}", "write more than zero"


RULES: Rules = {
    Source: (_source_note,),
    Objective: (texts(name=names.label, indicator=names.label), _objective_shape, more_than_zero("target", "below")),
    Figure: (texts(name=names.label, value=names.something, why=names.something),),
    EraRecovery: (_era_recovery,),
    EraSpec: (
        more_than_zero("window", "incident_share"),
        _era_has_objectives,
        _latency_has_target,
        once("objectives"),
        once("figures"),
    ),
}
