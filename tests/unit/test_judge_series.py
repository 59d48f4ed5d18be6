"""Cells and readings: what is missing has its place, and rolling seconds are what they say."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aftershock.core.history import Aborting, Begun, Cleaned, Ended, Entered, Healed, History, Slice
from aftershock.core.readings import availability, readings
from aftershock.core.series import WARM_UP, cells, gaps, row, watched_until, width
from aftershock.core.verdict import Interval
from aftershock.model.era import Objective, Source
from aftershock.model.stack import Indicator
from aftershock.model.units import Duration
from simulator import Answer, Meetings, probe


def slices(every: float = 0.1, end: float = 10.0, start: float = 0.05, **planted: object) -> dict[int, Slice]:
    return {one.n: one for one in probe("join", Meetings(**planted), start, end, every=every)}


def slow(below: float, statistic: str | None = None) -> Objective:
    return Objective(
        name="latency",
        indicator="join",
        statistic=statistic,
        below=Duration(below),
        source=Source(kind="stated"),
    )


def test_a_row_is_unbroken_and_whole_cells_only() -> None:
    found = row(slices(end=2.0), 0.1, 0.0, 1.96)
    assert [one.start for one in found] == pytest.approx([n / 10 for n in range(19)])
    assert all(one.end == later.start for one, later in pairwise(found))
    assert not any(one.missing for one in found)


@pytest.mark.parametrize(("every", "slices_wide"), [(0.01, 1), (0.1, 1), (0.11, 2), (0.25, 3), (1.0, 10), (5.0, 50)])
def test_a_cell_is_as_wide_as_what_one_sample_speaks_for(every: float, slices_wide: int) -> None:
    assert width(every) == slices_wide
    found = row(slices(every, end=60.0, start=every / 2), every, 0.0, 60.0)
    assert not any(one.missing for one in found)


@given(gone=st.sets(st.integers(2, 90)))
def test_each_slice_that_is_gone_is_a_missing_cell(gone: set[int]) -> None:
    rest = {n: one for n, one in slices().items() if n not in gone}
    found = row(rest, 0.1, 0.0, 10.0)
    assert {round(one.start * 10) for one in found if one.missing} == gone
    assert sum(one.high - one.low for one in gaps(found, 0.0, 10.0)) == pytest.approx(len(gone) / 10)


def test_a_cell_with_an_unsent_or_unanswered_request_says_nothing() -> None:
    asked = probe("join", Meetings(), 0.01, 1.0, every=0.02, unsent=lambda at: 0.3 < at < 0.32)
    found = row({one.n: one for one in asked}, 0.02, 0.0, 1.0)
    assert [one.start for one in found if one.missing] == [0.3]
    half = Slice(at=0.2, indicator="join", counted="probes", n=0, planned=5, good=4)
    assert row({0: half}, 0.02, 0.0, 0.1)[0].missing


def test_gaps_are_joined_and_cut_to_the_stretch() -> None:
    rest = {n: one for n, one in slices().items() if not 30 <= n < 35}
    found = row(rest, 0.1, 0.0, 10.0)
    assert gaps(found, 0.0, 10.0) == [Interval(3.0, 3.5)]
    assert gaps(found, 3.5, 10.0) == []


def begun() -> Begun:
    return Begun(at=0, run="r", token="t", origin=0, experiment={}, stack={}, eras=[], judge_by=[])


def test_the_record_is_due_to_the_start_of_cleanup() -> None:
    events = [
        begun(),
        Entered(at=1.0, phase="Baseline"),
        *slices().values(),
        Entered(at=8.25, phase="Cleanup"),
        Ended(at=9),
    ]
    history = History(events)
    assert watched_until(history) == 8.25
    assert cells(history, Indicator(name="join"))[-1].end == pytest.approx(8.2)
    assert len(cells(history, Indicator(name="join"), "load")) == round((8.2 - 1.0 - WARM_UP) * 10)


def test_what_others_wrote_a_day_later_is_not_the_record() -> None:
    late = 86400.0
    events = [
        *slices(end=5.0).values(),
        Healed(at=late, injection=0, clean=True, saw="", by="reaper"),
        Aborting(at=late, reason="ExecutorLost", message=""),
        Entered(at=late, phase="Cleanup"),
        Cleaned(at=late),
        Ended(at=late),
    ]
    assert watched_until(History(events)) == pytest.approx(5.0, abs=0.2)


def test_availability_reads_the_share_that_failed() -> None:
    found = availability(row(slices(0.02, outages=[(3.0, 4.0)]), 0.02, 0.0, 10.0), 0.02)
    assert [one.low for one in found if 2.9 < one.start < 4.0] == [1.0] * 10
    assert sum(one.low for one in found) == 10
    assert {one.n for one in found[2:]} == {5}


def test_a_missing_reading_may_be_anything_and_owes_its_samples() -> None:
    rest = {n: one for n, one in slices(0.02).items() if n != 50}
    gone = availability(row(rest, 0.02, 0.0, 10.0), 0.02)[50]
    assert (gone.low, gone.high, gone.n, gone.due) == (0.0, 1.0, 0, 5)


def test_a_rolling_second_without_a_good_answer_is_out_of_bounds() -> None:
    found = readings(row(slices(outages=[(3.0, 6.0)]), 0.1, 0.0, 10.0), slow(0.5), Indicator(name="join"))
    out = [one for one in found if one.low == 1]
    assert out[0].end == pytest.approx(4.0)
    assert out[-1].end == pytest.approx(6.0)


def test_a_rolling_second_that_lacks_a_cell_is_missing() -> None:
    rest = {n: one for n, one in slices().items() if n != 50}
    found = readings(row(rest, 0.1, 0.0, 10.0), slow(0.5), Indicator(name="join"))
    assert [round(one.start, 1) for one in found if one.missing] == pytest.approx([5 + n / 10 for n in range(10)])


@pytest.mark.parametrize(
    ("statistic", "out"), [(None, True), ("mean", True), ("p50", False), ("p95", True), ("max", True)]
)
def test_statistics_of_a_rolling_second(statistic: str | None, out: bool) -> None:
    """One of ten answers takes 9 s: the mean is 0.9 s, the median 10 ms."""
    service = lambda at: Answer(9.0 if round(at * 10 - 0.5) % 10 == 0 else 0.01)  # noqa: E731
    asked = {one.n: one for one in probe("join", service, 0.05, 10.0)}
    found = readings(row(asked, 0.1, 0.0, 10.0), slow(0.5, statistic), Indicator(name="join"))
    assert {(one.low, one.high) for one in found} == {(float(out), float(out))}


def test_a_statistic_within_a_bucket_of_its_limit_is_open() -> None:
    asked = {one.n: one for one in probe("join", lambda _at: Answer(0.5), 0.05, 5.0)}
    found = readings(row(asked, 0.1, 0.0, 5.0), slow(0.5), Indicator(name="join"))
    assert {(one.low, one.high) for one in found} == {(0.0, 1.0)}


def test_slow_probes_roll_over_one_sample() -> None:
    asked = {one.n: one for one in probe("join", Meetings(slow=[(20, 40, 3.0)]), 2.5, 60.0, every=5.0)}
    found = readings(row(asked, 5.0, 0.0, 60.0), slow(1.0), Indicator(name="join", every=Duration(5)))
    assert [one.start for one in found if one.low] == [20, 25, 30, 35]
