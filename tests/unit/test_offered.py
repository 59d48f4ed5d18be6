"""The load's own count: a spike is there when it was really sent, within the latest second of the record."""

from collections import Counter

import pytest

from aftershock.core.history import SLICE
from aftershock.core.offered import STALE, Offered


def offered(*slices: tuple[int, int]) -> Offered:
    kept = Offered()
    for n, sent in slices:
        kept.add(n, sent)
    return kept


def test_the_base_rate_is_no_spike_though_its_slices_lie_apart() -> None:
    kept = offered(*((n, 1) for n in range(0, 40, 2)))  # 5/s: a request each other slice
    assert kept.multiplied(5.0, 2.0, 4.0) == (
        False,
        "5 requests were sent in the second before 3.9 s, 5/s being the base rate",
    )


def test_ten_times_the_rate_is_seen() -> None:
    holds, saw = offered(*((n, 5) for n in range(20))).multiplied(5.0, 10.0, 2.1)
    assert holds
    assert saw.startswith("50 requests")


def test_what_could_not_be_sent_does_not_count() -> None:
    assert not offered(*((n, 4) for n in range(20))).multiplied(5.0, 10.0, 2.1)[0]


def test_an_old_record_proves_nothing() -> None:
    kept = offered(*((n, 5) for n in range(20)))
    assert kept.multiplied(5.0, 10.0, 2.0 + STALE - 0.1)[0]
    assert not kept.multiplied(5.0, 10.0, 2.0 + STALE + 0.1)[0]
    assert not Offered().multiplied(5.0, 10.0, 0.0)[0]


@pytest.mark.parametrize(("rate", "factor"), [(10.0, 1.1), (0.5, 2.0), (1.0, 1.5), (50.0, 1.05), (3.0, 3.0)])
def test_a_small_spike_and_one_of_a_slow_load_are_told_from_the_base_rate(rate: float, factor: float) -> None:
    """At any moment of it, once it has gone on for as long as is looked back."""
    for when in range(45, 95):
        assert not sending(rate, when).multiplied(rate, factor, when * SLICE)[0]
        assert sending(rate * factor, when).multiplied(rate, factor, when * SLICE)[0]


def sending(rate: float, end: int) -> Offered:
    """A steady load, up to slice `end`; slices in which nothing is due are left out."""
    due = Counter(int((n + 0.5) / rate / SLICE) for n in range(int(rate * 10)))
    return offered(*((n, sent) for n, sent in sorted(due.items()) if n < end))
