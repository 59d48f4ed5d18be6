"""When requests are due: exact counts, whatever the rate, and no drift."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aftershock.probes.schedule import NEVER, SECOND, Steady, Steps


def dues(steps: Steps, until: int) -> list[int]:
    found = []
    while steps.next < until:
        found.append(steps.next)
        steps.advance()
    return found


def test_steady_is_due_in_the_middle_of_each_interval() -> None:
    steady = Steady(SECOND // 10)
    assert steady.next == NEVER
    steady.begin(0)
    found = []
    for _ in range(3):
        found.append(steady.next)
        steady.advance()
    assert found == [50_000_000, 150_000_000, 250_000_000]
    steady.stop()
    assert steady.next == NEVER


@settings(deadline=None)
@given(st.integers(1, 10 * SECOND), st.integers(0, 10_000 * SECOND))
def test_steady_keeps_its_grid_wherever_it_starts(interval: int, start: int) -> None:
    steady = Steady(interval)
    steady.begin(start)
    assert start <= steady.next < start + interval or steady.next == interval // 2
    assert steady.next % interval == interval // 2


@pytest.mark.parametrize("rate", [0.1, 1, 3, 7.5, 50, 1234.5, 2000, 9999])
def test_a_rate_gives_its_exact_number_each_time(rate: float) -> None:
    steps = Steps()
    steps.replace([(10.0, rate)], 0)
    assert steps.next >= 10 * SECOND
    assert len(dues(steps, 30 * SECOND)) == round(20 * Fraction(rate))


def test_each_tenth_of_a_second_gets_its_share() -> None:
    steps = Steps()
    steps.replace([(0.0, 2000.0)], 0)
    slices = [due // 100_000_000 for due in dues(steps, 5 * SECOND)]
    assert {slices.count(n) for n in range(50)} == {200}


def test_a_spike_ends_by_itself() -> None:
    steps = Steps()
    steps.replace([(1.0, 10.0), (2.0, 100.0), (3.0, 10.0), (4.0, 0.0)], 0)
    found = dues(steps, 100 * SECOND)
    assert [sum(second <= due / SECOND < second + 1 for due in found) for second in range(6)] == [0, 10, 100, 10, 0, 0]
    assert steps.next == NEVER


def test_the_rate_in_force_holds_until_the_first_new_step() -> None:
    steps = Steps()
    steps.replace([(0.0, 10.0), (50.0, 1000.0)], 0)
    before = dues(steps, SECOND)
    steps.replace([(2.0, 0.0)], SECOND)
    assert len(before) == 10
    assert len(dues(steps, 60 * SECOND)) == 10


def test_a_step_in_the_past_begins_when_it_is_read() -> None:
    steps = Steps()
    steps.replace([(1.0, 1000.0), (2.0, 10.0)], 5 * SECOND)
    found = dues(steps, 6 * SECOND)
    assert len(found) == 10
    assert found[0] > 5 * SECOND


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 500)), max_size=6), st.floats(0, 100))
def test_dues_never_go_back(steps: list[tuple[float, float]], now: float) -> None:
    schedule = Steps()
    schedule.replace(steps, round(now * SECOND))
    found = dues(schedule, 101 * SECOND)
    assert found == sorted(found)
    assert not found or found[0] >= round(now * SECOND)
