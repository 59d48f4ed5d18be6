"""An era's stack, as `charts/era-stack/values-<era>.yaml` has it: read strictly, checked as a whole, its switches set."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from aftershock.adapters import catalog
from aftershock.errors import InputError
from aftershock.model.check import Walk
from aftershock.model.problem import Invalid, choose
from aftershock.model.stack import Setting
from aftershock.model.yaml12 import read as read_yaml
from aftershock.stacks.contradictions import contradictions
from aftershock.stacks.parts import Database, Service, Values


def eras() -> list[str]:
    """Return the eras that have a stack."""
    return [path.stem.removeprefix("values-") for path in catalog.values()]


def load(era: str, switched: Mapping[str, str] | None = None) -> Values:
    """Return the stack of `era`, with some `settings` at other values. InputError if there is none, or its file is wrong."""
    files = dict(zip(eras(), catalog.values(), strict=True))
    if era not in files:
        here = ", ".join(files) or "none; reinstall aftershock"
        raise InputError(f"there is no stack for era {era!r}", f"an era that has one: {here}")
    return switch(read(files[era]), switched or {})


def read(path: Path) -> Values:
    """Read a values file. Invalid (an InputError) names every problem with its line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"can't read {path}: {error}", "check the file") from None
    documents, problems = read_yaml(text, str(path))
    if problems or len(documents) != 1:
        raise Invalid(problems) if problems else InputError(f"{path}: {len(documents)} documents", "write one")
    walk = Walk(documents[0][0], str(path), None)
    values = walk.typed(Values)
    if not walk.problems and isinstance(values, Values):
        for way, message, advice in contradictions(values):
            walk.report(way, message, advice)
    if walk.problems or not isinstance(values, Values):
        raise Invalid(walk.problems)
    return values


def switch(values: Values, switched: Mapping[str, str]) -> Values:
    """Return the stack with settings at these values. A setting is called by its name, or all with one `env` by that.

    InputError for what is no setting.
    """
    for name, value in switched.items():
        found = [each for each in values.settings if name in {each.name, each.env}]
        if not found:
            known = dict.fromkeys([each.env for each in values.settings])
            advice = choose(name, list(known)) if known else "its services have no switches"
            raise InputError(f"the stack of era {values.era} has no setting {name!r}", advice)
        values = msgspec.structs.replace(
            values,
            services=_switched(values.services, found, value),
            databases=[_failing_over(each, found, value) for each in values.databases],
        )
    return values


def _failing_over(database: Database, found: Sequence[Setting], value: str) -> Database:
    turned = {one.env: value for one in found if one.workload == database.name}
    if database.failover is None or not turned:
        return database
    failover = msgspec.structs.replace(database.failover, env={**database.failover.env, **turned})
    return msgspec.structs.replace(database, failover=failover)


def _switched(services: Sequence[Service], found: Sequence[Setting], value: str) -> list[Service]:
    turned = {each.name: {one.env: value for one in found if one.workload == each.name} for each in services}
    return [msgspec.structs.replace(each, env={**each.env, **turned[each.name]}) for each in services]
