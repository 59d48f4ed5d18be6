"""Exact bounds against published values, and against what they promise."""

import doctest
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aftershock.core import statistics, wording
from aftershock.core.statistics import beta_cdf, beta_quantile, fisher, interval, lower_bound, needed, upper_bound

# Newcombe, "Two-sided confidence intervals for the single proportion: comparison of seven methods", Statistics in
# Medicine 17 (1998), table I, method 5 (Clopper-Pearson), 95%.
NEWCOMBE = [
    (81, 263, 0.2527, 0.3676),
    (15, 148, 0.0578, 0.1617),
    (0, 20, 0.0000, 0.1684),
    (1, 29, 0.0009, 0.1776),
]
# Conover, "Practical Nonparametric Statistics" (1999), its table of exact limits, 95%: 5 of 25.
CONOVER = [(5, 25, 0.0683, 0.4070)]


@pytest.mark.parametrize(("k", "n", "low", "high"), NEWCOMBE + CONOVER)
def test_published_clopper_pearson_intervals(k: int, n: int, low: float, high: float) -> None:
    assert interval(k, n) == pytest.approx((low, high), abs=5.1e-5)


def test_the_rule_of_three_and_its_exact_form() -> None:
    """Nothing bad in n: 1 - 0.05^(1/n), about 3/n (Hanley and Lippman-Hand, JAMA 249, 1983)."""
    assert upper_bound(0, 300) == pytest.approx(3 / 300, rel=0.01)
    assert lower_bound(300, 300) == pytest.approx(0.05 ** (1 / 300))
    assert needed(0.99) == 299
    assert lower_bound(needed(0.999), needed(0.999)) >= 0.999 > lower_bound(needed(0.999) - 1, needed(0.999) - 1)


def tail(k: int, n: int, p: float) -> float:
    """Probability of k or more of n, summed up."""
    return sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))


@pytest.mark.parametrize("n", [1, 3, 10, 40])
@pytest.mark.parametrize("p", [0.001, 0.05, 0.3, 0.5, 0.77, 0.99])
def test_each_side_covers_at_least_what_it_says(n: int, p: float) -> None:
    chance = [comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    assert sum(chance[k] for k in range(n + 1) if lower_bound(k, n) <= p) >= 0.95 - 1e-9
    assert sum(chance[k] for k in range(n + 1) if upper_bound(k, n) >= p) >= 0.95 - 1e-9


@given(n=st.integers(1, 400), data=st.data())
def test_a_bound_is_where_its_tail_is_five_percent(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, n))
    assert tail(k, n, lower_bound(k, n)) == pytest.approx(0.05, rel=1e-6)


@given(n=st.floats(0.5, 5000), share=st.floats(0, 1), confidence=st.sampled_from([0.9, 0.95, 0.975, 0.99]))
def test_bounds_contain_what_was_seen_and_grow_with_it(n: float, share: float, confidence: float) -> None:
    k = share * n
    low, high = lower_bound(k, n, confidence), upper_bound(k, n, confidence)
    assert 0 <= low <= share + 1e-9
    assert share - 1e-9 <= high <= 1
    more = min(n, k + 0.5)
    assert lower_bound(more, n, confidence) >= low - 1e-9
    assert upper_bound(more, n, confidence) >= high - 1e-9


@given(k=st.integers(0, 60), n=st.integers(60, 120))
def test_more_of_the_same_narrows_the_bounds(k: int, n: int) -> None:
    assert lower_bound(10 * k, 10 * n) >= lower_bound(k, n) - 1e-12
    assert upper_bound(10 * k, 10 * n) <= upper_bound(k, n) + 1e-12


@given(a=st.floats(0.1, 300), b=st.floats(0.1, 300), p=st.floats(0.001, 0.999))
def test_the_quantile_undoes_the_distribution(a: float, b: float, p: float) -> None:
    x = beta_quantile(p, a, b)
    if 1e-12 < x < 1 - 1e-9:  # nearer to 1 a float has too few digits left for it
        assert beta_cdf(x, a, b) == pytest.approx(p, abs=1e-6)
    assert beta_cdf(0.5, a, a) == pytest.approx(0.5, abs=1e-9)


def test_a_large_sample_is_no_trouble() -> None:
    """The normal approximation is good there: p +- 1.645 sqrt(p (1 - p) / n)."""
    assert lower_bound(50_000, 1_000_000) == pytest.approx(0.05 - 1.645 * (0.05 * 0.95 / 1e6) ** 0.5, rel=1e-4)


def test_what_is_no_share_is_refused() -> None:
    with pytest.raises(ValueError, match="5 of 4"):
        lower_bound(5, 4)
    with pytest.raises(ValueError, match="-1 of 4"):
        upper_bound(-1, 4)


def test_fishers_own_tea_and_another_textbook_table() -> None:
    """Fisher 1935: three of four cups right, one-sided 17/70, two-sided 34/70. The second: 1 of 10 against 11 of 14."""
    assert fisher(3, 1, 1, 3) == pytest.approx(34 / 70)
    assert fisher(1, 9, 11, 3) == pytest.approx(0.0027594, rel=1e-4)
    assert fisher(5, 0, 0, 5) == pytest.approx(2 / 252)
    assert fisher(4, 0, 0, 4) == pytest.approx(2 / 70)


@given(a=st.integers(0, 40), b=st.integers(0, 40), c=st.integers(0, 40), d=st.integers(0, 40))
def test_fisher_does_not_care_which_is_first(a: int, b: int, c: int, d: int) -> None:
    assert fisher(a, b, c, d) == pytest.approx(fisher(c, d, a, b), rel=1e-6)
    assert fisher(a, b, c, d) == pytest.approx(fisher(b, a, d, c), rel=1e-6)
    assert 0 < fisher(a, b, c, d) <= 1


@pytest.mark.parametrize("module", [statistics, wording], ids=lambda module: module.__name__)
def test_the_examples_in_the_docstrings_hold(module: object) -> None:
    done = doctest.testmod(module)
    assert done.attempted
    assert not done.failed


@given(value=st.floats(0, 1))
def test_a_share_is_never_called_whole_when_it_is_not(value: float) -> None:
    if value < 0.99999:
        assert wording.share(value) != "100%"
    if value > 1e-4:
        assert wording.share(value) != "0%"
