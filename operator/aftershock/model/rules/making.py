"""What rules are made from. A rule takes a record and yields what is wrong with it: the way to the field, what was found,
what would do. It is a function of the record alone.

A rule may be handed a Partial (see check.py), and then it ends where it asks for a part that could not be read. So rules
read fields plainly; those that go through a list ask with `getattr(…, None)` or `named`, to get past a broken item.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from aftershock.model import names
from aftershock.model.problem import Path, choose

Finding = tuple[Path, str, str]
Findings = Iterator[Finding]
Rule = Callable[[Any], Findings]
Rules = dict[type, tuple[Rule, ...]]


def named(items: Iterable[Any]) -> list[str]:
    """Return the names of a list's items, as far as they could be read."""
    return [name for item in items if isinstance(name := getattr(item, "name", None), str)]


def texts(**checks: Callable[[str], Iterator[names.Complaint]]) -> Callable[[Any], Findings]:
    """Make a rule that checks some text fields each by itself; fields that are absent are fine."""

    def rule(record: Any) -> Findings:
        for attribute, check in checks.items():
            if (text := getattr(record, attribute, None)) is not None:
                for message, advice in check(text):
                    yield (_outside(attribute),), message, advice

    return rule


def exactly_one(*attributes: str) -> Callable[[Any], Findings]:
    """Make a rule by which one of some fields is set."""
    outside = [_outside(attribute) for attribute in attributes]

    def rule(record: Any) -> Findings:
        given = [name for name, attribute in zip(outside, attributes, strict=True) if _is_set(record, attribute)]
        if len(given) != 1:
            found = f"found {' and '.join(f'`{name}`' for name in given)}" if given else "found none"
            wanted = ", ".join(f"`{name}`" for name in outside)
            yield (), f"{found} of {wanted}", "give exactly one of them"

    return rule


def more_than_zero(*attributes: str) -> Callable[[Any], Findings]:
    """Make a rule by which some numbers are above zero; fields that are absent are fine."""

    def rule(record: Any) -> Findings:
        for attribute in attributes:
            value = getattr(record, attribute, None)
            if value is not None and value <= 0:
                yield (_outside(attribute),), f"found {value}", "write more than zero"

    return rule


def once(field: str) -> Callable[[Any], Findings]:
    """Make a rule by which no name stands twice in the list `field`."""

    def rule(record: Any) -> Findings:
        first: dict[str, int] = {}
        for place, item in enumerate(getattr(record, field)):
            name = getattr(item, "name", None)
            if name is not None and first.setdefault(name, place) != place:
                yield (field, place, "name"), f"`{name}` stands twice in `{field}`", "give each a name of its own"

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


def _is_set(record: Any, attribute: str) -> bool:
    """Tell whether a field is set; one that could not be read is."""
    try:
        return getattr(record, attribute) is not None
    except AttributeError:
        return True


def _outside(attribute: str) -> str:
    first, *rest = attribute.split("_")
    return first + "".join(part.capitalize() for part in rest)
