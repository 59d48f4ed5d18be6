"""Latencies in logarithmic buckets: any quantile to within 1%, whatever the range.

The rule is DDSketch's (Masson, Rim, Lee: "DDSketch", VLDB 2019): bucket b holds (G^(b-1), G^b] microseconds, and the
value given back for it, 2 G^b / (G + 1), is off by at most (G - 1) / (G + 1), relative.
"""

from collections.abc import Iterable, Mapping
from math import ceil, log

GAMMA = 1.02
ERROR = (GAMMA - 1) / (GAMMA + 1)
"""Largest relative error of a value given back: 0.0099."""

_LOG = log(GAMMA)


def bucket(seconds: float) -> int:
    """Return the bucket of a latency; everything up to a microsecond falls into bucket 0."""
    return max(0, ceil(log(max(seconds * 1e6, 1.0)) / _LOG))


def value(number: int) -> float:
    """Return the latency, in seconds, that stands for a bucket."""
    return 2 * GAMMA**number / (GAMMA + 1) * 1e-6


def merge(histograms: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """Add histograms up."""
    total: dict[int, int] = {}
    for histogram in histograms:
        for number, count in histogram.items():
            total[number] = total.get(number, 0) + count
    return total


def quantile(histogram: Mapping[int, int], q: float) -> float | None:
    """Return the smallest latency, in seconds, that a share `q` (0 to 1) of the requests stayed within; None if empty."""
    wanted = q * sum(histogram.values())
    seen = 0
    for number in sorted(histogram):
        seen += histogram[number]
        if seen >= wanted:
            return value(number)
    return None


def mean(histogram: Mapping[int, int]) -> float | None:
    """Return the mean latency in seconds; None if empty."""
    count = sum(histogram.values())
    return sum(value(number) * n for number, n in histogram.items()) / count if count else None
