"""What rules are made from. A rule takes a record and yields what is wrong with it: the way to the field, what was found,
what would do. It is a function of the record alone, and says the same to the API server: in a schema's own keywords where
they can, else in CEL. What is said twice stands side by side, and tests hold the two against each other.

A rule may be handed a Partial (see check.py), and then it ends where it asks for a part that could not be read. So rules
read fields plainly; those that go through a list ask with `getattr(…, None)` or `named`, to get past a broken item.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from aftershock.model import names
from aftershock.model.problem import Path, choose
from aftershock.model.rules import cel

Finding = tuple[Path, str, str]
Findings = Iterator[Finding]
Finds = Callable[[Any], Findings]
Keywords = Mapping[str, Any]
"""Keywords of an OpenAPI v3 schema."""


class Cel(msgspec.Struct, frozen=True):
    """What must hold of a record or a value, as the API server's expression language says it, and what it says if it doesn't.

    `at` is the field that it is about, like `.of`; fields of the type itself only.
    """

    holds: str
    message: str
    at: str = ""

    def keyword(self) -> dict[str, str]:
        """Return it as an entry of `x-kubernetes-validations`."""
        return {"rule": self.holds, "message": self.message, **({"fieldPath": self.at} if self.at else {})}


class Rule(msgspec.Struct, frozen=True):
    """One rule. `fields`: what it says of fields, by their names in YAML; `cel`: what it says of the record as a whole."""

    find: Finds
    cel: tuple[Cel, ...] = ()
    fields: Mapping[str, Keywords] = msgspec.field(default_factory=dict)

    def __call__(self, record: Any) -> Findings:
        """Yield what is wrong with a record."""
        return self.find(record)


Rules = Mapping[type, tuple[Rule, ...]]


def also(*told: Cel, **fields: Keywords) -> Callable[[Finds], Rule]:
    """Make a rule of a function; what the API server is told stands over it. `fields` are named as in Python."""

    def made(find: Finds) -> Rule:
        return Rule(find, told, {_outside(attribute): keywords for attribute, keywords in fields.items()})

    return made


def named(items: Iterable[Any]) -> list[str]:
    """Return the names of a list's items, as far as they could be read."""
    return [name for item in items if isinstance(name := getattr(item, "name", None), str)]


def texts(**shapes: names.Shape) -> Rule:
    """Make a rule that checks some text fields each by itself; fields that are absent are fine."""

    @also(**{attribute: shape.schema() for attribute, shape in shapes.items()})
    def rule(record: Any) -> Findings:
        for attribute, shape in shapes.items():
            if (text := getattr(record, attribute, None)) is not None:
                for message, advice in shape(text):
                    yield (_outside(attribute),), message, advice

    return rule


def exactly_one(*attributes: str) -> Rule:
    """Make a rule by which one of some fields is set."""
    outside = [_outside(attribute) for attribute in attributes]
    count = ", ".join(f"has(self.{name})" for name in outside)
    told = Cel(f"[{count}].exists_one(given, given)", f"give exactly one of {', '.join(outside)}")

    @also(told)
    def rule(record: Any) -> Findings:
        given = [name for name, attribute in zip(outside, attributes, strict=True) if _is_set(record, attribute)]
        if len(given) != 1:
            found = f"found {' and '.join(f'`{name}`' for name in given)}" if given else "found none"
            wanted = ", ".join(f"`{name}`" for name in outside)
            yield (), f"{found} of {wanted}", "give exactly one of them"

    return rule


MORE_THAN_ZERO = Cel("self.matches('[1-9]')", "write more than zero")
"""Of a text of any unit: none that has such a digit is zero."""


def more_than_zero(*attributes: str) -> Rule:
    """Make a rule by which some values of units are above zero; fields that are absent are fine."""

    @also(**dict.fromkeys(attributes, valid(MORE_THAN_ZERO)))
    def rule(record: Any) -> Findings:
        for attribute in attributes:
            value = getattr(record, attribute, None)
            if value is not None and value <= 0:
                yield (_outside(attribute),), f"found {value}", "write more than zero"

    return rule


def once(attribute: str) -> Rule:
    """Make a rule by which no name stands twice in a list."""

    @also(**{attribute: {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}})
    def rule(record: Any) -> Findings:
        first: dict[str, int] = {}
        for place, item in enumerate(getattr(record, attribute)):
            name = getattr(item, "name", None)
            if name is not None and first.setdefault(name, place) != place:
                where = (_outside(attribute), place, "name")
                yield where, f"`{name}` stands twice in `{attribute}`", "give each a name of its own"

    return rule


def reference(path: Path, name: str | None, known: Iterable[Any], what: str, one: str) -> Findings:
    """Yield a finding if `name` is none of the names in `known`; a list with an unread name could have it."""
    items = list(known)
    have = named(items)
    if name is not None and name not in have and len(have) == len(items):
        yield path, f"`{name}` is no {what} of this stack", choose(name, have, f"add {one} of that name")


def labels(pairs: dict[str, str], field: str) -> Findings:
    """Yield what is wrong with the labels that stand in `field`."""
    for key, value in pairs.items():
        for message, advice in (*names.label_key(key), *names.label_value(value)):
            yield (field, key), message, advice


def valid(*told: Cel) -> dict[str, Any]:
    """Return expressions as the keyword of a field."""
    return {"x-kubernetes-validations": [each.keyword() for each in told]}


_KEYS = f"self.all(key, key.matches({cel.text(names.LABEL_KEY)}) && key.indexOf('/') <= {names.LONGEST_PREFIX})"
SELECTOR: Keywords = {
    "minProperties": 1,
    "additionalProperties": names.label_value.schema(),
    **valid(Cel(_KEYS, "its keys have to be keys of labels")),
}
"""Labels by which something is chosen."""


def _is_set(record: Any, attribute: str) -> bool:
    """Tell whether a field is set; one that could not be read is."""
    try:
        return getattr(record, attribute) is not None
    except AttributeError:
        return True


def _outside(attribute: str) -> str:
    first, *rest = attribute.split("_")
    return first + "".join(part.capitalize() for part in rest)
