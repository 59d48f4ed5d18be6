"""Documents made from the model's types: every field that there is, with values that often fit and sometimes don't.

Names come from few, so that references often lead somewhere; what of several fields may be there only once often is.
"""

from functools import cache
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from aftershock.faults.registry import FAULTS
from aftershock.model.experiment import ExperimentSpec, Injection
from aftershock.model.load import KINDS
from aftershock.model.metadata import API_VERSION
from aftershock.model.units import Duration, Percentage, Quantity, Rate

Strategy = st.SearchStrategy[Any]
NAMES = ["a", "b", "c"]
URLS = ["http://127.0.0.1:8080/a", "http://127.0.0.1:8080/b?c=d", "http://a"]
UNITS: dict[type, Strategy] = {
    Duration: st.sampled_from(
        ["1s", "10s", "1m", "1m30s", "90s", "1d", "24h", "1.5h", "0.3s", "300ms", "100ms", "0s", "1ms"]
    )
    | st.from_regex(Duration.pattern, fullmatch=True),
    Percentage: st.sampled_from(["0%", "1%", "7%", "6.999999999999%", "99%", "99.9%", "100%", "100.0%"])
    | st.from_regex(Percentage.pattern, fullmatch=True),
    Rate: st.sampled_from(["0/s", "10/s", "600/m", "1/h"]) | st.from_regex(Rate.pattern, fullmatch=True),
    Quantity: st.sampled_from(["0", "10k", "1.5M"]) | st.from_regex(Quantity.pattern, fullmatch=True),
}
TEXTS: dict[str, list[str]] = {
    "url": [*URLS, "unix:///a"], "write": URLS, "read": URLS, "listen": ["127.0.0.1:1", "[::1]:65535", "a.b:80"],
    "cron": ["0 3 * * 1-5", "*/5 * * * *"],
    "upstream": ["db:5432", "127.0.0.1:1"], "timeZone": ["Etc/UTC", "Europe/Berlin"], "env": ["A", "B_1"],
    "key": ["a.b", "DSN"],
}  # fmt: skip
WHOLE = st.sampled_from([0, 1, 2, 10, 200, 599, 1.0]) | st.integers(-1, 700)
PLAIN: dict[type, Strategy] = {
    inspect.BoolType: st.booleans(),
    inspect.IntType: WHOLE,
    inspect.FloatType: st.sampled_from([0, 1, 1.5, -1, 1e30, 2**64]),
}
ODD: Strategy = st.sampled_from([None, "", " ", "A b", 1, 0.5, True, [], {}, "é", "a" * 64])
ONE_OF = [
    ("env", "file", "secretRef"), ("bearer", "basic"), ("http", "sql", "promql", "ledger"),
    ("supervisor", "pidFile", "selector"), ("proxy", "listen"),
]  # fmt: skip


def documents() -> Strategy:
    """Return documents of every kind. Whoever creates one gives it a status, so they have none."""
    return st.sampled_from(sorted(KINDS)).flatmap(_document)


@cache
def _document(kind: str) -> Strategy:
    fields = {field.encode_name: field for field in msgspec.structs.fields(KINDS[kind])}
    metadata = st.fixed_dictionaries(
        {"name": st.sampled_from([*NAMES, "a.b", "a" * 40, "a" * 41]) | _rarely()},
        optional={"labels": st.dictionaries(_word("key"), _word("value"), max_size=2)},
    )
    spec = _of(inspect.type_info(fields["spec"].type), "spec")
    return st.fixed_dictionaries(
        {"apiVersion": st.just(API_VERSION), "kind": st.just(kind), "metadata": metadata, "spec": spec}
    )


def _rarely() -> Strategy:
    return st.integers(0, 40).flatmap(lambda dice: ODD if dice == 0 else st.sampled_from(NAMES))


def _word(name: str) -> Strategy:
    fitting = TEXTS.get(name, NAMES)
    return st.integers(0, 60).flatmap(lambda dice: st.text(max_size=5) if dice == 0 else st.sampled_from(fitting))


def _of(type_: inspect.Type, name: str) -> Strategy:
    match type_:
        case inspect.Metadata():
            made = _of(type_.type, name)
        case inspect.UnionType():
            made = _of(next(each for each in type_.types if not isinstance(each, inspect.NoneType)), name)
        case inspect.StructType():
            made = _record(type_)
        case inspect.ListType() | inspect.VarTupleType():
            made = st.lists(_of(type_.item_type, name), min_size=1 if name == "objectives" else 0, max_size=3)
        case inspect.DictType():
            made = st.dictionaries(_word("key"), _of(type_.value_type, name), max_size=2)
        case _:
            made = _scalar(type_, name)
    return made


def _scalar(type_: inspect.Type, name: str) -> Strategy:
    match type_:
        case inspect.CustomType(cls=unit):
            made = UNITS[unit]
        case inspect.LiteralType(values=values):
            made = st.sampled_from(list(values))
        case inspect.StrType():
            made = _word(name)
        case _:
            made = PLAIN.get(type(type_), ODD)
    return made


def _record(type_: inspect.StructType) -> Strategy:
    if type_.cls is Injection:
        return st.sampled_from(sorted(FAULTS)).flatmap(lambda fault: _fields(type_, fault))
    return _fields(type_, None)


def _fields(type_: inspect.StructType, fault: str | None) -> Strategy:
    made: dict[str, Strategy] = {}
    for field in type_.fields:
        made[field.encode_name] = _of(field.type, field.encode_name)
    if fault is not None:
        made |= {"fault": st.just(fault), "with": _record(inspect.type_info(FAULTS[fault].parameters))}
    if type_.cls is ExperimentSpec:  # the rules of its lists need them to have something in them
        made["timeline"] = st.lists(_of(inspect.type_info(Injection), ""), min_size=0, max_size=4)
    needed = {field.encode_name for field in type_.fields if field.required} | ({"with"} if fault else set())
    return st.fixed_dictionaries(
        {name: made[name] for name in made if name in needed},
        optional={name: made[name] for name in made if name not in needed},
    ).flatmap(_once)


def _once(record: dict[str, Any]) -> Strategy:
    """Leave out, nearly always, what excludes another field that is there."""
    kept = dict(record)
    for group in ONE_OF:
        given = [name for name in group if name in kept]
        for name in given[1:]:
            del kept[name]
    if "trigger" in kept or "schedule" in kept:
        kept.pop("trigger", None)
        kept |= {"trigger": "Schedule"} if "schedule" in kept else {}
    if "proxy" in kept:
        kept.pop("upstream", None)
    if kept.get("role") != "replica":
        kept.pop("of", None)
    if "source" in kept and "indicator" in kept:
        latency = "statistic" in kept and "below" in kept
        for name in () if latency else ("statistic", "below"):
            kept.pop(name, None)
        kept.setdefault("target", "99%")
    if kept.get("kind") in {"inherited", "derived"}:
        kept.setdefault("note", "a")
    return st.integers(0, 20).map(lambda dice: record if dice == 0 else kept)
