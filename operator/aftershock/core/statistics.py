"""Exact bounds on a share, and an exact comparison of two shares. Numbers in, numbers out.

Clopper & Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial", Biometrika 26
(1934): the bounds of a share are quantiles of the beta distribution. They never cover less than they say (Brown, Cai,
DasGupta, "Interval estimation for a binomial proportion", Statistical Science 16, 2001), which is what a judge needs:
a claim that is called proved may be wrong in 5% of cases at the most.

Counts may be fractions: what is weighted by time has an effective size that is no whole number, and the beta
distribution does not mind.
"""

from math import ceil, exp, lgamma, log, log1p

CONFIDENCE = 0.95
_TINY = 1e-300
_ENOUGH = 1e-15


def beta_cdf(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b), for a, b > 0; x outside 0 to 1 counts as the nearer end.

    The continued fraction of DLMF 8.17.22 by Lentz's method, on the side of the mean where it converges quickly.
    """
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(x, a, b) / a
    return 1 - front * _fraction(1 - x, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    """Sum DLMF 8.17.22; it needs some sqrt(a + b) terms."""
    c, d = 1.0, _away(1 - (a + b) * x / (a + 1))
    total = d = 1 / d
    for m in range(1, 200_000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _away(1 + term * d)
            c = _away(1 + term / c)
            total *= c * d
        if abs(c * d - 1) < _ENOUGH:
            break
    return total


def _away(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def beta_quantile(p: float, a: float, b: float) -> float:
    """Return the x at which I_x(a, b) = p, to 9 digits or more: bisection, which can't go astray."""
    low, high = 0.0, 1.0
    while high - low > 1e-13 * high and high > 1e-15:
        middle = (low + high) / 2
        if beta_cdf(middle, a, b) < p:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def lower_bound(k: float, n: float, confidence: float = CONFIDENCE) -> float:
    """Return the one-sided Clopper-Pearson lower bound on a share of which `k` of `n` were seen (0 <= k <= n).

    >>> round(lower_bound(270, 270), 4)
    0.989
    """
    _check(k, n)
    if k <= 0:
        return 0.0
    if k == n:
        return float((1 - confidence) ** (1 / n))
    return beta_quantile(1 - confidence, k, n - k + 1)


def upper_bound(k: float, n: float, confidence: float = CONFIDENCE) -> float:
    """Return the one-sided Clopper-Pearson upper bound; 1 where nothing was seen.

    >>> round(upper_bound(0, 60), 4)
    0.0487
    """
    _check(k, n)
    if k >= n:
        return 1.0
    if k == 0:
        return 1 - float((1 - confidence) ** (1 / n))
    return beta_quantile(confidence, k + 1, n - k)


def interval(k: float, n: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the two-sided Clopper-Pearson interval: each side gets half of what may be missed."""
    each = 1 - (1 - confidence) / 2
    return lower_bound(k, n, each), upper_bound(k, n, each)


def _check(k: float, n: float) -> None:
    if not 0 <= k <= n:
        raise ValueError(f"{k} of {n} is no share")


def needed(share: float, confidence: float = CONFIDENCE) -> int:
    """Return how many good answers in a row it takes to prove that a share is at least `share` (0 <= share < 1).

    >>> needed(0.99)
    299
    """
    return ceil(log(1 - confidence) / log(share) - 1e-9) if share > 0 else 1


def fisher(a: int, b: int, c: int, d: int) -> float:
    """Return the two-sided p-value of Fisher's exact test: `a` bad and `b` good against `c` bad and `d` good.

    The sum of the probabilities of every table with the same margins that is no likelier than this one (R. A. Fisher,
    "The Design of Experiments", 1935; the two-sided rule is that of Freeman and Halton, Biometrika 38, 1951).
    """
    first, second, bad = a + b, c + d, a + c
    total = _choose(first + second, bad)

    def likelihood(k: int) -> float:
        return exp(_choose(first, k) + _choose(second, bad - k) - total)

    limit = likelihood(a) * (1 + 1e-9)
    return min(1.0, sum(p for k in range(max(0, bad - second), min(bad, first) + 1) if (p := likelihood(k)) <= limit))


def _choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
