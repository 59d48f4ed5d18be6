"""Words of CEL, the API server's expression language, that several rules need."""

import json


def text(value: str) -> str:
    """Write a text as a literal."""
    return json.dumps(value)


def duration(text: str) -> str:
    """Read the text of a Duration, exactly. CEL knows hours and smaller units: days are read as hours, 24 times."""
    days = f"[duration({text}.substring(0, {text}.indexOf('d')) + 'h')].map(one, one + one + one).map(one, one + one)"
    days += ".map(one, one + one).map(one, one + one)[0]"
    rest = f"duration({text}.substring({text}.indexOf('d') + 1) + '0s')"
    return f"({text}.contains('d') ? {days} + {rest} : duration({text}))"


def percentage(text: str) -> str:
    """Read the text of a Percentage, as a number of percents."""
    return f"double({text}.substring(0, {text}.indexOf('%')))"


def each(items: str, holds: str) -> str:
    """Say that something holds of each `one` in a list that may be absent."""
    return f"!has({items}) || {items}.all(one, {holds})"
