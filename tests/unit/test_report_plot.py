"""What is plotted: bounded, and hiding neither a dip nor a gap."""

from dataclasses import replace
from itertools import pairwise

import pytest

import report_samples as samples
from aftershock.core.history import Begun, Entered, History, Slice
from aftershock.reports.plot import MOST, record, series, sparkline

LONG = replace(samples.Shape(), outage_from=300.0, outage_until=300.1, end=1200.0, blind=(500.0, 500.1))


@pytest.fixture(scope="module")
def long() -> History:
    return samples.history(LONG)


def test_a_long_run_is_bounded(long: History) -> None:
    line = series(record(long, "meeting-success", "probes"))
    assert len(record(long, "meeting-success", "probes").cells) == 12_000
    assert 200 < len(line.points) <= MOST


def test_a_dip_of_one_slice_survives_the_folding(long: History) -> None:
    line = series(record(long, "meeting-success", "probes"))
    dipped = [each for each in line.points if each.low == 0]
    assert [each.start <= 300.0 < each.end for each in dipped] == [True]
    assert dipped[0].high == 1
    assert dipped[0].bad == 1


def test_a_gap_of_one_slice_survives_the_folding(long: History) -> None:
    blind = [each for each in series(record(long, "meeting-success", "probes")).points if each.missing > 0]
    assert [each.start <= 500.0 < each.end for each in blind] == [True]


def test_nothing_is_lost_in_the_folding(long: History) -> None:
    points = series(record(long, "meeting-success", "probes")).points
    assert sum(each.good + each.bad for each in points) == 12_000 - 1
    assert all(before.end == after.start for before, after in pairwise(points))


def test_a_gap_has_neither_share_nor_latency() -> None:
    history, _ = samples.unknown()
    gap = [each for each in series(record(history, "join", "probes")).points if 24 <= each.start < 31]
    assert len(gap) == 70
    assert all(each.share is None and each.low is None and each.p50 is None and each.missing == 1 for each in gap)


def test_unsent_requests_are_counted_and_leave_the_record_incomplete() -> None:
    history, _ = samples.unknown()
    held_back = [each for each in series(record(history, "meeting-success", "load")).points if each.unsent]
    assert sum(each.unsent for each in held_back) == 60
    assert all(each.missing == 1 and each.good + each.bad == 1 for each in held_back)


def test_probes_that_stop_leave_a_gap_to_the_end_of_the_watch() -> None:
    history, _ = samples.demo()
    cut = History(each for each in history.events if not (isinstance(each, Slice) and each.n >= 300))
    points = series(record(cut, "join", "probes")).points
    assert points[-1].end == pytest.approx(53.0)
    assert sum(each.missing for each in points) == pytest.approx(230)


def test_a_slow_indicator_has_no_gaps_between_its_samples() -> None:
    begun = samples.history().begun
    stack = {**begun.stack, "spec": {"indicators": [{"name": "slow", "every": "2s"}]}}
    slices = [Slice(at=n, indicator="slow", counted="probes", n=n * 10, planned=1, good=1) for n in range(0, 40, 2)]
    events = [_with(begun, stack), Entered(at=0.0, phase="Baseline"), *slices, Entered(at=40.0, phase="Cleanup")]
    line = series(record(History(events), "slow", "probes"))
    assert line.width == 2.0
    assert len(line.points) == 20
    assert not any(each.missing for each in line.points)


def _with(begun: Begun, stack: dict[str, object]) -> Begun:
    return Begun(at=0.0, run=begun.run, token=begun.token, origin=0.0, experiment={}, stack=stack, eras=[], judge_by=[])


def test_an_indicator_without_a_record_has_no_points() -> None:
    assert series(record(samples.history(), "nobody", "probes")).points == []


def test_a_sparkline_shows_outage_and_gap() -> None:
    history, _ = samples.unknown()
    drawn = sparkline(series(record(history, "join", "probes")), width=53)
    assert len(drawn) == 53
    assert drawn[5] == "█"
    assert drawn[20] == "▁"
    assert drawn[27] == "·"
