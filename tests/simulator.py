"""A service on a virtual clock: what it does is planted, so that what the judge says of it can be held against the truth.

A service is a function of the intended time; `probe` asks it on schedule and folds the answers into slices exactly as
the journal defines them. Nothing here waits or reads a clock; every random choice comes from a seed that is given.
"""

import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from aftershock.core.histogram import bucket
from aftershock.core.history import SLICE, Counted, Slice


@dataclass(frozen=True)
class Answer:
    """How one request came out. `kind` is empty for a good one; `took` is seconds from the intended time."""

    took: float
    kind: str = ""


Service = Callable[[float], Answer]


@dataclass(frozen=True)
class Meetings:
    """A service with planted failures.

    `outages`: stretches in which every request fails with `kind`, each after `refusal` seconds. `failing`: stretches
    in which a share fails. `slow`: stretches in which answers take that much longer. `noise`: share failing always.
    """

    seed: int = 0
    typical: float = 0.008
    outages: list[tuple[float, float]] = field(default_factory=list)
    failing: list[tuple[float, float, float]] = field(default_factory=list)
    slow: list[tuple[float, float, float]] = field(default_factory=list)
    noise: float = 0.0
    kind: str = "status-503"
    refusal: float = 0.004

    def __call__(self, at: float) -> Answer:
        chance = random.Random(f"{self.seed}/{at:.6f}")
        took = self.typical * chance.lognormvariate(0.0, 0.3)
        if any(start <= at < end for start, end in self.outages):
            return Answer(self.refusal, self.kind)
        share = max([self.noise, *(share for start, end, share in self.failing if start <= at < end)])
        if chance.random() < share:
            return Answer(self.refusal, self.kind)
        return Answer(took + sum(extra for start, end, extra in self.slow if start <= at < end))


@dataclass
class Hanging:
    """A service that hangs in its outage: a request that is still waiting when the outage ends is answered then."""

    start: float
    end: float
    typical: float = 0.008
    timeout: float = 2.0

    def __call__(self, at: float) -> Answer:
        if not self.start <= at < self.end:
            return Answer(self.typical)
        wait = self.end - at + self.typical
        return Answer(self.timeout, "timeout") if wait > self.timeout else Answer(wait)


@dataclass
class Exactly:
    """A service that fails exactly `bad` of every hundred requests while `start <= at < end`, spread by a fixed shuffle."""

    bad: int
    start: float
    end: float
    seed: int = 1
    count: int = 0

    def __call__(self, at: float) -> Answer:
        if not self.start <= at < self.end:
            return Answer(0.008)
        if self.count % 100 == 0:
            deck = [n < self.bad for n in range(100)]
            random.Random(self.seed + self.count).shuffle(deck)
            self.deck = deck
        failed = self.deck[self.count % 100]
        self.count += 1
        return Answer(0.004, "status-503") if failed else Answer(0.008)


def probe(
    indicator: str,
    service: Service,
    start: float,
    end: float,
    *,
    every: float = 0.1,
    counted: Counted = "probes",
    unsent: Callable[[float], bool] = lambda _at: False,
) -> list[Slice]:
    """Ask `service` every `every` seconds in [start, end); return the slices in the order in which they were written."""
    slices: dict[int, list[tuple[float, Answer | None]]] = {}
    for k in range(math.ceil((end - start) / every)):
        at = start + k * every
        slices.setdefault(int(at // SLICE), []).append((at, None if unsent(at) else service(at)))
    return sorted((fold(indicator, counted, n, asked) for n, asked in slices.items()), key=lambda one: one.at)


def fold(indicator: str, counted: Counted, n: int, asked: list[tuple[float, Answer | None]]) -> Slice:
    """Fold the answers to one slice's requests, as core/history.py says; None is a request that was not sent."""
    sent = [(at, answer) for at, answer in asked if answer is not None]
    good = [(at, answer) for at, answer in sent if not answer.kind]
    bad = [(at, answer) for at, answer in sent if answer.kind]
    first = bad[0][0] if bad else math.inf
    last = bad[-1][0] if bad else -math.inf
    return Slice(
        at=max([(n + 1) * SLICE, *(at + answer.took for at, answer in sent)]) + 0.02,
        indicator=indicator,
        counted=counted,
        n=n,
        planned=len(asked),
        unsent=len(asked) - len(sent),
        good=len(good),
        bad=_count(answer.kind for _, answer in bad),
        latency=_count(bucket(answer.took) for _, answer in good),
        good_before=max((at for at, _ in good if at < first), default=None),
        bad_from=bad[0][0] + bad[0][1].took if bad else None,
        bad_until=bad[-1][0] if bad else None,
        good_after=min((at + answer.took for at, answer in good if at > last), default=None),
    )


def _count(values: Iterable) -> dict:
    counts: dict = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return counts
