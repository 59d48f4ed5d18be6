"""How much of an error budget one incident spent: bounds on the bad time from the injection to the recovery.

The failure fraction is integrated over time. Two things keep that from being a number, and both widen the bounds:

*Missing time* counts 0 in the lower bound and 1 in the upper.

*Sampling*. Ten requests a second that all succeed don't prove that an eleventh would have: each stretch's fraction,
weighted by time, gets one-sided Clopper-Pearson bounds on its effective number of samples (Kish, "Survey Sampling",
1965: the squared sum of the weights over the sum of their squares; a request weighs its cell's time over the cell's
requests). Where nothing failed, the upper bound is about 3 samples' worth of time however long the stretch is (3.7
where a stretch is settled on its own): 0.3 s at 10 requests a second, which spends nothing that matters. A total
outage of n requests has 1 for its upper bound and about 1 - 3/n for its lower. A short stretch has few samples and so
wide bounds, but it is also short: what they leave open is time that the stretch really has. Only a multiplied stretch
turns few samples into much time, and there it should. Treating a stretch that went from bad to good as one mixture
makes its bounds wider than need be (its variance is at the most that of the mixture), never too narrow; the 95% are
shared out among the stretches (Bonferroni), so that they hold for the sum.
"""

from collections.abc import Iterable, Sequence

import msgspec

from aftershock.core.holds import Hold
from aftershock.core.readings import Reading
from aftershock.core.statistics import CONFIDENCE, fisher, lower_bound, upper_bound
from aftershock.core.verdict import Interval
from aftershock.core.wording import duration

DIFFERENT = 0.01
"""Two halves differ where Fisher's exact test gives a smaller p-value …"""

TELLING = 0.02
"""… and the shares are at least this far apart. At thousands of samples a smaller step is certain, and says nothing."""

ENOUGH = 5
"""Samples that a half needs: with fewer, not even all bad against all good would differ (2 of 70 tables, p = 0.029)."""

_ROUNDING = 1e-9

Window = tuple[float, float]


class Share(msgspec.Struct, frozen=True):
    """A bad share over some time: `low` and `high` bound it, `seen` is what the samples show.

    `observed` and `missing` are seconds, `n` the effective number of samples.
    """

    low: float
    high: float
    seen: float
    n: float
    observed: float
    missing: float

    @property
    def seconds(self) -> Interval:
        """Bad seconds, missing time counted 0 and 1."""
        return Interval(self.observed * self.low, self.observed * self.high + self.missing)

    @property
    def fraction(self) -> Interval:
        """Bad share of all the time, missing time counted 0 and 1."""
        whole = self.observed + self.missing
        return Interval(self.seconds.low / whole, self.seconds.high / whole) if whole > 0 else Interval(0.0, 1.0)


def share(all_: Iterable[Reading], windows: Sequence[Window], confidence: float = CONFIDENCE) -> Share:
    """Bound the bad share over the windows (run seconds). Time without a reading is missing."""
    observed = low = high = squares = 0.0
    for one in all_:
        if one.missing:
            continue
        weight = sum(max(0.0, min(one.end, end) - max(one.start, start)) for start, end in windows)
        if weight > 0:
            observed += weight
            low += weight * one.low
            high += weight * one.high
            squares += weight * weight / one.n
    missing = max(0.0, sum(max(0.0, end - start) for start, end in windows) - observed)
    missing = missing if missing > _ROUNDING else 0.0
    if observed == 0:
        return Share(0.0, 1.0, 0.0, 0.0, 0.0, missing)
    n = observed * observed / squares
    return Share(
        low=lower_bound(_of(low / observed, n), n, confidence),
        high=upper_bound(_of(high / observed, n), n, confidence),
        seen=low / observed,
        n=n,
        observed=observed,
        missing=missing,
    )


def _of(fraction: float, n: float) -> float:
    """Return the count that is a fraction of n, with all and nothing exact."""
    if fraction < _ROUNDING:
        return 0.0
    return n if fraction > 1 - _ROUNDING else fraction * n


class Settled(msgspec.Struct, frozen=True):
    """The part of a hold that may be multiplied. `problem` says why it may not; then only its time is known."""

    hold: Hold
    window: Window
    stands_for: float
    share: Share | None = None
    problem: str | None = None


def settled(
    all_: Sequence[Reading], hold: Hold, timeout: float, lead: float, confidence: float = CONFIDENCE
) -> Settled:
    """Find a hold's settled part and the share that was bad in it.

    It begins when the fault was proved landed, `lead` later where a reading looks back that far. It ends `timeout`
    before healing: a request that was sent in that last stretch may have been saved by it. What the hold has besides
    is transient; it counts as long as it lasted, and the settled part stands for the rest.
    """
    represents = hold.asked.represents or 0.0
    if hold.started is None or hold.landed is None or hold.healing is None:
        return Settled(hold, (0.0, 0.0), represents, problem="its beginning, landing or healing is not on record")
    start, end = hold.landed + lead, hold.healing - timeout
    inside = [one for one in all_ if one.start >= start - _ROUNDING and one.end <= end + _ROUNDING]
    if not inside:
        return Settled(hold, (start, start), represents, problem=_brief(hold.healing - hold.started, timeout))
    window = inside[0].start, inside[-1].end
    transient = hold.healing - hold.started - (window[1] - window[0])
    stands_for = max(0.0, represents - transient)
    return Settled(hold, window, stands_for, share(inside, [window], confidence), _unsettled(inside, window))


def _brief(held: float, timeout: float) -> str:
    return (
        f"it was held for {duration(held)}, too short to settle: the last {duration(timeout)}, a timeout, don't count"
    )


def _unsettled(inside: Sequence[Reading], window: Window) -> str | None:
    """Say why a stretch isn't settled, if it isn't.

    What is missing is filled in both ways that would set the halves farthest apart: a gap can't hide a change.
    """
    middle = (window[0] + window[1]) / 2
    first = _half([one for one in inside if one.end <= middle + _ROUNDING])
    second = _half([one for one in inside if one.end > middle + _ROUNDING])
    if min(first.known, second.known) < ENOUGH:
        few = f"{min(first.known, second.known):.0f} samples, and {ENOUGH} are needed"
        return f"one of its halves has {few}: hold it for longer"
    if _differ(first.most, first.n, second.least, second.n) or _differ(first.least, first.n, second.most, second.n):
        gap = " at least if what is missing is counted against it" if first.gap or second.gap else ""
        return f"its halves differ{gap}: {first.text} bad in the first, {second.text} in the second"
    return None


class _Half(msgspec.Struct, frozen=True):
    n: int
    known: float
    least: int
    most: int

    @property
    def gap(self) -> bool:
        return self.known < self.n - 0.5

    @property
    def text(self) -> str:
        return f"{self.least} of {self.known:.0f}"


def _half(inside: Sequence[Reading]) -> _Half:
    known = sum(one.n for one in inside)
    absent = sum(one.due for one in inside if one.missing)
    least = round(sum(one.low * one.n for one in inside))
    most = round(sum(one.high * one.n for one in inside) + absent)
    n = max(round(known + absent), most)
    return _Half(n, known, least, most)


def _differ(bad: int, n: int, other_bad: int, other_n: int) -> bool:
    apart = abs(bad / n - other_bad / other_n)
    return apart >= TELLING and fisher(bad, n - bad, other_bad, other_n - other_bad) < DIFFERENT


class Spending(msgspec.Struct, frozen=True):
    """Bad seconds from injection to recovery. `parts`: what was multiplied; `rest`: all else, one to one.

    `unknown`: why the bounds can't be believed though they are there.
    """

    spent: Interval
    rest: Interval
    parts: list[Settled]
    missing: float
    unknown: list[str]


def spend(
    all_: Sequence[Reading], window: Window, holds: Sequence[Hold], *, timeout: float, lead: float, later: float
) -> Spending:
    """Integrate the bad share over `window` (injection to recovery), its settled parts multiplied.

    `later`: run seconds until which cells were due; what is missing between the recovery and then may have been bad.
    """
    multiplied = [one for one in holds if one.asked.represents is not None]
    confidence = 1 - (1 - CONFIDENCE) / (1 + len(multiplied))
    parts = [settled(all_, one, timeout, lead, confidence) for one in multiplied]
    good = [one for one in parts if one.problem is None]
    others = _without(window, [one.window for one in good])
    rest = share(all_, others, confidence)
    tail = sum(one.end - max(one.start, window[1]) for one in all_ if one.missing and one.end > window[1] + _ROUNDING)
    low, high = rest.seconds.low, rest.seconds.high + max(0.0, min(tail, later - window[1]))
    rest_bounds = Interval(low, high)
    for part in parts:
        fraction = part.share.fraction if part.share is not None else Interval(0.0, 1.0)
        low += fraction.low * part.stands_for if part.problem is None else 0.0
        high += (fraction.high if part.problem is None else 1.0) * part.stands_for
    missing = rest.missing + tail + sum(one.share.missing for one in good if one.share is not None)
    unknown = [f"{one.hold.label} did not settle: {one.problem}" for one in parts if one.problem is not None]
    return Spending(Interval(low, high), rest_bounds, parts, missing, unknown)


def _without(window: Window, taken: Sequence[Window]) -> list[Window]:
    """Return what is left of a window when others are cut out of it."""
    left = [window]
    for start, end in taken:
        left = [piece for a, b in left for piece in ((a, min(b, start)), (max(a, end), b)) if piece[0] < piece[1]]
    return left
