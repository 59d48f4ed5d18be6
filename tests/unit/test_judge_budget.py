"""What an incident spent: missing time, few samples, and what a settled part may stand for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aftershock.core.budget import Spending, settled, share, spend
from aftershock.core.holds import Hold, overlapping
from aftershock.core.readings import Reading
from aftershock.model.experiment import Injection
from aftershock.model.units import Duration

EVERY = 0.1


def reading(n: int, bad: float = 0.0, *, missing: bool = False, requests: int = 1) -> Reading:
    start, end = n / 10, (n + 1) / 10
    return Reading(start, end, 0.0, 1.0, 0, requests) if missing else Reading(start, end, bad, bad, requests, requests)


def stretch(start: float, end: float, bad: float = 0.0, **more: object) -> list[Reading]:
    return [reading(n, bad, **more) for n in range(round(start * 10), round(end * 10))]


def hold(start: float = 10.0, end: float = 40.0, represents: float | None = 1800.0, number: int = 0) -> Hold:
    asked = Injection(
        for_=Duration(end - start),
        represents=None if represents is None else Duration(represents),
        fault="link-down",
        target="app-to-primary",
    )
    return Hold(number, asked, start - 0.1, start, start + 0.5, end, end + 0.3)


def test_no_failure_spends_about_three_samples_of_time_however_long() -> None:
    for seconds in (6, 60, 600):
        found = share(stretch(0, seconds), [(0.0, seconds)])
        assert found.seconds.low == 0
        assert found.seconds.high == pytest.approx(3 * EVERY, rel=0.06)


def test_a_total_outage_is_whole_above_and_nearly_below() -> None:
    found = share(stretch(0, 60, 1.0), [(0.0, 60.0)])
    assert found.seconds.high == pytest.approx(60)
    assert found.seconds.low == pytest.approx(60 - 3 * EVERY, rel=0.001)


def test_missing_time_counts_nothing_below_and_all_above() -> None:
    known = share(stretch(0, 30, 1.0), [(0.0, 30.0)])
    found = share([*stretch(0, 30, 1.0), *stretch(30, 40, missing=True)], [(0.0, 40.0)])
    assert found.missing == pytest.approx(10)
    assert found.seconds.low == pytest.approx(known.seconds.low)
    assert found.seconds.high == pytest.approx(40)


def test_time_without_any_reading_is_missing_too() -> None:
    assert share([], [(3.0, 7.0)]).seconds.high == 4
    assert share(stretch(0, 5), [(0.0, 10.0)]).missing == pytest.approx(5)


def test_only_the_part_within_the_window_counts() -> None:
    found = share([*stretch(0, 10, 1.0), *stretch(10, 20)], [(9.95, 15.0)])
    assert found.observed == pytest.approx(5.05)
    assert found.seen == pytest.approx(0.05 / 5.05)


def test_requests_are_weighted_by_the_time_they_speak_for() -> None:
    """Half the time is sampled ten times as densely: the effective size is Kish's, not the count."""
    dense, sparse = stretch(0, 10, 1.0, requests=10), stretch(10, 20)
    found = share([*dense, *sparse], [(0.0, 20.0)])
    assert found.seen == pytest.approx(0.5)
    assert found.n == pytest.approx(20**2 / (10 * 0.1 / 10 + 10 * 0.1))


def spent(
    all_: list[Reading], *holds: Hold, window: tuple[float, float] = (10.0, 40.5), later: float = 50.0
) -> Spending:
    return spend(all_, window, holds, timeout=2.0, lead=0.0, later=later)


OUTAGE = [*stretch(0, 10), *stretch(10, 40.5, 1.0), *stretch(40.5, 50)]


def test_only_the_settled_part_is_multiplied() -> None:
    """Settled: 10.5 s to 38 s. The 2.5 s of transients in the hold and 0.5 s after it count as long as they lasted."""
    found = spent(OUTAGE, hold())
    part = found.parts[0]
    assert part.window == pytest.approx((10.5, 38.0))
    assert part.stands_for == pytest.approx(1800 - 2.5)
    assert found.spent.high == pytest.approx(1800.5)
    assert 0.985 * 1800 < found.spent.low < 1800
    assert not found.unknown


def test_a_transient_is_not_multiplied() -> None:
    """All fails for the first 0.4 s, then the stack copes: that is 0.4 s and not 24 s."""
    all_ = [*stretch(0, 10), *stretch(10, 10.4, 1.0), *stretch(10.4, 50)]
    found = spent(all_, hold())
    assert found.rest.low <= 0.4 <= found.rest.high < 1.5
    assert found.spent.high < 0.015 * 1800
    assert found.parts[0].share is not None
    assert found.parts[0].share.seen == 0


def test_without_represents_each_second_counts_once() -> None:
    found = spent(OUTAGE, hold(represents=None))
    assert found.spent.low <= 30.5 <= found.spent.high + 1e-9
    assert found.spent.high - found.spent.low < 0.5


def test_halves_that_differ_did_not_settle() -> None:
    all_ = [*stretch(10, 24, 1.0), *stretch(24, 50)]
    found = spent(all_, hold())
    assert "halves differ" in found.unknown[0]
    assert found.spent.low < 15
    assert found.spent.high >= 1797.5


def test_a_gap_that_could_hide_a_change_did_not_settle() -> None:
    all_ = [*stretch(10, 20, 1.0), *stretch(20, 24, missing=True), *stretch(24, 50, 1.0)]
    assert "what is missing is counted against it" in spent(all_, hold()).unknown[0]


def test_a_gap_could_hide_failures_as_well_as_successes() -> None:
    all_ = [*stretch(10, 20), *stretch(20, 24, missing=True), *stretch(24, 50)]
    assert "what is missing is counted against it" in spent(all_, hold()).unknown[0]


def test_one_missing_cell_hides_no_change() -> None:
    all_ = [*stretch(10, 20, 1.0), *stretch(20, 20.1, missing=True), *stretch(20.1, 40.5, 1.0)]
    found = spent(all_, hold())
    assert not found.unknown
    assert found.spent.high == pytest.approx(1800.5)


@pytest.mark.parametrize(("end", "problem"), [(12.4, "too short"), (13.2, "samples, and 5 are needed")])
def test_a_hold_that_is_too_short_did_not_settle(end: float, problem: str) -> None:
    found = spent(OUTAGE, hold(end=end), window=(10.0, 41.0))
    assert problem in found.unknown[0]


def test_a_hold_that_was_never_healed_did_not_settle() -> None:
    one = hold()
    open_ = Hold(0, one.asked, one.intended, one.started, one.landed, None, None)
    assert "not on record" in spent(OUTAGE, open_).unknown[0]


def test_a_latency_reading_looks_back_so_its_settled_part_begins_later() -> None:
    assert settled(OUTAGE, hold(), 2.0, 1.0).window[0] == pytest.approx(11.5)


def test_a_gap_after_the_recovery_may_hide_a_relapse() -> None:
    whole = spent(OUTAGE, hold())
    gone = spent([*OUTAGE[:450], *stretch(45, 48, missing=True), *OUTAGE[480:]], hold())
    assert gone.spent.high == pytest.approx(whole.spent.high + 3)
    assert gone.spent.low == pytest.approx(whole.spent.low)


def test_two_holds_stand_each_for_their_own_time() -> None:
    all_ = [*stretch(0, 10), *stretch(10, 40, 1.0), *stretch(40, 60), *stretch(60, 90, 1.0), *stretch(90, 120)]
    found = spend(all_, (10.0, 90.0), [hold(), hold(60, 90, 600, 1)], timeout=2.0, lead=0.0, later=120.0)
    assert found.spent.high == pytest.approx(2400, rel=0.001)
    assert found.spent.low == pytest.approx(2400, rel=0.02)


def test_holds_overlap_when_both_are_held_at_one_instant() -> None:
    assert overlapping([hold(10, 40), hold(39, 50, number=1)])
    assert not overlapping([hold(10, 40), hold(41, 50, number=1)])


@given(
    bad=st.lists(st.sampled_from([0.0, 1.0]), min_size=30, max_size=300),
    gone=st.sets(st.integers(0, 299), max_size=40),
)
def test_losing_readings_only_widens(bad: list[float], gone: set[int]) -> None:
    whole = [reading(n, value) for n, value in enumerate(bad)]
    rest = [reading(n, missing=True) if n in gone else one for n, one in enumerate(whole)]
    window = [(0.0, len(bad) / 10)]
    truth = sum(bad) / 10
    found = share(rest, window)
    assert found.seconds.low - 1e-9 <= truth <= found.seconds.high + 1e-9
    assert found.observed + found.missing == pytest.approx(len(bad) / 10)
