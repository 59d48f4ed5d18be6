"""A load that several generators send: what each made of a slice, put together as if one had sent it all. Pure.

A `Slice` can't be merged: the last good request before the first bad one of all generators need not be among what each says
of its own. So a shard hands over *parts*, which keep the times of each request, and they become a slice once, when all are
there. Putting parts together is the union of what they counted: in any order, in any grouping, the same comes out.

How many requests each shard owes is agreed in advance. What no part accounts for was not sent: that is what makes a shard
that is late, frozen or gone show in the record.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from aftershock.core import histogram
from aftershock.core.history import Counted, Ledgered, Sharded, Slice
from aftershock.core.wording import counted

SKEW = 0.05
"""Seconds that a shard's clock may be off, or not known to be right: half a slice."""

LOOKS = 10
"""Latest looks at a shard's clock that are kept: a busy moment spoils one, hardly all of them."""

NAMED = 4
"""Lines that say what is wrong with shards, where people read them: the journal has all."""

LOST_LISTED = 1000
"""Lost writes that a ledger's record names."""

_SECOND = 1_000_000_000


class Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel", tag_field="type", tag="part"):
    """What one generator's requests came to in one slice. Times are nanoseconds since the run's origin.

    `good`: (due, seen) of each good request; `bad`: (due, seen, kind) of each bad one; the rest is as in `Slice`.
    """

    indicator: str
    counted: Counted
    n: int
    planned: int = 0
    unsent: int = 0
    latency: dict[int, int] = {}
    good: list[tuple[int, int]] = []
    bad: list[tuple[int, int, str]] = []


def merge(parts: Sequence[Part]) -> Part:
    """Return what one generator would have counted of all that these did; they are parts of one slice, at least one.

    >>> a = Part(indicator="join", counted="load", n=3, planned=2, good=[(310, 320)], unsent=1)
    >>> b = Part(indicator="join", counted="load", n=3, planned=1, bad=[(305, 309, "reset")])
    >>> merge([a, b]) == merge([b, a]) == merge([merge([a]), b]), merge([a, b]).planned
    (True, 3)
    """
    first = parts[0]
    if any((one.indicator, one.counted, one.n) != (first.indicator, first.counted, first.n) for one in parts):
        raise ValueError("these are parts of different slices")
    return Part(
        indicator=first.indicator,
        counted=first.counted,
        n=first.n,
        planned=sum(one.planned for one in parts),
        unsent=sum(one.unsent for one in parts),
        latency=dict(sorted(histogram.merge(one.latency for one in parts).items())),
        good=sorted(pair for one in parts for pair in one.good),
        bad=sorted(each for one in parts for each in one.bad),
    )


def as_slice(part: Part, at: float) -> Slice:
    """Return the journal's record of a part; `at`: run seconds at which it is written."""
    good_before, bad_from, bad_until, good_after = _edges(part)
    return Slice(
        at=at,
        indicator=part.indicator,
        counted=part.counted,
        n=part.n,
        planned=part.planned,
        unsent=part.unsent,
        good=len(part.good),
        bad=dict(Counter(kind for _, _, kind in part.bad)),
        latency=part.latency,
        good_before=good_before,
        bad_from=bad_from,
        bad_until=bad_until,
        good_after=good_after,
    )


def _edges(part: Part) -> tuple[float | None, float | None, float | None, float | None]:
    """Return good_before, bad_from, bad_until and good_after, in run seconds."""
    if not part.bad:
        before = max((due for due, _ in part.good), default=None)
        after = min((seen for _, seen in part.good), default=None)
        return _seconds(before), None, None, _seconds(after)
    first, seen, _ = min(part.bad)
    last = max(due for due, _, _ in part.bad)
    before = max((due for due, _ in part.good if due < first), default=None)
    after = min((came for due, came in part.good if due > last), default=None)
    return _seconds(before), _seconds(seen), _seconds(last), _seconds(after)


def _seconds(nanos: int | None) -> float | None:
    return None if nanos is None else nanos / _SECOND


def merge_ledgers(records: Sequence[Ledgered]) -> Ledgered:
    """Return one record of what several generators wrote to one ledger; known only if each of them read its own back."""
    lost = sorted((one for record in records for one in record.lost), key=lambda one: (one.acknowledged, one.id))
    oldest = [record.oldest_lost for record in records if record.oldest_lost is not None]
    newest = [record.newest_lost for record in records if record.newest_lost is not None]
    amiss = [record.saw for record in records if not record.read]
    return Ledgered(
        at=max(record.at for record in records),
        indicator=records[0].indicator,
        read=not amiss,
        saw="; ".join(sorted(set(amiss or (record.saw for record in records)))),
        acknowledged=sum(record.acknowledged for record in records),
        indeterminate=sum(record.indeterminate for record in records),
        lost_count=sum(record.lost_count for record in records),
        lost=lost[:LOST_LISTED],
        oldest_lost=min(oldest, default=None),
        newest_lost=max(newest, default=None),
    )


Due = Callable[[int, int], int]
"""`due(shard, n)`: how many requests a shard owes in slice n: agreed in advance, so of a slice that is over it stays so."""


class _Reached:
    """How far each shard has told of its slices, which it does in their order."""

    def __init__(self, shards: int, due: Due) -> None:
        self._due = due
        self._next = dict.fromkeys(range(shards), 0)
        self._lost: set[int] = set()

    def told(self, shard: int, n: int) -> None:
        self._next[shard] = max(self._next[shard], n + 1)

    def lose(self, shard: int) -> None:
        self._lost.add(shard)

    def awaited(self, n: int) -> bool:
        """Tell whether a shard may still say something of a slice."""
        return any(
            reached <= n and shard not in self._lost and self._due(shard, n) > 0
            for shard, reached in self._next.items()
        )


class Tally:
    """Adds up how many requests of each slice were sent, as soon as every shard has told that: long before their answers."""

    def __init__(self, shards: int, due: Due) -> None:
        self._reached = _Reached(shards, due)
        self._sent: dict[int, int] = {}
        self._next = 0

    def take(self, shard: int, n: int, sent: int) -> None:
        """Take in what a shard says of a slice. What comes too late counts as not sent."""
        self._reached.told(shard, n)
        if n >= self._next:
            self._sent[n] = self._sent.get(n, 0) + sent

    def lose(self, shard: int) -> None:
        """Wait for this shard no longer."""
        self._reached.lose(shard)

    def give(self, over: int) -> Iterator[tuple[int, int]]:
        """Give out, in order, each slice below `over` of which all is known, and what was sent of it."""
        while self._next < over and not self._reached.awaited(self._next):
            if self._next in self._sent:
                yield self._next, self._sent.pop(self._next)
            self._next += 1


class Assembly:
    """Puts the parts of one indicator's load together, slice after slice."""

    def __init__(self, indicator: str, shards: int, due: Due) -> None:
        self._indicator = indicator
        self._shards = shards
        self._due = due
        self._reached = _Reached(shards, due)
        self._parts: dict[int, dict[int, list[Part]]] = {}
        self._next = 0

    def take(self, shard: int, part: Part) -> None:
        """Take in a part; a shard gives its parts in the order of slices. One that comes too late counts as not sent."""
        self._reached.told(shard, part.n)
        if part.n >= self._next:
            self._parts.setdefault(part.n, {}).setdefault(shard, []).append(part)

    def lose(self, shard: int) -> None:
        """Wait for this shard no longer: what it owes and has not accounted for was not sent."""
        self._reached.lose(shard)

    def give(self, over: int, at: float) -> Iterator[Slice]:
        """Give out, in order, each slice below `over` (which has to be in the past) of which all is known."""
        while self._next < over and not self._reached.awaited(self._next):
            yield from self._close(at)

    def rest(self, over: int, at: float) -> Iterator[Slice]:
        """Give out every slice below `over`, when no more is to come."""
        while self._next < max(over, 1 + max(self._parts, default=-1)):
            yield from self._close(at)

    def _close(self, at: float) -> Iterator[Slice]:
        n, by = self._next, self._parts.pop(self._next, {})
        self._next += 1
        parts = [part for given in by.values() for part in given]
        absent = sum(
            max(0, self._due(shard, n) - sum(part.planned for part in by.get(shard, ())))
            for shard in range(self._shards)
        )
        if absent:
            parts.append(Part(indicator=self._indicator, counted="load", n=n, planned=absent, unsent=absent))
        if parts:
            yield as_slice(merge(parts), at)


class Skew:
    """How far a shard's clock may be off. `offset`: its clock minus ours, seconds, as it was taken to be at the start."""

    def __init__(self, offset: float = 0.0) -> None:
        self._offset = offset
        self._looks: deque[float] = deque(maxlen=LOOKS)

    def look(self, sent: float, clock: float, came: float) -> None:
        """Take in an exchange: `clock` was read somewhen between `sent` and `came`, which are on our clock."""
        middle, half = between(sent, clock, came)
        self._looks.append(abs(middle - self._offset) + half)

    @property
    def amiss(self) -> str:
        """Why the shard's times are no longer known well enough; empty as long as one of the latest looks was good."""
        if len(self._looks) < LOOKS or min(self._looks) <= SKEW:
            return ""
        return f"its clock may be off by {min(self._looks) * 1000:.0f} ms, and {SKEW * 1000:.0f} ms are allowed"


def between(sent: float, clock: float, came: float) -> tuple[float, float]:
    """Return another clock minus ours, and by how much that may be wrong, seconds, of one exchange (Cristian, 1989)."""
    return clock - (sent + came) / 2, (came - sent) / 2


def said(event: Sharded) -> str:
    """Return what a record of a shard says, for people."""
    name = f"shard {event.shard} of {event.shards}" + (f" ({event.where})" if event.where else "")
    match event.state:
        case "ready":
            skew = "" if event.skew is None else f"; its clock is known to {event.skew * 1000:.1f} ms"
            return f"{name} is ready{skew}"
        case "lost":
            return f"{name} is lost: {event.why}"
        case "skewed":
            return f"{name} is not on time: {event.why}"


def amiss(events: Iterable[Sharded]) -> list[str]:
    """Return what keeps the load from being what it says: the first thing that is wrong with each shard.

    Those that never came, for one reason, are one line; no more than `NAMED` lines say what is wrong, and one how many more.
    """
    found: dict[int, Sharded] = {}
    for event in events:
        if event.state != "ready":
            found.setdefault(event.shard, event)
    alike: dict[tuple[str, str, int], list[Sharded]] = {}
    for event in sorted(found.values(), key=lambda one: one.shard):
        alike.setdefault((event.state, event.why, event.shard if event.where else -1), []).append(event)
    groups = list(alike.values())
    more = sum(len(group) for group in groups[NAMED:])
    return [
        *map(_said_of, groups[:NAMED]),
        *([counted(more, "other shard is amiss", "other shards are amiss")] if more else []),
    ]


def _said_of(group: Sequence[Sharded]) -> str:
    first = group[0]
    if len(group) == 1:
        return said(first)
    if len(group) == first.shards:
        return f"all {first.shards} shards are lost: {first.why}"
    return f"shards {', '.join(str(one.shard) for one in group)} of {first.shards} are lost: {first.why}"
