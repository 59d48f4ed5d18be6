"""Can a journal's records be what a run wrote? One that was damaged, or edited by hand, is refused with the reason.

Only what would lead the judge astray is looked at: numbers that no clock and no count gives, and inputs that are no tree.
"""

import math
from collections.abc import Iterator

from aftershock.core.histogram import value
from aftershock.core.history import SCHEMA, Begun, History, Ledgered, Slice

LONGEST = 1e9
"""Run seconds: 30 years."""

MOST = 10**12
"""Requests of one slice."""


def unsound(history: History) -> str | None:
    """Return the first thing that can't be so; None where there is nothing."""
    return next(_findings(history), None)


def _findings(history: History) -> Iterator[str]:
    for number, event in enumerate(history.events, 1):
        if not abs(event.at) < LONGEST:  # NaN is none either
            yield f"record {number} was written at run second {event.at}"
        match event:
            case Begun():
                yield from _begun(event)
            case Slice():
                yield from (f"record {number}, a slice of {event.indicator}: {what}" for what in _slice(event))
            case Ledgered():
                if min(event.acknowledged, event.indeterminate, event.lost_count) < 0:
                    yield f"record {number}, the ledger {event.indicator}: a count below zero"
            case _:
                pass


def _begun(event: Begun) -> Iterator[str]:
    if event.schema > SCHEMA:
        yield f"its schema is {event.schema}, and this version of aftershock knows none above {SCHEMA}"
    if not math.isfinite(event.origin) or not 0 <= event.origin < 1e11:
        yield f"its origin is {event.origin}, which is no time"
    for kind, tree in (("experiment", event.experiment), ("stack", event.stack)):
        for part in ("metadata", "spec"):
            if not isinstance(tree.get(part, {}), dict):
                yield f"the {kind}'s `{part}` is no mapping"


def _slice(event: Slice) -> Iterator[str]:
    if not 0 <= event.n < LONGEST * 10:
        yield f"its number is {event.n}"
    counts = [event.planned, event.unsent, event.good, *event.bad.values(), *event.latency.values()]
    if not all(0 <= count < MOST for count in counts):
        yield "a count that can't be"
    try:
        slowest = value(max(event.latency, default=0))
    except OverflowError:
        slowest = math.inf
    edges = [event.good_before, event.bad_from, event.bad_until, event.good_after]
    if not slowest < LONGEST or not all(edge is None or abs(edge) < LONGEST for edge in edges):
        yield "a time that can't be"
